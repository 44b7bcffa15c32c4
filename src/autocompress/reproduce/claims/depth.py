"""The depth that is needed at equal accuracy."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

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
from autocompress.reproduce.settings import CPU, CPU_VIT, PAPER, PAPER_VIT, SMOKE, control
from autocompress.reproduce.words import cut_score, full_score, layers_needed
from autocompress.reproduce.work import Work, examine

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Depth", "DepthSettings"]


@dataclass(frozen=True, kw_only=True)
class DepthSettings:
    """What is trained.

    Args:
        networks: by name, how the ACN is trained; ``control`` there is the residual network's.
        heal: epochs of the residual network after it was cut.
        margin: of accuracy, below which two networks count as equal (a fraction).
    """

    networks: dict[str, RunConfig]
    heal: int
    margin: float = 0.01


_PRESETS = {
    "smoke": DepthSettings(networks={"Mixer": SMOKE}, heal=1),
    "cpu": DepthSettings(
        networks={
            name: replace(run, fit=replace(run.fit, epochs=16))
            for name, run in (("Mixer", CPU), ("ViT", CPU_VIT))
        },
        heal=4,
    ),
    "paper": DepthSettings(networks={"Mixer": PAPER, "ViT": PAPER_VIT}, heal=30),
}
_COSTS = {
    "smoke": "seconds",
    "cpu": "16 core-minutes",
    "paper": "the Mixer a GPU for days, the ViT several for weeks",
}


@register_claim
class Depth(Claim[DepthSettings]):
    """ACN against residual, and the two rivals of equal size."""

    name = "depth"
    shows = "the layers that are needed at equal accuracy, Mixer and ViT"
    paper = (
        "ViT on ImageNet-1K: 70.8 % with 6 of 12 layers, residual 70.7 % with all 12. Mixer on "
        "CIFAR-10: 92.0 % with 75 % of 16 layers, residual 90.3 % with all."
    )
    presets = _PRESETS
    costs = _COSTS

    def arms(self, settings: DepthSettings) -> list[Arm]:
        arms = []
        for name in settings.networks:
            acn, residual = f"{name}, ACN", f"{name}, residual"
            arms += [
                Arm(acn),
                Arm(residual),
                Arm(f"{name}, shallow", after=(acn,)),
                Arm(f"{name}, healed", after=(acn, residual)),
            ]
        return arms

    def run(self, settings: DepthSettings, arm: str, work: Work) -> dict[str, Any]:
        name, _, kind = arm.rpartition(", ")
        config = work.seeded(settings.networks[name])
        start = None
        if kind in ("shallow", "healed"):
            depth = max(1, work.before[f"{name}, ACN"]["selected"])
            rival = config.rival(depth)
            if kind == "healed":
                start = work.network(f"{name}, residual").cut(depth)
                rival = rival.healing(settings.heal)
            config = rival
        elif kind == "residual":
            config = control(config)
        data = work.load(config.data)
        net, seconds = work.train(config, data, start=start)
        return {**examine(net, data), **work.told(seconds)}

    def verdict(self, settings: DepthSettings, results: Results) -> list[Finding]:
        found, margin = [], settings.margin
        for name in settings.networks:
            acn, residual = f"{name}, ACN", f"{name}, residual"
            found.append(
                finding(
                    f"{name}: the ACN needs fewer layers than the residual network",
                    layers_saved(results, acn, residual),
                    least=0.0,
                    unit="layers",
                )
            )
            rivals = {
                residual: "the residual network with all its layers",
                f"{name}, shallow": "a residual network of that depth from scratch",
                f"{name}, healed": "the residual network cut to that depth and healed",
            }
            for rival, words in rivals.items():
                found.append(
                    finding(
                        f"{name}: the cut ACN is as good as {words}",
                        accuracy(results, acn, rival, theirs_cut=False),
                        least=-margin,
                        unit="points",
                        scale=100,
                        of_paper=rival == residual,
                    )
                )
        return found

    def table(self, settings: DepthSettings, results: Results) -> Table:
        rows = []
        for name in settings.networks:
            for kind in ("ACN", "residual", "shallow", "healed"):
                runs = results.of(f"{name}, {kind}")
                rows.append(
                    (
                        f"{name}, {kind}",
                        full_score(runs),
                        layers_needed(runs),
                        cut_score(runs),
                        f"{sum(run['parameters'][run['selected']] for run in runs) // len(runs):,}",
                        _epochs(kind, runs[0]["epochs"]),
                    )
                )
        return Table(
            (
                "network",
                "test, full",
                "layers needed",
                "test, cut",
                "parameters, cut",
                "epochs",
            ),
            rows,
        )

    def draw(self, figure: Figure, settings: DepthSettings, results: Results) -> None:
        panels = figure.subplots(1, len(settings.networks), squeeze=False)[0]
        for axes, name in zip(panels, settings.networks, strict=True):
            for kind, colour in (("ACN", "#0072b2"), ("residual", "#d55e00")):
                curve = mean_curve(results, f"{name}, {kind}")
                axes.plot(range(len(curve)), curve, color=colour, marker="o", ms=4, label=kind)
            for kind, colour in (("shallow", "#009e73"), ("healed", "#cc79a7")):
                for run in results.of(f"{name}, {kind}"):
                    depth = len(run["test"]) - 1
                    axes.plot(depth, 100 * run["test"][-1], "*", color=colour, ms=9)
                axes.plot([], [], "*", color=colour, ms=9, label=f"residual, {kind}")
            axes.set(title=name, xlabel="layers that run", ylabel="test accuracy, %")
            axes.grid(alpha=0.25)
        panels[0].legend()


def _epochs(kind: str, epochs: int) -> str:
    """Of the healed network those after the cut, which come on top of the residual network's."""
    return f"{epochs} more" if kind == "healed" else str(epochs)
