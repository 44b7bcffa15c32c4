"""Options that nobody gave and that the name of the data makes plain."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from autocompress.data.generated import GENERATED
from autocompress.data.guessing import task_of

__all__ = ["inferred"]

#: The model for each task on texts, if no network is named.
_MODELS = {
    "text-classification": "encoder",
    "masked-lm": "encoder",
    "causal-lm": "decoder",
}


def inferred(values: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Return the options of a run with those that follow from the data, and what was inferred.

    A .csv, .tsv or .jsonl file is a table of texts with labels unless ``data.task`` says otherwise,
    and so is a folder of such files, or one with a folder of .txt files for each class. Texts need
    a model for texts unless a network is named, and a generated set may name its own.

    Args:
        values: The options that were given, as mappings by section.

    Example:
        >>> inferred({"data": {"name": "reviews.csv"}, "model": {"depth": 4}})[0]["model"]
        {'depth': 4, 'name': 'encoder'}
    """
    found, said = dict(values), list[str]()
    data, model = values.get("data") or {}, values.get("model") or {}
    if not isinstance(data, Mapping) or not isinstance(model, Mapping):
        return found, said
    task = data.get("task")
    name = data.get("name")  # without one, a built-in set is used and not the working folder
    plain = task_of(str(name)) if name and task is None else None
    if plain is not None:
        task = plain
        found["data"] = {**data, "task": task}
        said.append(f"data.task {task}")
    named = any(model.get(key) is not None for key in ("name", "source", "init"))
    needed = _MODELS.get(str(task)) or _model_of(name)
    if needed is not None and not named:
        found["model"] = {**model, "name": needed}
        said.append(f"model.name {needed}")
    return found, said


def _model_of(name: Any) -> str | None:
    """Return the model that a generated set needs; None if there is no such set or need."""
    if not isinstance(name, str) or name not in GENERATED:
        return None
    return getattr(GENERATED[name], "model", None)
