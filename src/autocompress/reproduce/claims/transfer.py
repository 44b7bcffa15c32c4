"""What a network brings to a task that it was not trained on: other classes, or texts by class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from autocompress import io
from autocompress.data import DataConfig, Splits
from autocompress.network import Network
from autocompress.pipeline import RunConfig, load_network
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
from autocompress.reproduce.settings import (
    CPU,
    CPU_TASKS,
    CPU_WORDS,
    PAPER,
    SMOKE,
    SMOKE_TASK,
    SMOKE_WORDS,
)
from autocompress.reproduce.texts import texts
from autocompress.reproduce.words import (
    cut_score,
    describe_settings,
    full_score,
    layers_needed,
    per_cent,
)
from autocompress.reproduce.work import Work, described, examine, with_new_head
from autocompress.training import DistilConfig, FitConfig, Hook, fit

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Pair", "Transfer", "TransferSettings"]

_COLOURS = {
    "ACN": "#0072b2",
    "residual": "#d55e00",
    "Aligned": "#009e73",
    "LayerSkip": "#cc79a7",
    "deep supervision": "#e69f00",
}
_SOURCE = "source"
_EQUAL, _MATCHED = _BUDGETS = ("equal epochs", "matched source")

#: Of the test examples, where not all are taken: the same ones for every seed.
_TEST_SEED = 0


@dataclass(frozen=True, kw_only=True)
class Pair:
    """What is trained first, and what then.

    Args:
        source: how every network is trained first; its model is the ACN.
        target: the data that it is fine-tuned on, and how; texts by the tokenizer of the source.
        tests: so many examples of the target's test set, drawn once for all seeds; None takes all.
    """

    source: RunConfig
    target: RunConfig
    tests: int | None = None


@dataclass(frozen=True, kw_only=True)
class TransferSettings:
    """What is trained.

    Args:
        pairs: by name.
        layer_drop: LayerSkip's highest probability.
        every: one depth in so many has an early-exit loss in a step of LayerSkip.
    """

    pairs: dict[str, Pair]
    layer_drop: float = 0.1
    every: int = 4


def _halves(config: RunConfig, epochs: int, images: int | None) -> Pair:
    """The first five of ten classes, then the other five."""
    lr, fit = config.fit.lr, config.fit
    first = replace(config, data=replace(config.data, classes=(0, 1, 2, 3, 4)))
    second = replace(
        config,
        data=replace(config.data, classes=(5, 6, 7, 8, 9), train_limit=images),
        fit=replace(fit, epochs=epochs, lr=lr / 3, warmup_epochs=0.5),
    )
    return Pair(source=first, target=second)


#: Short epochs, so that networks can be matched by their score at the end of one. Without the skip
#: of attention an ACN this small learns neither words nor reviews (docs/blocks.md).
_NOVELS = replace(
    CPU_WORDS,
    data=replace(CPU_WORDS.data, train_limit=240, validation_limit=60, vocabulary=1_024),
    model=replace(CPU_WORDS.model, depth=6, connectivity={"name": "acn", "inner": 1.0}),
    fit=replace(CPU_WORDS.fit, epochs=4, batch_size=8),
)
_IMDB = RunConfig(
    data=DataConfig(
        task="text-classification",
        name="stanfordnlp/imdb",
        train_limit=2_400,
        length=64,
        truncate=True,
    ),
    fit=replace(CPU_TASKS["SST-2"].fit, epochs=5, batch_size=32),
)
_PRESETS = {
    "smoke": TransferSettings(
        pairs={
            "halves of digits": _halves(SMOKE, 1, 300),
            "words to kinds": Pair(source=SMOKE_WORDS, target=SMOKE_TASK, tests=100),
        }
    ),
    "cpu": TransferSettings(
        pairs={
            "halves of CIFAR-10": _halves(
                replace(
                    CPU, data=replace(CPU.data, train_limit=6_000), fit=replace(CPU.fit, epochs=6)
                ),
                4,
                2_400,
            ),
            "novels to IMDB": Pair(source=_NOVELS, target=_IMDB, tests=3_000),
        }
    ),
    "paper": TransferSettings(
        pairs={
            "CIFAR-100 to CIFAR-10": Pair(
                source=replace(PAPER, data=DataConfig(name="uoft-cs/cifar100", validation=0.1)),
                target=replace(
                    PAPER, fit=replace(PAPER.fit, epochs=50, lr=1e-4, warmup_epochs=2.0)
                ),
            )
        }
    ),
}
_COSTS = {"smoke": "seconds", "cpu": "30 core-minutes", "paper": "a GPU for weeks"}


@register_claim
class Transfer(Claim[TransferSettings]):
    """Trained on something else first, at equal epochs and at equal accuracy there."""

    name = "transfer"
    shows = "accuracy after fine-tuning on another task, and the layers that it needs"
    paper = (
        "Mixer of 16 layers from CIFAR-100, trained to equal accuracy there, to CIFAR-10: ACN 85.4 "
        "%, Aligned 82.9 %, LayerSkip 79 %. No plain residual network is reported, and no texts."
    )
    presets = _PRESETS
    costs = _COSTS

    def describe(self, settings: TransferSettings) -> str:
        """The runs of every pair, how much of its test set is taken, and LayerSkip's numbers."""
        lines = []
        for name, pair in settings.pairs.items():
            runs = describe_settings(pair).splitlines()[:2]
            lines += [f"- {name}, {run[2:]}" for run in runs]
            if pair.tests is not None:
                lines.append(f"- {name}, test: {pair.tests:,} examples, of all seeds the same")
        lines.append(f"- LayerSkip: layer drop {settings.layer_drop:g}; every {settings.every}")
        return "\n".join(lines)

    def arms(self, settings: TransferSettings) -> list[Arm]:
        arms = []
        for pair in settings.pairs:
            sources = tuple(_arm(pair, net, _SOURCE) for net in _COLOURS)
            arms += [Arm(source) for source in sources]
            arms += [Arm(_arm(pair, net, _EQUAL), after=sources) for net in _COLOURS]
            arms += [
                Arm(_arm(pair, net, _MATCHED), after=(*sources, _arm(pair, net, _EQUAL)))
                for net in _COLOURS
            ]
        return arms

    def run(self, settings: TransferSettings, arm: str, work: Work) -> dict[str, Any]:
        name, net, kind = arm.rsplit(", ", 2)
        pair = settings.pairs[name]
        if kind == _SOURCE:
            return _learn(work, work.seeded(_as(net, settings, pair, pair.source)))
        scores = {one: work.before[_arm(name, one, _SOURCE)]["by_epoch"] for one in _COLOURS}
        epoch = len(scores[net])
        if kind == _MATCHED:
            epoch = _matched(scores)[net]
            if epoch == len(scores[net]):  # trained already, to the last bit
                return dict(work.before[_arm(name, net, _EQUAL)])
        homes = {one: work.home(_arm(name, one, _SOURCE)) for one in _COLOURS}
        config = work.seeded(_as(net, settings, pair, pair.target))
        # The tokenizers of all five are equal; taken from one, the texts are read once.
        data = _data(work, config.data, _after(homes["ACN"], 1))
        data = _shortened(data, pair.tests)
        start = load_network(_after(homes[net], epoch))
        start = with_new_head(start, len(data.classes), work.seed)
        trained, seconds = work.train(config, data, start=start)
        source = {"source_epoch": epoch, "source_score": scores[net][epoch - 1]}
        return {**examine(trained, data), **work.told(seconds), **source}

    def verdict(self, settings: TransferSettings, results: Results) -> list[Finding]:
        found = []
        for name, pair in settings.pairs.items():
            for budget in _BUDGETS:
                ours = _arm(name, "ACN", budget)
                for rival in list(_COLOURS)[1:]:
                    theirs = _arm(name, rival, budget)
                    of_paper = budget == _MATCHED and rival in ("Aligned", "LayerSkip")
                    found.append(
                        finding(
                            f"{name}, {budget}: the ACN is more accurate on the target than "
                            f"{rival}",
                            accuracy(results, ours, theirs, ours_cut=False, theirs_cut=False),
                            least=0.0,
                            unit="points",
                            scale=100,
                            of_paper=of_paper and not pair.target.data.is_text,
                        )
                    )
                found.append(
                    finding(
                        f"{name}, {budget}: the ACN needs fewer layers for the target than "
                        "residual",
                        layers_saved(results, ours, _arm(name, "residual", budget)),
                        least=0.0,
                        unit="layers",
                        of_paper=False,
                    )
                )
        return found

    def table(self, settings: TransferSettings, results: Results) -> Table:
        rows = []
        for name, budget, net in product(settings.pairs, _BUDGETS, _COLOURS):
            runs = results.of(_arm(name, net, budget))
            rows.append(
                (
                    _arm(name, net, budget),
                    ", ".join(str(run["source_epoch"]) for run in runs),
                    per_cent([run["source_score"] for run in runs]),
                    full_score(runs),
                    layers_needed(runs),
                    cut_score(runs),
                )
            )
        headings = (
            "pair, network, budget",
            "epochs on the source",
            "source validation",
            "target test, full",
            "layers needed",
            "target test, cut",
        )
        return Table(headings, rows)

    def draw(self, figure: Figure, settings: TransferSettings, results: Results) -> None:
        shape = len(settings.pairs), len(_BUDGETS)
        panels = figure.subplots(*shape, squeeze=False, sharex="row", sharey="row")
        for row, name in zip(panels, settings.pairs, strict=True):
            for axes, budget in zip(row, _BUDGETS, strict=True):
                for net, colour in _COLOURS.items():
                    curve = mean_curve(results, _arm(name, net, budget))
                    axes.plot(range(len(curve)), curve, color=colour, marker="o", ms=4, label=net)
                axes.set_title(f"{name}: {budget}", fontsize=8)
                axes.grid(alpha=0.25)
            row[0].set_ylabel("target test accuracy, %")
        for axes in panels[-1]:
            axes.set_xlabel("layers that run")
        panels[0][0].legend(fontsize=7)


