"""Which gradients train which layers, and who compresses."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from autocompress.diagnose import GradientRecorder, ScalarNet
from autocompress.pipeline import RunConfig
from autocompress.reproduce.claim import (
    Arm,
    Claim,
    Finding,
    Results,
    Table,
    finding,
    register_claim,
)
from autocompress.reproduce.comparing import accuracy, layers_saved, mean_curve
from autocompress.reproduce.settings import CPU, PAPER, SMOKE
from autocompress.reproduce.words import full_score, layers_needed, spread
from autocompress.reproduce.work import Work, examine
from autocompress.statistics import paired
from autocompress.training import fit
from autocompress.trunk import Block, Branch, Trunk

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Gradients", "GradientsSettings"]

_THEORY = "scalar theory"
_KINDS = ("ffn", "residual", "acn")

#: By name: the connectivity, and the weight of the mediated gradient.
_NETS = {
    "feed-forward": ("ffn", 1.0),
    "residual": ("residual", 1.0),
    "ACN": ("acn", 1.0),
    "ACN, direct only": ("acn", 0.0),
}


@dataclass(frozen=True, kw_only=True)
class GradientsSettings:
    """What is trained.

    Args:
        network: how each network is trained.
        every: steps between two looks at the gradients.
        batch: examples of a look.
        scalar_depth: layers of the scalar networks.
    """

    network: RunConfig
    every: int
    batch: int = 256
    scalar_depth: int = 8


_PRESETS = {
    "smoke": GradientsSettings(network=SMOKE, every=4, batch=32),
    "cpu": GradientsSettings(
        network=replace(
            CPU, data=replace(CPU.data, train_limit=6_000), fit=replace(CPU.fit, epochs=8)
        ),
        every=13,
    ),
    "paper": GradientsSettings(network=replace(PAPER, control=None), every=1000),
}
_COSTS = {"smoke": "seconds", "cpu": "3 core-minutes", "paper": "a GPU for a week"}


@register_claim
class Gradients(Claim[GradientsSettings]):
    """Direct, mediated and full gradients of feed-forward, residual, ACN and direct-only ACN."""

    name = "gradients"
    shows = "direct, mediated and full gradient by layer; only the ACN compresses"
    paper = (
        "A strong direct gradient trains the early layers of an ACN first, and the later ones "
        "become redundant. Feed-forward and residual networks do not compress; with the direct "
        "gradient alone an ACN does, but scores lower. Table 1: the gradients of scalar networks."
    )
    presets = _PRESETS
    costs = _COSTS

    def arms(self, settings: GradientsSettings) -> list[Arm]:
        return [Arm(_THEORY), *(Arm(name) for name in _NETS)]

    def run(self, settings: GradientsSettings, arm: str, work: Work) -> dict[str, Any]:
        if arm == _THEORY:
            return _deviations(settings.scalar_depth, work.seed)
        rule, mediated = _NETS[arm]
        config = work.seeded(settings.network)
        data = work.load(config.data)
        model = replace(config.model, connectivity={**config.model.rule(), "name": rule})
        net = model.build(data, work.seed)
        recorder = GradientRecorder(data.train, settings.every, settings.batch)
        run = fit(
            net,
            data.train,
            data.validation,
            replace(config.fit, mediated=mediated),
            augment=config.augment,
            hooks=[recorder],
            progress=False,
        )
        seen = {
            key: values if key == "steps" else [[_short(v) for v in row] for row in values]
            for key, values in recorder.to_json().items()
        }
        return {**examine(net, data), "gradients": seen, "train_seconds": round(run.seconds, 1)}

    def verdict(self, settings: GradientsSettings, results: Results) -> list[Finding]:
        early = {name: [_early(run) for run in results.of(name)] for name in _NETS}
        zero = [0.0] * len(results.seeds)
        found = [
            finding(
                f"the {name} needs fewer layers than the {rival} network",
                layers_saved(results, name, rival),
                least=0.0,
                unit="layers",
            )
            for name in ("ACN", "ACN, direct only")
            for rival in ("residual", "feed-forward")
        ]
        found.append(
            finding(
                "with the direct gradient alone an ACN scores lower",
                accuracy(results, "ACN", "ACN, direct only", ours_cut=False, theirs_cut=False),
                least=0.0,
                unit="points",
                scale=100,
            )
        )
        found += [
            finding(
                f"early in training the {side} of the ACN gets the larger gradients{than}",
                paired(early["ACN"], other),
                least=0.0,
                unit="log10 of the ratio",
                scale=1 / math.log(10),
            )
            for side, than, other in (
                ("first half", "", zero),
                ("first half", ", more so than in a residual network", early["residual"]),
            )
        ]
        places = [-math.log10(max(1e-17, *run.values())) for run in results.of(_THEORY)]
        found.append(
            finding(
                "table 1 has the output and the gradients of scalar networks",
                paired(places, zero),
                least=9.0,
                unit="decimal places",
            )
        )
        return found

    def table(self, settings: GradientsSettings, results: Results) -> Table:
        rows = []
        for name in _NETS:
            runs = results.of(name)
            share = [statistics.fmean(_flat(run["gradients"]["share"])) for run in runs]
            rows.append(
                (
                    name,
                    full_score(runs),
                    layers_needed(runs),
                    spread([10 ** (_early(run) / math.log(10)) for run in runs], 2),
                    spread(share, 2),
                )
            )
        headings = (
            "network",
            "test, full",
            "layers needed",
            "gradient, first half / second half, early in training",
            "direct / full, all layers and looks",
        )
        return Table(headings, rows)

    def draw(self, figure: Figure, settings: GradientsSettings, results: Results) -> None:
        panels = figure.subplots(2, len(_NETS))
        shares = {n: _by_column(results.of(n)[0]["gradients"]["full"]) for n in _NETS}
        scale = {"vmin": 0.0, "vmax": max(max(_flat(rows)) for rows in shares.values())}
        for column, name in enumerate(_NETS):
            top, below = panels[0][column], panels[1][column]
            seen = results.of(name)[0]["gradients"]
            image = top.imshow(shares[name], aspect="auto", origin="lower", **scale)
            top.set_title(name)
            top.set_xticks([0, len(seen["steps"]) - 1], [0, seen["steps"][-1]])
            layers = len(seen["full"])
            top.set_yticks([0, layers - 1], [1, layers])
            curve = mean_curve(results, name)
            gains = [after - before for before, after in pairwise(curve)]
            below.bar(range(1, layers + 1), gains, color="#0072b2")
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


def _early(run: Mapping[str, Any]) -> float:
    """Log of the mean gradient norm in the first half of the layers over that in the second.

    Over the looks of the first third of the training.
    """
    rows = run["gradients"]["full"]
    looks = max(1, len(run["gradients"]["steps"]) // 3)
    half = len(rows) // 2
    first, second = (
        statistics.fmean(_flat([row[:looks] for row in part]))
        for part in (rows[:half], rows[-half:])
    )
    tiny = 1e-12  # a layer may get none
    return math.log(max(first, tiny) / max(second, tiny))


def _by_column(rows: Sequence[Sequence[float]]) -> list[list[float]]:
    """Each look's norms as shares of their sum, so that colours compare layers."""
    totals = [sum(column) or 1.0 for column in zip(*rows, strict=True)]
    return [[v / total for v, total in zip(row, totals, strict=True)] for row in rows]


def _deviations(depth: int, seed: int) -> dict[str, float]:
    """Largest relative deviation of closed form and autograd, by kind of network."""
    generator = torch.Generator().manual_seed(seed)
    weights = torch.randn(depth, generator=generator, dtype=torch.float64).tolist()
    return {kind: _deviation(kind, weights) for kind in _KINDS}


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
