"""Read the other files of a run folder that a report page shows beside report.json."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from autocompress.depth.exit_record import ExitRecord
from autocompress.errors import AutoCompressError
from autocompress.io.header import read_json
from autocompress.training.progress import METRICS, read_metrics

__all__ = ["RunFiles", "read_files"]

#: The networks of a run, and the folder of each.
_NETWORKS = {"network": "", "baseline": "baseline", "shallow": "shallow"}

#: The recorded gradients of a run, as ``GradientRecorder.to_json`` gives them.
GRADIENTS = "gradients.json"


@dataclass(frozen=True)
class RunFiles:
    """Files of a run folder that the page draws.

    Attributes:
        learning: Records of metrics.jsonl by network: ``network``, ``baseline``, ``shallow``.
        gradients: Rows by layer of the recorded norms, and the steps; None if none were recorded.
        exits: Content of the network's exits.json; None if exits were not measured.
        notes: Files that could not be read, and the reasons.
    """

    learning: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    gradients: Mapping[str, Any] | None = None
    exits: Mapping[str, Any] | None = None
    notes: Sequence[str] = ()


def read_files(folder: Path) -> RunFiles:
    """Read what there is; a file that is damaged becomes a note, since the report itself is good.

    Args:
        folder: The run folder.
    """
    learning: dict[str, Any] = {}
    notes: list[str] = []
    for name, place in _NETWORKS.items():
        if (folder / place / METRICS).is_file():
            try:
                learning[name] = [_checked(row) for row in read_metrics(folder / place)]
            except (AutoCompressError, ValueError) as error:
                notes.append(f"Learning curves of the {name} are left out: {error}")
    if "network" not in learning:
        learning = {}
    gradients = exits = None
    try:
        gradients = _gradients(folder / GRADIENTS)
        record = None
        for place in ("model", "small"):
            record = record or ExitRecord.load(folder / place)
        exits = None if record is None else record.to_json()
    except (AutoCompressError, OSError, ValueError) as error:
        notes.append(f"Left out: {error}")
    return RunFiles(learning, gradients, exits, tuple(notes))


def _checked(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is drawn of a record of metrics.jsonl.

    Raises:
        ValueError: A score is not a number.
    """
    kept = {key: record[key] for key in ("epoch", "loss")}
    scores = record.get("depths") or []
    last = record.get("validation")
    for value in [*scores, *([] if last is None else [last])]:
        if type(value) not in (int, float) or not math.isfinite(value):
            raise ValueError(f"epoch {record['epoch']} has a score {value!r:.40} in {METRICS}")
    if scores:
        kept["depths"] = [min(1.0, v) for v in scores]  # R^2 may be below 0
    if last is not None:
        kept["validation"] = min(1.0, last)
    return kept


def _gradients(path: Path) -> dict[str, Any] | None:
    """Return the recorded gradients.

    Raises:
        ValueError: They have another form.
    """
    try:
        found = read_json(path)
    except FileNotFoundError:
        return None
    rows = _list(found, "full")
    steps = _list(found, "steps")
    if not rows or not all(isinstance(row, list) and len(row) == len(steps) for row in rows):
        raise ValueError(f"{path} does not hold 'steps' and a row of 'full' per layer")
    for value in [*steps, *(v for row in rows for v in row if v is not None)]:
        if type(value) not in (int, float) or not math.isfinite(value) or value < 0:
            raise ValueError(f"{path} holds {value!r:.40}, which is not a norm of a gradient")
    return {"steps": steps, "full": rows}


def _list(found: Any, key: str) -> list[Any]:
    value = found.get(key) if isinstance(found, dict) else None
    return value if isinstance(value, list) else []
