"""What a network that was trained on other classes brings to new ones."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from autocompress import io
from autocompress.data import DataConfig
from autocompress.network import Network, build
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
from autocompress.reproduce.words import cut_score, full_score, layers_needed, per_cent
from autocompress.reproduce.work import Work, examine, file_name
from autocompress.training import DistilConfig, FitConfig, Hook, fit

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Transfer", "TransferSettings"]

_COLOURS = {
    "ACN": "#0072b2",
    "residual": "#d55e00",
    "Aligned": "#009e73",
    "LayerSkip": "#cc79a7",
    "deep supervision": "#e69f00",
}
_BUDGETS = ("equal epochs", "matched source")


@dataclass(frozen=True, kw_only=True)
class TransferSettings:
    """What is trained first, and what then.

    Args:
        source: how every network is trained first.
        target: the data that it is fine-tuned on, and how.
        layer_drop: LayerSkip's highest probability.
        every: one depth in so many has an early-exit loss in a step of LayerSkip.
    """

    source: RunConfig
    target: RunConfig
    layer_drop: float = 0.1
    every: int = 4


def _halves(config: RunConfig, epochs: int, images: int | None) -> TransferSettings:
    """The first five of ten classes, then the other five."""
    lr, fit = config.fit.lr, config.fit
    first = replace(config, data=replace(config.data, classes=(0, 1, 2, 3, 4)))
    second = replace(
        config,
        data=replace(config.data, classes=(5, 6, 7, 8, 9), train_limit=images),
        fit=replace(fit, epochs=epochs, lr=lr / 3, warmup_epochs=0.5),
    )
    return TransferSettings(source=first, target=second)


_PRESETS = {
    "smoke": _halves(SMOKE, 1, 300),
    "cpu": _halves(
        replace(CPU, data=replace(CPU.data, train_limit=6_000), fit=replace(CPU.fit, epochs=6)),
        4,
        2_400,
    ),
    "paper": TransferSettings(
        source=replace(PAPER, data=DataConfig(name="uoft-cs/cifar100", validation=0.1)),
        target=replace(PAPER, fit=replace(PAPER.fit, epochs=50, lr=1e-4, warmup_epochs=2.0)),
    ),
}
_COSTS = {"smoke": "seconds", "cpu": "4 core-minutes", "paper": "a GPU for weeks"}


@register_claim
class Transfer(Claim[TransferSettings]):
    """Trained on other classes first, at equal epochs and at equal accuracy there."""

    name = "transfer"
    shows = "accuracy after fine-tuning on new classes, and the layers that it needs"
    paper = (
        "Mixer of 16 layers from CIFAR-100, trained to equal accuracy there, to CIFAR-10: ACN 85.4 "
        "%, Aligned 82.9 %, LayerSkip 79 %. No plain residual network is reported."
    )
    presets = _PRESETS
    costs = _COSTS

    def arms(self, settings: TransferSettings) -> list[Arm]:
        sources = tuple(f"{net}, source" for net in _COLOURS)
        return [
            *(Arm(source) for source in sources),
            *(Arm(f"{net}, {_BUDGETS[0]}", after=(f"{net}, source",)) for net in _COLOURS),
            *(Arm(f"{net}, {_BUDGETS[1]}", after=sources) for net in _COLOURS),
        ]

    def run(self, settings: TransferSettings, arm: str, work: Work) -> dict[str, Any]:
        name, _, kind = arm.partition(", ")
        net: Network
        if kind == "source":
            config = work.seeded(_as(name, settings, settings.source))
            data = work.load(config.data)
            net = config.model.build(data, work.seed)
            kept = Snapshots(_snapshots(work, name))
            run = fit(
                net,
                data.train,
                data.validation,
                config.fit,
                augment=config.augment,
                hooks=[kept],
                progress=False,
            )
            by_epoch = [record["validation"] for record in run.history]
            return {**examine(net, data), "by_epoch": by_epoch}
        by_epoch = work.before[f"{name}, source"]["by_epoch"]
        reached = min(max(source["by_epoch"]) for source in work.before.values())
        epoch = len(by_epoch)
        if kind == _BUDGETS[1]:
            epoch = 1 + next(k for k, score in enumerate(by_epoch) if score >= reached)
        net = io.load(_snapshots(work, name) / f"epoch-{epoch}")
        config = work.seeded(_as(name, settings, settings.target))
        data = work.load(config.data)
        net = _with_new_head(net, len(data.classes), work.seed)
        trained, seconds = work.train(config, data, start=net)
        source = {"source_epoch": epoch, "source_score": by_epoch[epoch - 1]}
        return {**examine(trained, data), **work.told(seconds), **source}

    def verdict(self, settings: TransferSettings, results: Results) -> list[Finding]:
        found = []
        for budget in _BUDGETS:
            ours = f"ACN, {budget}"
            for rival in list(_COLOURS)[1:]:
                theirs = f"{rival}, {budget}"
                found.append(
                    finding(
                        f"{budget}: the ACN is more accurate on the new classes than {rival}",
                        accuracy(results, ours, theirs, ours_cut=False, theirs_cut=False),
                        least=0.0,
                        unit="points",
                        scale=100,
                        of_paper=budget == _BUDGETS[1] and rival in ("Aligned", "LayerSkip"),
                    )
                )
            found.append(
                finding(
                    f"{budget}: the ACN needs fewer layers for the new classes than residual",
                    layers_saved(results, ours, f"residual, {budget}"),
                    least=0.0,
                    unit="layers",
                    of_paper=False,
                )
            )
        return found

    def table(self, settings: TransferSettings, results: Results) -> Table:
        rows = []
        for budget in _BUDGETS:
            for net in _COLOURS:
                runs = results.of(f"{net}, {budget}")
                rows.append(
                    (
                        f"{net}, {budget}",
                        ", ".join(str(run["source_epoch"]) for run in runs),
                        per_cent([run["source_score"] for run in runs]),
                        full_score(runs),
                        layers_needed(runs),
                        cut_score(runs),
                    )
                )
        headings = (
            "network",
            "epochs on the source",
            "source validation",
            "target test, full",
            "layers needed",
            "target test, cut",
        )
        return Table(headings, rows)

    def draw(self, figure: Figure, settings: TransferSettings, results: Results) -> None:
        panels = figure.subplots(1, len(_BUDGETS), sharey=True)
        for axes, budget in zip(panels, _BUDGETS, strict=True):
            for net, colour in _COLOURS.items():
                curve = mean_curve(results, f"{net}, {budget}")
                axes.plot(range(len(curve)), curve, color=colour, marker="o", ms=4, label=net)
            axes.set(title=budget, xlabel="layers that run")
            axes.grid(alpha=0.25)
        panels[0].set_ylabel("test accuracy on the new classes, %")
        panels[0].legend()


class Snapshots(Hook):
    """Keeps the network as it is after every epoch.

    Args:
        folder: holds ``epoch-N``.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def after_epoch(self, net: Network, epoch: int, epochs: int) -> None:
        io.save(net, self.folder / f"epoch-{epoch}", overwrite=True)