class Snapshots(Hook):
    """Keeps the network as it is after every epoch.

    Args:
        folder: holds ``epoch-N/model``.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def after_epoch(self, net: Network, epoch: int, epochs: int) -> None:
        io.save(net, _after(self.folder, epoch) / "model", overwrite=True)


def _after(folder: Path, epoch: int) -> Path:
    """Folder of the network as it was after ``epoch`` (from 1)."""
    return folder / f"epoch-{epoch}"


def _arm(pair: str, net: str, kind: str) -> str:
    return f"{pair}, {net}, {kind}"


def _as(name: str, settings: TransferSettings, pair: Pair, config: RunConfig) -> RunConfig:
    """The run of one of the networks: its connectivity, and what it is trained with beside.

    Args:
        name: of the network.
        settings: of the claim.
        pair: whose source says what the network is, for the target as well.
        config: the pair's source or target.
    """
    model = pair.source.model
    depth = model.depth or 0
    losses: dict[str, DistilConfig] = {
        "Aligned": DistilConfig.aligned(depth),
        "deep supervision": DistilConfig(teacher="labels"),
        "LayerSkip": DistilConfig.layerskip(settings.every),
    }
    fit: FitConfig = replace(
        config.fit,
        distil=losses.get(name),
        layer_drop=settings.layer_drop if name == "LayerSkip" else 0.0,
        layer_drop_grows=config is pair.source,  # as they advise for new weights
    )
    model = model if name == "ACN" else model.residual(depth)
    return replace(config, model=model, fit=fit, control=None)


def _matched(scores: Mapping[str, Sequence[float]]) -> dict[str, int]:
    """By network, after which epoch (from 1) it first is as good as the worst of them gets.

    >>> _matched({"good": [0.2, 0.5, 0.7], "slow": [0.1, 0.4, 0.3]})
    {'good': 2, 'slow': 2}
    """
    reached = min(max(by_epoch) for by_epoch in scores.values())
    return {
        net: 1 + next(k for k, score in enumerate(by_epoch) if score >= reached)
        for net, by_epoch in scores.items()
    }


def _data(work: Work, config: DataConfig, words: Path | None = None) -> Splits:
    """Images; or texts, by the tokenizer of the network in ``words``, see :func:`texts`."""
    return texts(work, config, words) if config.is_text else work.load(config)


def _shortened(data: Splits, tests: int | None) -> Splits:
    """The same data with ``tests`` examples of the test set, whatever the seed; None keeps all."""
    if tests is None or tests >= len(data.test):
        return data
    order = torch.randperm(len(data.test), generator=torch.Generator().manual_seed(_TEST_SEED))
    return replace(data, test=data.test.select(order[:tests]))


def _learn(work: Work, config: RunConfig) -> dict[str, Any]:
    """Train on the source, keep every epoch's network, and say how well each does there."""
    data = _data(work, config.data)
    net = config.model.build(data, work.seed)
    run = fit(
        net,
        data.train,
        data.validation,
        config.fit,
        augment=config.augment,
        hooks=[Snapshots(work.home(work.arm))],
        progress=False,
    )
    return {
        "model": described(net),
        "by_epoch": [record["validation"] for record in run.history],
        "validation": run.history[-1]["depths"],
        "train_seconds": round(run.seconds, 1),
    }
