"""Harder tasks need more layers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from autocompress.data import DataConfig
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
from autocompress.reproduce.settings import CPU, PAPER, SMOKE, control
from autocompress.reproduce.words import cut_score, full_score, layers_needed
from autocompress.reproduce.work import Work, examine

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Difficulty", "DifficultySettings"]

_KINDS = {"ACN": "#0072b2", "residual": "#d55e00"}


@dataclass(frozen=True, kw_only=True)
class DifficultySettings:
    """What is trained.

    Args:
        network: how the ACN is trained; ``control`` there is the residual network's.
        classes: numbers of classes, ascending; the first ones of the set are taken, and the same
            number of images for each of these tasks.
        margin: of accuracy, below which two networks count as equal (a fraction).
    """

    network: RunConfig
    classes: tuple[int, ...] = (2, 5, 10)
    margin: float = 0.01


# All three tasks get as many images; two classes of CIFAR-10 have 10,000.
_PRESETS = {
    "smoke": DifficultySettings(network=SMOKE, classes=(2, 10)),
    "cpu": DifficultySettings(
        network=replace(
            CPU, data=replace(CPU.data, train_limit=7_200), fit=replace(CPU.fit, epochs=12)
        )
    ),
    "paper": DifficultySettings(
        network=replace(PAPER, data=DataConfig(name=PAPER.data.name, train_limit=10_000))
    ),
}
_COSTS = {"smoke": "seconds", "cpu": "6 core-minutes", "paper": "a GPU for days"}


@register_claim
class Difficulty(Claim[DifficultySettings]):
    """Two, five and ten classes; ACN against residual."""

    name = "difficulty"
    shows = "the layers that are needed grow with the number of classes"
    paper = (
        "Mixer of 16 layers, classes of CIFAR-10: with 2, 5 and 10 of them the ACN needs 8, 10 "
        "and 12 layers, the residual network all 16 each time."
    )
    presets = _PRESETS
    costs = _COSTS

    def arms(self, settings: DifficultySettings) -> list[Arm]:
        return [Arm(f"{n} classes, {kind}") for n in settings.classes for kind in _KINDS]

    def run(self, settings: DifficultySettings, arm: str, work: Work) -> dict[str, Any]:
        config = work.seeded(settings.network)
        classes = tuple(range(int(arm.split()[0])))
        config = replace(config, data=replace(config.data, classes=classes))
        if arm.endswith("residual"):
            config = control(config)
        data = work.load(config.data)
        net, seconds = work.train(config, data)
        return {**examine(net, data), **work.told(seconds)}

    def verdict(self, settings: DifficultySettings, results: Results) -> list[Finding]:
        fewest, *_, most = settings.classes
        found = [
            finding(
                f"the ACN needs more layers for {most} classes than for {fewest}",
                layers_saved(
                    results, f"{fewest} classes, ACN", f"{most} classes, ACN", shared="none"
                ),
                least=0.0,
                unit="layers",
            )
        ]
        for n in settings.classes:
            ours, theirs = f"{n} classes, ACN", f"{n} classes, residual"
            found += [
                finding(
                    f"{n} classes: the ACN needs fewer layers than the residual network",
                    layers_saved(results, ours, theirs),
                    least=0.0,
                    unit="layers",
                ),
                finding(
                    f"{n} classes: the cut ACN is as good as the residual network",
                    accuracy(results, ours, theirs, theirs_cut=False),
                    least=-settings.margin,
                    unit="points",
                    scale=100,
                ),
            ]
        return found

    def table(self, settings: DifficultySettings, results: Results) -> Table:
        rows = []
        for arm in self.arms(settings):
            runs = results.of(arm.name)
            rows.append(
                (
                    arm.name,
                    full_score(runs),
                    layers_needed(runs),
                    cut_score(runs),
                )
            )
        return Table(("task, network", "test, full", "layers needed", "test, cut"), rows)

    def draw(self, figure: Figure, settings: DifficultySettings, results: Results) -> None:
        panels = figure.subplots(1, len(settings.classes), squeeze=False)[0]
        for axes, n in zip(panels, settings.classes, strict=True):
            for kind, colour in _KINDS.items():
                arm = f"{n} classes, {kind}"
                curve = mean_curve(results, arm)
                axes.plot(range(len(curve)), curve, color=colour, marker="o", ms=4, label=kind)
                for depth in results.column(arm, "selected"):
                    axes.axvline(depth, color=colour, lw=0.8, ls=":")
            axes.set(title=f"{n} classes", xlabel="layers that run")
            axes.grid(alpha=0.25)
        panels[0].set_ylabel("test accuracy, %")
        panels[0].legend(title="dotted: layers needed, by seed")
