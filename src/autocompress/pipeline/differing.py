"""Find the settings in which runs differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from autocompress.pipeline.recipes import read_config
from autocompress.pipeline.values import as_values

__all__ = ["differences"]


def differences(runs: Sequence[Path]) -> list[tuple[str, list[Any]]]:
    """Return the settings in which runs differ, with the value of each run.

    A run without settings of its own for its rivals (``control``) trains them with ``fit``, and is
    compared by those where another run has them.

    Raises:
        ConfigError: A folder contains no run.
    """
    settings = [as_values(read_config(run / "config.yaml")) for run in runs]
    if any(each.get("control") for each in settings):
        settings = [{**each, "control": each.get("control") or each["fit"]} for each in settings]
    flat = [_flat(each) for each in settings]
    keys = sorted({key for values in flat for key in values})
    rows = [(key, [values.get(key) for values in flat]) for key in keys]
    return [(key, values) for key, values in rows if any(v != values[0] for v in values)]


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            found |= _flat(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = value
    return found
