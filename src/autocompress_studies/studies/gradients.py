"""The gradients that train each layer, and the networks that compress."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import nn

from autocompress.diagnose import GradientRecorder, ScalarNet
from autocompress.pipeline import RunConfig
from autocompress.statistics import paired
from autocompress.trunk import Block, Branch, Trunk
from autocompress_studies.figures import PALETTE, Figure, mean_curve
from autocompress_studies.results import Arm, Results
from autocompress_studies.settings import DIGITS, PAPER, SMOKE, as_net, changed
from autocompress_studies.statements import Statement, fewer_layers, more_accurate
from autocompress_studies.study import Study
from autocompress_studies.words import by_arm, spread
from autocompress_studies.work import Work, examine, training_record

__all__ = ["STUDY", "Settings", "deviations", "early_gradients"]

THEORY = "scalar theory"

#: By name, the connectivity and the weight of the mediated gradient.
NETS = {
    "feed-forward": ("ffn", 1.0),
    "residual": ("residual", 1.0),
    "ACN": ("acn", 1.0),
    "ACN, direct only": ("acn", 0.0),
}


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings of the training."""

    network: RunConfig  #: of each network; its ``control`` is the residual network's
    every: int  #: number of steps between records of the gradients
    batch: int = 256  #: number of examples in a record
    scalar_depth: int = 8  #: number of layers of the scalar networks


def run(settings: Settings, key: str, work: Work) -> dict[str, Any]:
    if key == THEORY:
        return deviations(settings.scalar_depth, work.seed)
    name, mediated = NETS[key]
    config = as_net(key, work.seeded(settings.network))
    data = work.load(config.data)
    rule = {**config.model.rule(), "name": name}
    config = changed(config, {"model.connectivity": rule, "fit.mediated": mediated})
    recorder = GradientRecorder(data.train, settings.every, settings.batch)
    net, found = work.fitted(config, data, hooks=[recorder])
    seen = {
        name: values if name == "steps" else [[_short(v) for v in row] for row in values]
        for name, values in recorder.to_json().items()
    }
    return {**examine(net, data), **training_record(found), "gradients": seen}


def statements(settings: Settings, results: Results[str]) -> Iterator[Statement]:
    for net in ("ACN", "ACN, direct only"):
        for rival in ("residual", "feed-forward"):
            words = f"the {net} needs fewer layers than the {rival} network"
            yield fewer_layers(words, results, net, rival)
    words = "with the direct gradient alone an ACN scores lower"
    yield more_accurate(words, results, "ACN", "ACN, direct only")
    zero = [0.0] * len(results.seeds)
    ours, theirs = (
        [early_gradients(run) for run in results.of(net)] for net in ("ACN", "residual")
    )
    words = "early in training the first half of the ACN gets the larger gradients"
    for said, other in ((words, zero), (f"{words}, more so than in a residual network", theirs)):
        scale = 1 / math.log(10)
        yield Statement(said, paired(ours, other), unit="log10 of the ratio", scale=scale)
    places = [-math.log10(max(1e-17, *run.values())) for run in results.of(THEORY)]
    words = "table 1 has the output and the gradients of scalar networks"
    yield Statement(words, paired(places, zero), 9.0, "decimal places")


def draw(figure: Figure, settings: Settings, results: Results[str]) -> None:
    panels = figure.subplots(2, len(NETS))
    shares = {n: _by_column(results.of(n)[0]["gradients"]["full"]) for n in NETS}
    scale = {"vmin": 0.0, "vmax": max(max(_flat(rows)) for rows in shares.values())}
    for column, net in enumerate(NETS):
        top, below = panels[0][column], panels[1][column]
        seen = results.of(net)[0]["gradients"]
        image = top.imshow(shares[net], aspect="auto", origin="lower", **scale)
        top.set_title(net)
        top.grid(False)
        top.set_xticks([0, len(seen["steps"]) - 1], [0, seen["steps"][-1]])
        layers = len(seen["full"])
        top.set_yticks([0, layers - 1], [1, layers])
        scores = mean_curve(results, net)
        gains = [after - before for before, after in pairwise(scores)]
        below.bar(range(1, layers + 1), gains, color=PALETTE[0])
        below.set_xticks([1, layers])
        below.set_xlabel("layer")
        below.axhline(0, color="0.3", lw=0.8)
    figure.colorbar(image, ax=list(panels[0]), label="share of the gradient")
    panels[0][0].set_ylabel("layer, by step")
    panels[1][0].set_ylabel("points that it adds")


