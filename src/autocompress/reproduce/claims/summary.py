"""What the cut networks of the other claims cost: the paper's last table."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from autocompress.errors import DataError
from autocompress.measure import measure_together
from autocompress.network import Network, build
from autocompress.reproduce.claim import (
    Arm,
    Claim,
    Finding,
    Results,
    Table,
    finding,
    register_claim,
)
from autocompress.reproduce.intervals import paired
from autocompress.reproduce.words import per_cent
from autocompress.reproduce.work import Work

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Summary", "SummarySettings"]

_KINDS = ("residual", "residual, cut", "ACN", "ACN, cut")


@dataclass(frozen=True, kw_only=True)
class SummarySettings:
    """Which results are summed up.

    Args:
        results: folder of CLAIM-PRESET.json files; ``--data`` names another.
        preset: of these.
        pairs: by the name of a row, the claim and its two arms, (claim, ACN, residual).
        batch: of the latencies, beside 1.
    """

    preset: str
    pairs: dict[str, tuple[str, str, str]]
    results: str = "benchmarks/results/reproduce"
    batch: int = 256


_PAIRS = {
    "Mixer": ("depth", "Mixer, ACN", "Mixer, residual"),
    "ViT": ("depth", "ViT, ACN", "ViT, residual"),
    "2 classes": ("difficulty", "2 classes, ACN", "2 classes, residual"),
    "5 classes": ("difficulty", "5 classes, ACN", "5 classes, residual"),
    "10 classes": ("difficulty", "10 classes, ACN", "10 classes, residual"),
    "100 images a class": ("low-data", "100 a class, ACN", "100 a class, residual"),
    "equal epochs": ("connectivity", "ACN", "residual"),
}
_PRESETS = {
    "smoke": SummarySettings(preset="smoke", pairs={"Mixer": _PAIRS["Mixer"]}, batch=4),
    "cpu": SummarySettings(preset="cpu", pairs=_PAIRS),
    "paper": SummarySettings(preset="paper", pairs=_PAIRS),
}
_COSTS = {"smoke": "seconds", "cpu": "a minute", "paper": "minutes"}


@register_claim
class Summary(Claim[SummarySettings]):
    """Score, parameters, FLOPs, bytes and latency of residual and ACN, before and after the cut.

    Scores are those of the other claims' results, a mean over their seeds. Sizes and times are of
    networks built anew and cut at the median depth of those seeds, timed in turns: weights do not
    change what a network costs.
    """

    name = "summary"
    shows = "score, parameters, FLOPs, bytes and latency of what the other claims have cut"
    paper = (
        "ViT-B/16: 86M parameters, 33.7 GFLOPs, 330 MB residual; 51M, 19.7, 195 MB ACN at the "
        "same accuracy. BERT-base: 110M, 21.7, 418 MB; 46M, 5.4, 174 MB."
    )
    presets = _PRESETS
    costs = _COSTS

    def arms(self, settings: SummarySettings) -> list[Arm]:
        return [Arm(row) for row in settings.pairs]

    def run(self, settings: SummarySettings, arm: str, work: Work) -> dict[str, Any]:
        claim, *arms = settings.pairs[arm]
        folder = Path(work.data[0] if work.data else settings.results)
        path = folder / f"{claim}-{settings.preset}.json"
        if not path.is_file():
            raise DataError(
                f"{path} is missing: it is the results.json of `acn reproduce {claim} --preset "
                f"{settings.preset}`; --data names another folder"
            )
        jobs = json.loads(path.read_text())["jobs"]
        nets: dict[str, Network] = {}
        rows: dict[str, dict[str, Any]] = {}
        for kind, name in zip(("ACN", "residual"), arms, strict=True):
            runs = [job["scores"] for job in jobs if job["arm"] == name]
            depth = int(statistics.median_low(run["selected"] for run in runs))
            nets[kind] = _built(runs[0]["model"])
            nets[f"{kind}, cut"] = nets[kind].cut(depth)
            rows[kind] = {"score": statistics.fmean(run["test"][-1] for run in runs)}
            cut = statistics.fmean(run["test"][run["selected"]] for run in runs)
            rows[f"{kind}, cut"] = {"score": cut}
        example = nets["ACN"].example(settings.batch)
        for kind, cost in measure_together(nets, example, (1, settings.batch)).items():
            rows[kind] |= cost.to_json()
        return rows

    def verdict(self, settings: SummarySettings, results: Results) -> list[Finding]:
        found, size = [], str(settings.batch)
        for row in settings.pairs:
            runs = results.of(row)
            for rival, of_paper in (("residual", True), ("residual, cut", False)):
                times = [
                    run["ACN, cut"]["latency_ms"][size] / run[rival]["latency_ms"][size]
                    for run in runs
                ]
                words = "by the same rule" if rival.endswith("cut") else "not at all"
                found.append(
                    finding(
                        f"{row}: the cut ACN is faster than the residual network cut {words}",
                        paired([1.0] * len(runs), times),
                        least=0.0,
                        unit="% of its time",
                        scale=100,
                        of_paper=of_paper,
                    )
                )
        return found

    def table(self, settings: SummarySettings, results: Results) -> Table:
        rows = [
            (f"{row}: {kind}", *_cells(results.of(row), kind, settings.batch))
            for row in settings.pairs
            for kind in _KINDS
        ]
        headings = (
            "network",
            "layers",
            "test",
            "parameters",
            "GFLOPs",
            "MB",
            "ms, batch 1",
            f"ms, batch {settings.batch}",
        )
        return Table(headings, rows)

    def draw(self, figure: Figure, settings: SummarySettings, results: Results) -> None:
        axes = figure.subplots()
        for kind, colour in zip(_KINDS, ("#d55e00", "#e69f00", "#0072b2", "#56b4e9"), strict=True):
            runs = [results.of(row)[0][kind] for row in settings.pairs]
            axes.plot(
                [run["flops"] / 1e6 for run in runs],
                [100 * run["score"] for run in runs],
                "o",
                color=colour,
                label=kind,
            )
        axes.set(xlabel="MFLOPs of one image's forward pass", ylabel="test accuracy, %")
        axes.grid(alpha=0.25)
        axes.legend()


def _built(model: Mapping[str, Any]) -> Network:
    torch.manual_seed(0)
    arguments = {key: value for key, value in model.items() if key != "name"}
    return build(model["name"], **arguments)


def _cells(runs: list[Mapping[str, Any]], kind: str, batch: int) -> tuple[str, ...]:
    first = runs[0][kind]
    times = [
        statistics.median(run[kind]["latency_ms"][str(size)] for run in runs) for size in (1, batch)
    ]
    return (
        str(first["depth"]),
        per_cent([first["score"]]),
        f"{first['parameters']:,}",
        f"{first['flops'] / 1e9:.4f}",
        f"{first['bytes'] / 1e6:.3f}",
        *(f"{time:.2f}" for time in times),
    )
