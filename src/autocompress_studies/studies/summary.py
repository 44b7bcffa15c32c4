"""The cost of the other studies' cut networks: the paper's last table.

Scores are those of the other studies' results, averaged over their seeds. Sizes and times are those
of networks built again and cut at the median depth over the seeds, timed in turns: weights do not
affect a network's cost, even if they are zero. The score of a stream of tasks is the average
accuracy at its end.
"""

from __future__ import annotations

import json
import statistics as stats
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from autocompress.errors import DataError
from autocompress.io.bits import unpack_bits
from autocompress.measurement import measure_together
from autocompress.network import Network, build
from autocompress.printing import markdown
from autocompress.statistics import paired
from autocompress_studies.figures import PALETTE, Figure, colour_of, legend_below
from autocompress_studies.page import results_folder
from autocompress_studies.results import Arm, Results, Runs
from autocompress_studies.statements import Statement, more
from autocompress_studies.study import Study
from autocompress_studies.words import per_cent
from autocompress_studies.work import Work

__all__ = ["STUDY", "Arms", "Settings", "scores_of"]

_KINDS = ("residual", "residual, cut", "ACN", "ACN, cut")
_DRAWN = {
    "residual, cut": (colour_of("residual, cut"), "s"),
    "ACN": (PALETTE[5], "o"),
    "ACN, cut": (colour_of("ACN"), "D"),
}