def _short(value: float) -> float:
    return float(f"{value:.4g}")


def _flat(rows: Sequence[Sequence[float]]) -> list[float]:
    return [value for row in rows for value in row]


def early_gradients(run: Mapping[str, Any]) -> float:
    """Return the log of the mean gradient norm in the first half of the layers over the second's.

    The mean is over the records in the first third of the training.
    """
    rows = run["gradients"]["full"]
    looks = max(1, len(run["gradients"]["steps"]) // 3)
    half = len(rows) // 2
    first, second = (
        statistics.fmean(_flat([row[:looks] for row in part]))
        for part in (rows[:half], rows[-half:])
    )
    tiny = 1e-12  # a layer may receive no gradient
    return math.log(max(first, tiny) / max(second, tiny))


def _by_column(rows: Sequence[Sequence[float]]) -> list[list[float]]:
    """Return each record's norms as shares of their sum, so that colours compare layers."""
    totals = [sum(column) or 1.0 for column in zip(*rows, strict=True)]
    return [[v / total for v, total in zip(row, totals, strict=True)] for row in rows]


def deviations(depth: int, seed: int) -> dict[str, float]:
    """Return the largest relative deviation of closed form and autograd, by kind of network."""
    generator = torch.Generator().manual_seed(seed)
    weights = torch.randn(depth, generator=generator, dtype=torch.float64).tolist()
    return {kind: _deviation(kind, weights) for kind in ("ffn", "residual", "acn")}


def _deviation(kind: Any, weights: list[float]) -> float:
    theory = ScalarNet(kind, weights)
    bodies = [nn.Linear(1, 1, bias=False, dtype=torch.float64) for _ in weights]
    for body, weight in zip(bodies, weights, strict=True):
        nn.init.constant_(body.weight, weight)
    trunk = Trunk([Block([Branch(body, nn.Identity())]) for body in bodies], kind)
    y = trunk(torch.ones(1, 1, dtype=torch.float64)).sum()
    found = [float(g) for g in torch.autograd.grad(y, [body.weight for body in bodies])]
    pairs = [(float(y.detach()), theory.output)]
    pairs += [(g, theory.gradient(layer)) for layer, g in enumerate(found, 1)]
    return max(abs(a - b) / max(1.0, abs(b)) for a, b in pairs)


STUDY = Study(
    name="gradients",
    shows="direct, mediated and full gradient by layer; only the ACN compresses",
    paper="A strong direct gradient trains the early layers of an ACN first, and the later ones "
    "become redundant. Feed-forward and residual networks do not compress. An ACN that is trained "
    "with the direct gradient alone does, but it scores lower. Table 1 has the gradients of "
    "scalar networks.",
    presets={
        "smoke": Settings(network=SMOKE, every=4, batch=32),
        "cpu": Settings(network=DIGITS, every=13),
        "paper": Settings(network=changed(PAPER, {"control": None}), every=1000),
    },
    costs={"smoke": "seconds", "cpu": "7 core-minutes a seed", "paper": "a GPU for a week"},
    arms=lambda settings: [Arm(THEORY), *(Arm(net) for net in NETS)],
    run=run,
    headlines=(
        "the ACN needs fewer layers than the residual network",
        "with the direct gradient alone an ACN scores lower",
    ),
    statements=statements,
    table=by_arm(
        "network",
        *("test, full", "layers needed"),
        {
            "gradient, first half / second half, early in training": lambda runs: spread(
                [10 ** (early_gradients(run) / math.log(10)) for run in runs], 2
            ),
            "direct / full, all layers and looks": lambda runs: spread(
                [statistics.fmean(_flat(run["gradients"]["share"])) for run in runs], 2
            ),
        },
        where=lambda results, key: key != THEORY,
    ),
    draw=draw,
)