def _snapshots(work: Work, name: str) -> Path:
    return work.folder / "work" / file_name(f"{name}, source", work.seed)


def _as(name: str, settings: TransferSettings, config: RunConfig) -> RunConfig:
    """The run of one of the networks: its connectivity, and what it is trained with beside."""
    rule = "acn" if name == "ACN" else "residual"
    depth = config.model.depth or 0
    losses: dict[str, DistilConfig] = {
        "Aligned": DistilConfig.aligned(depth),
        "deep supervision": DistilConfig(teacher="labels"),
        "LayerSkip": DistilConfig.layerskip(settings.every),
    }
    fit: FitConfig = replace(
        config.fit,
        distil=losses.get(name),
        layer_drop=settings.layer_drop if name == "LayerSkip" else 0.0,
        layer_drop_grows=config is settings.source,  # as they advise for new weights
    )
    return replace(config, model=replace(config.model, connectivity=rule), fit=fit, control=None)


def _with_new_head(net: Network, classes: int, seed: int) -> Network:
    """The same stem and blocks with a new head of ``classes`` outputs."""
    torch.manual_seed(seed)
    fresh = build(net.model_name, **{**net.config, "classes": classes})
    for part in ("stem", "trunk"):
        getattr(fresh, part).load_state_dict(getattr(net, part).state_dict())
    fresh.preprocess = net.preprocess
    return fresh