@dataclass(frozen=True)
class Arms:
    """Two arms of one study."""

    claim: str  #: study whose results hold them
    acn: str  #: name of the ACN's arm
    residual: str  #: name of the residual network's arm
    noise: str | None = None  #: of the test data, such as ``gaussian:0.2``; None: as they are

    @classmethod
    def of(cls, claim: str, arm: str, noise: str | None = None) -> Arms:
        """Return two arms that differ in the name of the network only, {} in ``arm``."""
        return cls(claim, arm.format("ACN"), arm.format("residual"), noise)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The results to summarise.

    ``--data`` names their folder of STUDY-PRESET.json files; without it those of the repository are
    read.
    """

    preset: str  #: of these results
    pairs: dict[str, Arms]  #: networks of each row, by name
    batch: int = 256  #: batch size of the latencies, besides 1
    margin: float = 0.01  #: scores (fractions) that differ by less count as equal


def describe(settings: Settings) -> str:
    return (
        f"- scores are means over the seeds of the claims' {settings.preset} preset; networks are "
        "cut at the depth that validation selected (for the costs, at that of the median seed)\n"
        f"- costs are measured on newly built networks, in turns, with 1 and {settings.batch} "
        "examples; zeros count like other weights\n"
        "- forgetting: average accuracy at the end; noise: accuracy on the noisy test data"
    )


def run(settings: Settings, key: str, work: Work) -> dict[str, Any]:
    pair = settings.pairs[key]
    folder = Path(work.data[0]) if work.data else results_folder()
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
        depth = int(stats.median_low(run["selected"] for run in runs))
        nets[kind] = _built(runs[0]["model"])
        nets[f"{kind}, cut"] = nets[kind].cut(depth)
    for row, scores in scores_of(pair, jobs).items():
        rows[row] = {"score": stats.fmean(scores), "scores": scores}
    example = nets["ACN"].example(settings.batch)
    for kind, cost in measure_together(nets, example, (1, settings.batch)).items():
        rows[kind] |= cost.to_json()
    return rows


def scores_of(pair: Arms, jobs: Sequence[Mapping[str, Any]]) -> dict[str, list[float]]:
    """Return the test scores of a pair's networks, whole and cut, seed by seed.

    Args:
        pair: The two arms.
        jobs: Jobs in the results of their claim.
    """
    found = {}
    for kind, arm in (("ACN", pair.acn), ("residual", pair.residual)):
        runs = [job["scores"] for job in jobs if job["arm"] == arm]
        for row, of in ((kind, "full"), (f"{kind}, cut", "cut")):
            found[row] = [round(_score(run, of, pair.noise), 6) for run in runs]
    return found


def _score(run: Mapping[str, Any], of: str, noise: str | None) -> float:
    """Return the test score of one run, of the ``full`` network or the ``cut`` one."""
    depth = -1 if of == "full" else run["selected"]
    if noise is not None:
        return float(unpack_bits(run["noise"][noise][of]).double().mean())
    if "by_depth" in run:
        return stats.fmean(curve[depth] for curve in run["by_depth"][-1])
    return float(run["test"][depth])


def _built(model: Mapping[str, Any]) -> Network:
    torch.manual_seed(0)
    arguments = {key: value for key, value in model.items() if key != "name"}
    return build(model["name"], **arguments)


def statements(settings: Settings, results: Results[str]) -> Iterator[Statement]:
    size = str(settings.batch)
    for row in settings.pairs:
        runs = results.of(row)
        yield more(
            f"{row}: the cut ACN is as good as the residual network",
            *(runs[0][kind]["scores"] for kind in ("ACN, cut", "residual")),
            margin=settings.margin,
        )
        for rival, words in (("residual", "whole"), ("residual, cut", "cut by the same rule")):
            times = [
                run["ACN, cut"]["latency_ms"][size] / run[rival]["latency_ms"][size] for run in runs
            ]
            yield Statement(
                f"{row}: the cut ACN is faster than the residual network, {words}",
                paired([1.0] * len(runs), times),
                unit="% of its time",
                scale=100,
                of_paper=rival == "residual",
            )


def table(settings: Settings, results: Results[str]) -> str:
    rows = [
        (f"{row}: {kind}", *_cells(results.of(row), kind, settings.batch))
        for row in settings.pairs
        for kind in _KINDS
    ]
    headings = ("network", "layers", "test", "parameters", "GFLOPs", "MB", "ms, batch 1")
    return markdown((*headings, f"ms, batch {settings.batch}"), rows)


def _cells(runs: Runs, kind: str, batch: int) -> tuple[str, ...]:
    first = runs[0][kind]
    times = [
        stats.median(run[kind]["latency_ms"][str(size)] for run in runs) for size in (1, batch)
    ]
    return (
        str(first["depth"]),
        per_cent([first["score"]]),
        f"{first['parameters']:,}",
        f"{first['flops'] / 1e9:.4f}",
        f"{first['bytes'] / 1e6:.3f}",
        *(f"{time:.2f}" for time in times),
    )


def draw(figure: Figure, settings: Settings, results: Results[str]) -> None:
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
        axes.axvline(middle, color=colour_of("residual"), lw=1)
    panels[0].set(xlabel="points above the whole residual network")
    panels[0].set_yticks(range(len(rows)), rows, fontsize=7)
    panels[0].invert_yaxis()
    panels[1].set(xlabel="FLOPs, % of the whole residual network's")
    legend_below(figure, panels[:1])


_ROWS = {
    "gradients": Arms.of("gradients", "{}"),
    "depth, Mixer": Arms.of("depth", "Mixer, {}"),
    **{f"difficulty, {n} classes": Arms.of("difficulty", f"{n} classes, {{}}") for n in (2, 5, 10)},
    "connectivity, equal epochs": Arms.of("connectivity", "{}"),
    "noise, Gaussian 0.2": Arms.of("noise", "{}", "gaussian:0.2"),
    "low-data, 100 a class": Arms.of("low-data", "100 a class, {}"),
    "pruning, Mixer, all weights": Arms.of("pruning", "Mixer, {}, trained on"),
    "pruning, Mixer, movement 20 %": Arms.of("pruning", "Mixer, {}, movement 20 %"),
    "pruning, SST-2, all weights": Arms.of("pruning", "encoder, {}, dense"),
    "pruning, SST-2, movement 20 %": Arms.of("pruning", "encoder, {}, movement 20 %"),
    "language, SST-2": Arms.of("language", "SST-2, {}"),
}


def _with(exits: str, transfers: Sequence[str], streams: Sequence[str]) -> dict[str, Arms]:
    """Return all rows of a preset; tasks have different names in each preset."""
    left = {f"early-exit, {exits}": Arms.of("early-exit", f"{exits}, {{}}, plain")}
    moved = {f"transfer, {n}": Arms.of("transfer", f"{n}, {{}}, matched source") for n in transfers}
    learned = {
        f"forgetting, {n}, SI": Arms.of("forgetting", f"{n}, {{}}, 15 layers, SI") for n in streams
    }
    return {**_ROWS, **left, **moved, **learned}


STUDY = Study(
    name="summary",
    shows="score, parameters, FLOPs, bytes and latency of the networks that the other claims cut",
    paper="A residual ViT-B/16 has 86M parameters, 33.7 GFLOPs and 330 MB; the ACN of the same "
    "accuracy has 51M, 19.7 and 195 MB. A residual BERT-base has 110M, 21.7 and 418 MB; the ACN "
    "has 46M, 5.4 and 174 MB.",
    presets={
        "smoke": Settings(preset="smoke", pairs={"depth, Mixer": _ROWS["depth, Mixer"]}, batch=4),
        "cpu": Settings(
            preset="cpu",
            pairs=_with(
                "digits",
                ("halves of MNIST", "novels to IMDB"),
                ("Split digits", "Split MNIST", "Author against author"),
            ),
        ),
        "paper": Settings(
            preset="paper",
            pairs={
                "depth, ViT": Arms.of("depth", "ViT, {}"),
                **_with("CIFAR-10", ("CIFAR-100 to CIFAR-10",), ("Split CIFAR-100",)),
            },
        ),
    },
    costs={"smoke": "seconds", "cpu": "12 core-minutes", "paper": "minutes"},
    arms=lambda settings: [Arm(row) for row in settings.pairs],
    run=run,
    statements=statements,
    table=table,
    draw=draw,
    describe=describe,
)
