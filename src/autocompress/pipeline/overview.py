"""Summarise runs: the settings and the results of each, read from their files as data.

Nothing of a run is built, and PyTorch is not imported: a table of runs answers at once.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

from autocompress.data.places import shown_name
from autocompress.errors import AutoCompressError, ConfigError, OutputError
from autocompress.io.seal import check_seal
from autocompress.pipeline.safe_yaml import compose, read_text
from autocompress.report.schema import load_report
from autocompress.report.times import time_speedup
from autocompress.training.progress import METRICS, read_metrics

__all__ = ["COLUMNS", "Condition", "condition", "overview", "runs_in"]

#: Columns of an overview; scores are fractions, null where unknown.
COLUMNS = (
    *("run", "state", "data", "model", "connectivity", "epochs"),
    *("depth", "kept", "validation", "test", "small_test", "speedup"),
)

Condition = Callable[[Mapping[str, Any]], bool]

_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    **{">=": operator.ge, "<=": operator.le, "!=": operator.ne},
    **{"==": operator.eq, "=": operator.eq, ">": operator.gt, "<": operator.lt},
}
_TERM = re.compile(r"\s*(\w+)\s*(>=|<=|!=|==|=|>|<)\s*(\S.*?)\s*")


def runs_in(folder: Path) -> list[Path]:
    """Return the run folders in ``folder`` and the folders in it, by name.

    Raises:
        OutputError: The folder does not exist.
    """
    if not folder.is_dir():
        raise OutputError(f"{folder} is not a folder; acn compress and acn train make runs/NAME-N")
    kept = [*folder.glob("config.yaml"), *folder.glob("*/config.yaml")]
    return sorted(file.parent for file in kept)


def overview(run: Path) -> dict[str, Any]:
    """Return the columns (:data:`COLUMNS`) that summarise a run.

    For a run that cannot be read, the state is the reason.
    """
    row: dict[str, Any] = dict.fromkeys(COLUMNS)
    row["run"] = str(run)
    try:
        settings = _settings(run / "config.yaml")
        row |= settings | _reached(run, settings["epochs"])
    except AutoCompressError as error:
        row["state"] = f"damaged: {error}".splitlines()[0]
    return row


def _settings(path: Path) -> dict[str, Any]:
    """Return the columns that a run's config.yaml, which names every setting, has."""
    text = read_text(path)
    check_seal(path)
    compose(text, str(path))  # limits what is built of it
    config = yaml.safe_load(text)
    try:
        data, model, fit = (config[section] for section in ("data", "model", "fit"))
        rule = model["connectivity"] or "acn"
        rule = rule["name"] if isinstance(rule, Mapping) else rule
        rule += "" if fit["path"] is None else ", annealed"
        rule += "" if fit["distil"] is None else ", taught"
        named = model["source"] or model["init"] or model["name"]
        return {
            "data": shown_name(data["name"]),
            "model": shown_name(named),
            "connectivity": rule,
            "epochs": fit["epochs"],
            "depth": model["depth"],
        }
    except (KeyError, TypeError) as error:
        raise ConfigError(f"{path} is not the config.yaml of a run ({error})") from None


def _reached(run: Path, epochs: int) -> dict[str, Any]:
    """Return the state of a run and its best known scores."""
    if (run / "report.json").is_file():
        report = load_report(run / "report.json")
        full, small = report["full"], report["small"]
        return {
            "state": "finished",
            "depth": full["depth"],
            "kept": report["selected"],
            "validation": full["validation"],
            "test": full["test"],
            "small_test": small["test"],
            "speedup": time_speedup(full, small, "1"),
        }
    metrics = run / METRICS
    if not metrics.is_file():
        return {"state": "not begun"}
    if metrics.stat().st_size:
        history = read_metrics(run)
    else:  # in its first epoch, unless a finished run was emptied
        check_seal(metrics)
        history = [{"epoch": 0}]
    last = history[-1]["epoch"]
    done = (run / "model").is_dir()
    state = "trained" if done else f"stopped or running, epoch {last} of {epochs}"
    scored = [record for record in history if record.get("validation") is not None]
    if not scored:
        return {"state": state}
    if scored[-1]["epoch"] != last:
        state += f", scored after epoch {scored[-1]['epoch']}"
    return {"state": state, "validation": scored[-1]["validation"]}


def condition(words: str | None) -> Condition:
    """Return a predicate for the rows of an overview, e.g. ``"test > 0.9 and model = vit"``.

    Args:
        words: Terms ``COLUMN OPERATOR VALUE`` joined by ``and``; None allows every row.

    Raises:
        ConfigError: A term has another form, or there is no such column.

    Example:
        >>> condition("test > 0.9 and model = vit")({"test": 0.95, "model": "vit"})
        True
    """
    terms = []
    for part in [] if words is None else re.split(r"\s+and\s+", words):
        found = _TERM.fullmatch(part)
        if found is None:
            raise ConfigError(
                f"{part!r} is not a condition; e.g. --where 'test > 0.9 and depth < 6'"
            )
        name, sign, value = found.groups()
        if name not in COLUMNS:
            raise ConfigError(f"{name!r} is not a column of a run; they are {', '.join(COLUMNS)}")
        terms.append((name, _COMPARE[sign], value.strip("'\"")))
    return lambda row: all(_holds(row.get(name), test, value) for name, test, value in terms)


def _holds(found: Any, test: Callable[[Any, Any], bool], value: str) -> bool:
    if found is None:
        return False
    if not isinstance(found, int | float):
        return test(str(found), value)
    try:
        return test(found, float(value))
    except ValueError:
        raise ConfigError(f"{value!r} is not a number, and this column holds numbers") from None
