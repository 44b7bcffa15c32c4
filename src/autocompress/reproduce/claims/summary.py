"""What the cut networks of the other claims cost: the paper's last table."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from autocompress.errors import DataError
from autocompress.measurement import measure_together
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
from autocompress.reproduce.words import per_cent
from autocompress.reproduce.work import Work, unpack
from autocompress.statistics import paired

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Pair", "Summary", "SummarySettings"]

_KINDS = ("residual", "residual, cut", "ACN", "ACN, cut")
_DRAWN = {"residual, cut": ("#e69f00", "s"), "ACN": ("#56b4e9", "o"), "ACN, cut": ("#0072b2", "D")}


@dataclass(frozen=True)
class Pair:
    """Two networks of one claim.

    Args:
        claim: whose results hold them.
        acn: arm of the ACN.
        residual: arm of the residual network.
        noise: the test data are these, as ``gaussian:0.2``; empty is as they are.
    """

    claim: str
    acn: str
    residual: str
    noise: str | None = None

    @classmethod
    def of(cls, claim: str, arm: str, noise: str | None = None) -> Pair:
        """Two arms that differ in the name of the network only, {} in ``arm``."""
        return cls(claim, arm.format("ACN"), arm.format("residual"), noise)


@dataclass(frozen=True, kw_only=True)
class SummarySettings:
    """Which results are summed up.

    Args:
        results: folder of CLAIM-PRESET.json files; ``--data`` names another.
        preset: of these.
        pairs: by the name of a row.
        batch: of the latencies, beside 1.
        margin: of the score, below which two networks count as equal (a fraction).
    """

    preset: str
    pairs: dict[str, Pair]
    results: str = "benchmarks/results/reproduce"
    batch: int = 256
    margin: float = 0.01


_PAIRS = {
    "gradients": Pair.of("gradients", "{}"),
    "depth, Mixer": Pair.of("depth", "Mixer, {}"),
    "depth, ViT": Pair.of("depth", "ViT, {}"),
    "difficulty, 2 classes": Pair.of("difficulty", "2 classes, {}"),
    "difficulty, 5 classes": Pair.of("difficulty", "5 classes, {}"),
    "difficulty, 10 classes": Pair.of("difficulty", "10 classes, {}"),
    "connectivity, equal epochs": Pair.of("connectivity", "{}"),
    "noise, Gaussian 0.2": Pair.of("noise", "{}", "gaussian:0.2"),
    "low-data, 100 a class": Pair.of("low-data", "100 a class, {}"),
    "pruning, Mixer, all weights": Pair.of("pruning", "Mixer, {}, trained on"),
    "pruning, Mixer, movement 20 %": Pair.of("pruning", "Mixer, {}, movement 20 %"),
    "pruning, SST-2, all weights": Pair.of("pruning", "encoder, {}, dense"),
    "pruning, SST-2, movement 20 %": Pair.of("pruning", "encoder, {}, movement 20 %"),
    "early-exit, CIFAR-10": Pair.of("early-exit", "CIFAR-10, {}, plain"),
    "language, SST-2": Pair.of("language", "{}, SST-2"),
    "language, RTE": Pair.of("language", "{}, RTE"),
}


def _with(transfers: Sequence[str], streams: Sequence[str]) -> dict[str, Pair]:
    """All rows of a preset, of which the tasks go by other names in each."""
    return {
        **_PAIRS,
        **{f"transfer, {n}": Pair.of("transfer", f"{n}, {{}}, matched source") for n in transfers},
        **{
            f"forgetting, {n}, SI": Pair.of("forgetting", f"{n}, {{}}, 15 layers, SI")
            for n in streams
        },
    }


_PRESETS = {
    "smoke": SummarySettings(
        preset="smoke", pairs={"depth, Mixer": _PAIRS["depth, Mixer"]}, batch=4
    ),
    "cpu": SummarySettings(
        preset="cpu",
        pairs=_with(
            ("halves of CIFAR-10", "novels to IMDB"),
            ("Split digits", "Split CIFAR-10", "Author against author"),
        ),
    ),
    "paper": SummarySettings(
        preset="paper", pairs=_with(("CIFAR-100 to CIFAR-10",), ("Split CIFAR-100",))
    ),
}
_COSTS = {"smoke": "seconds", "cpu": "6 core-minutes", "paper": "minutes"}


@register_claim
class Summary(Claim[SummarySettings]):
    """Score, parameters, FLOPs, bytes and latency of residual and ACN, before and after the cut.

    Scores are those of the other claims' results, a mean over their seeds. Sizes and times are of
    networks built anew and cut at the median depth of those seeds, timed in turns: weights do not
    change what a network costs, zeros among them neither. The score of a stream of tasks is the
    average accuracy at its end.
    """

    name = "summary"
    shows = "score, parameters, FLOPs, bytes and latency of what the other claims have cut"
    paper = (
        "ViT-B/16: 86M parameters, 33.7 GFLOPs, 330 MB residual; 51M, 19.7, 195 MB ACN at the "
        "same accuracy. BERT-base: 110M, 21.7, 418 MB; 46M, 5.4, 174 MB."
    )
    presets = _PRESETS
    costs = _COSTS

    def describe(self, settings: SummarySettings) -> str:
        """Where the scores come from, and what is timed."""
        return (
            f"- scores are those of the claims, {settings.preset} preset, a mean over the seeds; "
            "the cut is at the depth that validation chose, for the costs that of the median seed\n"
            f"- costs are of networks built anew, timed in turns, 1 and {settings.batch} examples; "
            "zeros are counted and multiplied as other weights are\n"
            "- forgetting: average accuracy at the end; noise: on the noisy test data"
        )

    def arms(self, settings: SummarySettings) -> list[Arm]:
        return [Arm(row) for row in settings.pairs]

    def run(self, settings: SummarySettings, arm: str, work: Work) -> dict[str, Any]:
        pair = settings.pairs[arm]
        folder = Path(work.data[0] if work.data else settings.results)
        path = folder / f"{pair.claim}-{settings.preset}.json"
        if not path.is_file():
            raise DataError(
                f"{path} is missing: it is the results.json of `acn reproduce {pair.claim} "
                f"--preset {settings.preset}`; --data names another folder"
            )
        jobs = json.loads(path.read_text())["jobs"]
        nets: dict[str, Network] = {}
        rows: dict[str, dict[str, Any]] = {}
        for kind, name in (("ACN", pair.acn), ("residual", pair.residual)):
            runs = [job["scores"] for job in jobs if job["arm"] == name]
            depth = int(statistics.median_low(run["selected"] for run in runs))
            nets[kind] = _built(runs[0]["model"])
            nets[f"{kind}, cut"] = nets[kind].cut(depth)
            for key, of in ((kind, "full"), (f"{kind}, cut", "cut")):
                scores = [round(_score(run, of, pair.noise), 6) for run in runs]
                rows[key] = {"score": statistics.fmean(scores), "scores": scores}
        example = nets["ACN"].example(settings.batch)
        for kind, cost in measure_together(nets, example, (1, settings.batch)).items():
            rows[kind] |= cost.to_json()
        return rows

    def verdict(self, settings: SummarySettings, results: Results) -> list[Finding]:
        found, size = [], str(settings.batch)
        for row in settings.pairs:
            runs = results.of(row)
            found.append(
                finding(
                    f"{row}: the cut ACN is as good as the residual network",
                    paired(*(runs[0][kind]["scores"] for kind in ("ACN, cut", "residual"))),
                    least=-settings.margin,
                    unit="points",
                    scale=100,
                )
            )
            for rival, of_paper in (("residual", True), ("residual, cut", False)):
                times = [
                    run["ACN, cut"]["latency_ms"][size] / run[rival]["latency_ms"][size]
                    for run in runs
                ]
                words = "cut by the same rule" if rival.endswith("cut") else "whole"
                found.append(
                    finding(
                        f"{row}: the cut ACN is faster than the residual network, {words}",
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
        rows = list(settings.pairs)
        runs = [results.of(row)[0] for row in rows]
        figure.set_size_inches(8.4, 1.4 + 0.24 * len(rows))
        panels = figure.subplots(1, 2, sharey=True)
        for kind, (colour, marker) in _DRAWN.items():
            gained = [100 * (run[kind]["score"] - run["residual"]["score"]) for run in runs]
            work = [100 * run[kind]["flops"] / run["residual"]["flops"] for run in runs]
            for axes, values in zip(panels, (gained, work), strict=True):
                axes.plot(values, range(len(rows)), marker, color=colour, mfc="none", label=kind)
        for axes, middle in zip(panels, (0, 100), strict=True):
            axes.axvline(middle, color="#d55e00", lw=1)
            axes.grid(alpha=0.25)
        panels[0].set(xlabel="points above the whole residual network")
        panels[0].set_yticks(range(len(rows)), rows, fontsize=7)
        panels[0].invert_yaxis()
        panels[1].set(xlabel="FLOPs, % of the whole residual network's")
        labels = panels[0].get_legend_handles_labels()
        figure.legend(*labels, loc="outside lower center", ncols=len(_DRAWN))


def _score(run: Mapping[str, Any], of: str, noise: str | None) -> float:
    """Test score of one run, of the ``full`` network or the ``cut`` one."""
    depth = -1 if of == "full" else run["selected"]
    if noise is not None:
        return float(unpack(run["noise"][noise][of]).double().mean())
    if "by_depth" in run:
        return statistics.fmean(curve[depth] for curve in run["by_depth"][-1])
    return float(run["test"][depth])


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
