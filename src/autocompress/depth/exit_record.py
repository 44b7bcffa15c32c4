"""exits.json: calibrated exits, beside the network for which they were calibrated.

docs/exits.md describes the file for programs that read it without this library.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from autocompress.depth.exit_rule import Exit, ExitRule
from autocompress.errors import AutoCompressError, CheckpointError
from autocompress.io.atomic import write_json
from autocompress.io.header import read_json
from autocompress.io.schema import saved_config
from autocompress.version import __version__

__all__ = ["EXITS", "ExitRecord"]

#: Name of the file in a model folder.
EXITS = "exits.json"

#: Its schema; a reader refuses a higher one.
SCHEMA = 1


@dataclass(frozen=True)
class ExitRecord:
    """Calibrated exits and what they cost.

    Attributes:
        rule: The exits.
        classes: Number of classes of the network.
        chosen_by: The target of the calibration, e.g. ``{"drop": 0.005}``.
        validation: The outcome on validation data.
        test: The outcome on test data; None if they were not read.
        curve: The outcome of every threshold tried, on validation data.
        timings: Measured times by batch size.
    """

    rule: ExitRule
    classes: int
    chosen_by: dict[str, float] = field(default_factory=dict)
    validation: dict[str, Any] = field(default_factory=dict)
    test: dict[str, Any] | None = None
    curve: list[dict[str, Any]] = field(default_factory=list)
    timings: list[dict[str, Any]] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Return the content of exits.json, without the hash of the weights."""
        return {
            "schema": SCHEMA,
            "library": "autocompress",
            "version": __version__,
            **self.rule.to_json(),
            "depth": self.rule.depths[-1],
            "classes": self.classes,
            "chosen_by": self.chosen_by,
            "validation": self.validation,
            "test": self.test,
            "curve": self.curve,
            "timings": self.timings,
        }

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Write exits.json into the folder of a saved network, and return its path.

        Raises:
            CheckpointError: The folder holds no saved network, or one of another depth.
            OutputError: The file cannot be written.
        """
        path = Path(folder)
        config = saved_config(path)
        write_json(path / EXITS, {**self.to_json(), "weights_sha256": config.get("sha256")})
        return path / EXITS

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> ExitRecord | None:
        """Read exits.json of a saved network; return None if it has none.

        Raises:
            CheckpointError: The file is damaged, of a newer schema, or was calibrated for other
                weights than those in the folder.
        """
        path = Path(folder) / EXITS
        try:
            found = read_json(path)
        except FileNotFoundError:
            return None
        if not isinstance(found, dict) or type(found.get("schema")) is not int:
            raise CheckpointError(f"{path} is not a file of calibrated exits: it has no 'schema'")
        if not 1 <= found["schema"] <= SCHEMA:
            raise CheckpointError(
                f"{path} has schema {found['schema']}; this version of autocompress reads "
                f"1..{SCHEMA}: upgrade autocompress"
            )
        _check_weights(path, found)
        rule = _rule(path, found)
        classes = found.get("classes")
        if type(classes) is not int or classes < 1:
            raise CheckpointError(f"{path} has 'classes' {classes!r:.40}, no number of classes")
        return cls(
            rule,
            classes,
            chosen_by=_mapping(path, found, "chosen_by"),
            validation=_mapping(path, found, "validation"),
            test=None if found.get("test") is None else _mapping(path, found, "test"),
            curve=_mappings(path, found, "curve"),
            timings=_mappings(path, found, "timings"),
        )


def _check_weights(path: Path, found: Mapping[str, Any]) -> None:
    expected = saved_config(path.parent).get("sha256")
    if found.get("weights_sha256") != expected:
        raise CheckpointError(
            f"{path} was calibrated for other weights than those beside it: calibrate again, "
            "acn exit RUN"
        )


def _rule(path: Path, found: Mapping[str, Any]) -> ExitRule:
    exits = []
    rows = found.get("exits")
    for row in rows if isinstance(rows, list) else []:
        numbers = row if isinstance(row, dict) else {}
        depth, limit = numbers.get("depth"), numbers.get("threshold")
        scale = numbers.get("temperature", 1.0)
        known = _is_number(scale) and (limit is None or _is_number(limit))
        if type(depth) is not int or depth < 0 or not known:
            raise CheckpointError(f"{path} has an invalid exit: {row!r:.80}")
        exits.append(Exit(depth, limit, float(scale)))
    try:
        return ExitRule(str(found.get("criterion")), tuple(exits))
    except AutoCompressError as error:
        raise CheckpointError(f"{path} does not describe exits: {error}") from error


def _is_number(value: object) -> bool:
    return type(value) in (int, float) and math.isfinite(value)  # type: ignore[arg-type]


def _mapping(path: Path, found: Mapping[str, Any], key: str) -> dict[str, Any]:
    value = found.get(key, {})
    if not isinstance(value, dict):
        raise CheckpointError(f"{path} has a {key!r} that is not a mapping: {value!r:.40}")
    return value


def _mappings(path: Path, found: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    value = found.get(key, [])
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise CheckpointError(f"{path} has a {key!r} that is not a list of mappings")
    return value
