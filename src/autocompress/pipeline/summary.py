"""Assemble report.json (schema 2) from the results of a run."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from autocompress.data import Splits
from autocompress.depth import DepthCurve, Selection, curves_by_part
from autocompress.measurement import Measurement, ratio_quartiles
from autocompress.measurement.modes import device_of
from autocompress.network import Network
from autocompress.pipeline.config import RunConfig
from autocompress.pipeline.exploring import changing_examples, class_tables, intervals
from autocompress.training import sparsity
from autocompress.version import __version__

__all__ = ["ScoredNetwork", "environment", "summarise"]


@dataclass
class ScoredNetwork:
    """One network of the before/after table.

    Attributes:
        net: The network.
        curve: Its probe on validation data; for a cut network that of the original.
        depth: Depth in ``curve`` that corresponds to the network; None is full depth.
        test: Its probe on test data.
    """

    net: Network
    curve: DepthCurve
    depth: int | None = None
    test: DepthCurve | None = None

    def scores(self) -> dict[str, float | None]:
        """Return validation and test score of this network."""
        at = self.curve.depth if self.depth is None else self.depth
        test = None if self.test is None else round(self.test.scores[at], 6)
        return {"validation": round(self.curve.scores[at], 6), "test": test}


def summarise(
    config: RunConfig,
    data: Splits,
    selection: Selection,
    rows: Mapping[str, ScoredNetwork],
    costs: Mapping[str, Measurement],
    by_depth: Sequence[Mapping[str, Any]],
    checks: Mapping[str, float | None],
    seconds: dict[str, float],
    late_gain: float | None,
) -> dict[str, Any]:
    """Return report.json as a dict with all keys of the schema, null where nothing was measured."""
    net = rows["full"].net
    networks = _networks(config, rows, costs)
    constant = rows["full"].curve.constant
    parts = _parts(data, rows)
    return {
        "schema": 2,
        "task": {
            "dataset": data.name,
            "metric": data.metric,
            "train": len(data.train),
            "validation": len(data.validation),
            "test": len(data.test),
        },
        "model": {
            "name": net.model_name,
            "connectivity": net.rule(),
            "depth": net.depth,
            **({} if config.model.init is None else {"init": config.model.init}),
        },
        "depths": [
            {**point, **measured}
            for point, measured in zip(_depths(rows["full"]), by_depth, strict=True)
        ],
        **_explored(data, rows["full"], selection.depth),
        **({"parts": parts} if parts else {}),
        "rule": str(selection),
        "selected": selection.depth,
        **{name: networks.get(name) for name in ("full", "small", "baseline", "shallow")},
        "checks": checks,
        "warnings": list(selection.warnings),
        "constant": None if constant is None else round(constant, 6),
        "late_gain": None if late_gain is None else round(max(0.0, late_gain), 6),
        "seed": config.fit.seed,
        "seconds": seconds,
        "environment": environment(device_of(net)),
    }


def _networks(
    config: RunConfig, rows: Mapping[str, ScoredNetwork], costs: Mapping[str, Measurement]
) -> dict[str, dict[str, Any]]:
    """Return the scores and costs of the networks by name, and the depths of the baseline."""
    found = {name: _described(row, costs[name], costs["full"]) for name, row in rows.items()}
    if config.fit.prune is not None:
        for name, row in rows.items():
            found[name]["sparsity"] = round(sparsity(row.net), 6)
    if "baseline" in rows:
        baseline = rows["baseline"]
        found["baseline"]["depths"] = _depths(baseline)
        found["baseline"]["selected"] = baseline.curve.select(config.select).depth
    return found


def _parts(data: Splits, rows: Mapping[str, ScoredNetwork]) -> list[dict[str, Any]]:
    """Return theory's depths for the task's parts, with those kept of network and control."""
    curves = {
        name: curves_by_part(rows[name].curve, data.validation, data.parts)
        for name in ("full", "baseline")
        if name in rows
    }
    found = [curve.to_json() for curve in curves["full"]]
    for part, control in zip(found, curves.get("baseline", []), strict=False):
        part["control_kept"] = control.kept
    return found


def environment(device: torch.device) -> dict[str, Any]:
    """Return the machine and the versions with which the results were measured."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor()
    return {
        "device": f"{device.type} {name}".strip(),
        "cpus": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "platform": platform.platform(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "autocompress": __version__,
    }


def _described(row: ScoredNetwork, cost: Measurement, full: Measurement) -> dict[str, Any]:
    measured = cost.to_json()
    ratios: dict[str, list[float] | None] = {}
    for size, timing in cost.latency_ms.items():
        base = full.latency_ms[size]
        ratios[size] = None if not timing or not base else [*ratio_quartiles(timing, base)]
    kept: tuple[str, ...] = ("depth", "parameters", "flops", "bytes", "peak_memory_bytes")
    kept += ("latency_ms", "latency_spread_ms")
    own = {key: measured[key] for key in kept}
    return {**row.scores(), **own, "latency_ratio": ratios}


def _depths(row: ScoredNetwork) -> list[dict[str, Any]]:
    tests: list[float | None] = [None] * (row.curve.depth + 1)
    between: list[list[float] | None] = [None] * (row.curve.depth + 1)
    if row.test is not None:
        tests = [round(score, 6) for score in row.test.scores]
        between = [*intervals(row.test)]
    return [
        {
            "depth": point["depth"],
            "validation": round(point["score"], 6),
            "test": test,
            "parameters": point["parameters"],
            "flops": point["flops"],
            "interval": pair,
            "validation_interval": own,
        }
        for point, test, pair, own in zip(
            row.curve.to_json(), tests, between, intervals(row.curve), strict=True
        )
    ]


def _explored(data: Splits, row: ScoredNetwork, kept: int) -> dict[str, Any]:
    """Return the classes and changing examples of the test data, where answers are classes."""
    if row.test is None:
        return {}
    tables, examples = class_tables(data, row.test, kept), changing_examples(data, row.test, kept)
    return {"classes": tables, "examples": examples}
