"""Transfer to a task that a network was not trained on: other classes, or texts by class."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import torch

from autocompress import io
from autocompress.data import DataConfig, Splits
from autocompress.models.heads import with_new_head
from autocompress.network import Network
from autocompress.pipeline import RunConfig, load_network
from autocompress.training import DistilConfig, FitConfig, Hook
from autocompress_studies import settings as shared
from autocompress_studies.figures import Figure, depth_panel, legend_below
from autocompress_studies.results import Arm, Results
from autocompress_studies.settings import INNER, PAPER, changed, sized
from autocompress_studies.statements import Statement, fewer_layers, more_accurate
from autocompress_studies.study import Study
from autocompress_studies.texts import texts
from autocompress_studies.words import (
    by_arm,
    cut_score,
    describe_settings,
    each,
    full_score,
    layers_needed,
    per_cent,
)
from autocompress_studies.work import Work, described

__all__ = ["STUDY", "Key", "Pair", "Settings", "as_trained", "matched", "shortened"]

NETS = ("ACN", "residual", "Aligned", "LayerSkip", "deep supervision")
SOURCE = "source"
EQUAL, MATCHED = BUDGETS = ("equal epochs", "matched source")

#: Seed of the test examples where not all are used, so that they are the same for every seed.
_TEST_SEED = 0


class Key(NamedTuple):
    """A pair of tasks, a network, and a budget or the source alone."""

    pair: str
    net: str
    kind: str


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A first task, and a second one."""

    source: RunConfig  #: of every network on the first task; its model is the ACN
    target: RunConfig  #: of fine-tuning; texts use the tokenizer of the source
    tests: int | None = None  #: number of test examples, drawn once for all seeds; None takes all


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings of the training."""

    pairs: dict[str, Pair]
    layer_drop: float = 0.1  #: LayerSkip's highest probability
    every: int = 4  #: LayerSkip's R: one depth in R has an early-exit loss in a step


def _halves(config: RunConfig, images: int | None, **tuning: Any) -> Pair:
    """Return the pair of the first five and the last five of ten classes.

    The second has the first's settings but for ``tuning`` and a third of the learning rate.
    """
    first = changed(config, {"data.classes": (0, 1, 2, 3, 4)})
    last = changed(config, {"data.classes": (5, 6, 7, 8, 9), "data.train_limit": images})
    tuned = {
        name: fit and replace(fit, lr=fit.lr / 3, warmup_epochs=0.5, **tuning)
        for name, fit in (("fit", config.fit), ("control", config.control))
    }
    return Pair(source=first, target=changed(last, tuned))


_MNIST = _halves(sized(shared.SPARE, 2_000), 300, epochs=20, batch_size=16)

#: Short epochs, so that networks can be matched by their score at the end of one.
_NOVELS = changed(
    sized(shared.CPU_WORDS, 240, epochs=4, batch_size=8),
    {
        **{"data.validation_limit": 60, "data.vocabulary": 1_024},
        **{"model.depth": 6, "model.connectivity": INNER},
    },
)
_IMDB = RunConfig(
    model=shared.AS_GIVEN,
    data=DataConfig(
        task="text-classification",
        name="stanfordnlp/imdb",
        train_limit=2_400,
        length=64,
        truncate=True,
    ),
    fit=replace(shared.CPU_TASK.fit, epochs=5, batch_size=32),
)
_CIFAR100 = DataConfig(name="uoft-cs/cifar100", validation=0.1)


def describe(settings: Settings) -> str:
    """Return the runs of every pair, how much of its test set is used, and LayerSkip's numbers."""
    lines = []
    for name, pair in settings.pairs.items():
        runs = describe_settings(pair).splitlines()[:2]
        lines += [f"- {name}, {run[2:]}" for run in runs]
        if pair.tests is not None:
            lines.append(f"- {name}, test: {pair.tests:,} examples, the same for all seeds")
    lines.append(
        f"- LayerSkip: layer dropout of {settings.layer_drop:g}, an early-exit loss at one in "
        f"{settings.every} depths"
    )
    return "\n".join(lines)


def arms(settings: Settings) -> list[Arm[Key]]:
    found = []
    for pair in settings.pairs:
        sources = tuple(Key(pair, net, SOURCE) for net in NETS)
        found += [Arm(source) for source in sources]
        found += [Arm(Key(pair, net, EQUAL), after=sources) for net in NETS]
        found += [
            Arm(Key(pair, net, MATCHED), after=(*sources, Key(pair, net, EQUAL))) for net in NETS
        ]
    return found


def run(settings: Settings, key: Key, work: Work) -> dict[str, Any]:
    pair = settings.pairs[key.pair]
    if key.kind == SOURCE:
        return _learn(work, work.seeded(as_trained(key.net, settings, pair, pair.source)))
    sources = {net: Key(key.pair, net, SOURCE) for net in NETS}
    scores = {net: work.before[source]["by_epoch"] for net, source in sources.items()}
    epoch = len(scores[key.net])
    if key.kind == MATCHED:
        epoch = matched(scores)[key.net]
        if epoch == len(scores[key.net]):  # trained already, and equal bit for bit
            return dict(work.before[key._replace(kind=EQUAL)])
    homes = {net: work.home(source) for net, source in sources.items()}
    config = work.seeded(as_trained(key.net, settings, pair, pair.target))
    # The tokenizers of all five are equal; with one of them the texts are read only once.
    data = _data(work, config.data, _after(homes["ACN"], 1))
    data = shortened(data, pair.tests)
    start = load_network(_after(homes[key.net], epoch))
    start = with_new_head(start, len(data.classes), work.seed)
    source = {"source_epoch": epoch, "source_score": scores[key.net][epoch - 1]}
    return {**work.examined(config, data, start=start), **source}


def statements(settings: Settings, results: Results[Key]) -> Iterator[Statement]:
    for name, pair in settings.pairs.items():
        for budget in BUDGETS:
            ours = Key(name, "ACN", budget)
            for rival in NETS[1:]:
                of_paper = budget == MATCHED and rival in ("Aligned", "LayerSkip")
                of_paper = of_paper and not pair.target.data.is_text
                words = f"{name}, {budget}: the ACN is more accurate on the target than {rival}"
                yield more_accurate(
                    words, results, ours, Key(name, rival, budget), of_paper=of_paper
                )
            words = f"{name}, {budget}: the ACN needs fewer layers for the target than residual"
            theirs = Key(name, "residual", budget)
            yield fewer_layers(words, results, ours, theirs, of_paper=False)


def draw(figure: Figure, settings: Settings, results: Results[Key]) -> None:
    shape = len(settings.pairs), len(BUDGETS)
    panels = figure.subplots(*shape, squeeze=False, sharex="row", sharey="row")
    for row, name in zip(panels, settings.pairs, strict=True):
        for axes, budget in zip(row, BUDGETS, strict=True):
            curves = {net: Key(name, net, budget) for net in NETS}
            depth_panel(axes, "", results, curves)
            axes.set_ylabel("")
            axes.set_title(f"{name}: {budget}", fontsize=8)
        row[0].set_ylabel("target test accuracy, %")
    for axes in panels[:-1].flat:
        axes.set_xlabel("")
    legend_below(figure, panels[0][:1], ncols=5)


class Snapshots(Hook):
    """A hook that keeps a copy of the network after every epoch.

    Args:
        folder: Folder for ``epoch-N/model``.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def after_epoch(self, net: Network, epoch: int, epochs: int) -> None:
        io.save(net, _after(self.folder, epoch) / "model", overwrite=True)


def _after(folder: Path, epoch: int) -> Path:
    """Return the folder of the network after ``epoch`` (from 1)."""
    return folder / f"epoch-{epoch}"


def as_trained(name: str, settings: Settings, pair: Pair, config: RunConfig) -> RunConfig:
    """Return the run of one of the networks: its connectivity, and its additional losses.

    Args:
        name: Name of the network.
        settings: Settings of the study.
        pair: Pair whose source defines the network, for the target as well.
        config: Source or target of the pair.
    """
    run = replace(config, model=pair.source.model)
    run = run if name == "ACN" else shared.control(run)
    depth = run.model.depth or 0
    losses: dict[str, DistilConfig] = {
        "Aligned": DistilConfig.aligned(depth),
        "deep supervision": DistilConfig(teacher="labels"),
        "LayerSkip": DistilConfig.layerskip(settings.every),
    }
    fit: FitConfig = replace(
        run.fit,
        distil=losses.get(name),
        layer_drop=settings.layer_drop if name == "LayerSkip" else 0.0,
        layer_drop_grows=config is pair.source,  # as LayerSkip advises for new weights
    )
    return replace(run, fit=fit, control=None)


def matched(scores: Mapping[str, Sequence[float]]) -> dict[str, int]:
    """Return for each network the first epoch (from 1) at which it matches the worst one's best.

    >>> matched({"good": [0.2, 0.5, 0.7], "slow": [0.1, 0.4, 0.3]})
    {'good': 2, 'slow': 2}
    """
    reached = min(max(by_epoch) for by_epoch in scores.values())
    return {
        net: 1 + next(k for k, score in enumerate(by_epoch) if score >= reached)
        for net, by_epoch in scores.items()
    }


def _data(work: Work, config: DataConfig, words: Path | None = None) -> Splits:
    """Return images, or texts with the tokenizer of the network in ``words`` (:func:`texts`)."""
    return texts(work, config, words) if config.is_text else work.load(config)


def shortened(data: Splits, tests: int | None) -> Splits:
    """Return the data with ``tests`` examples of the test set, the same for all seeds."""
    if tests is None or tests >= len(data.test):
        return data
    order = torch.randperm(len(data.test), generator=torch.Generator().manual_seed(_TEST_SEED))
    return replace(data, test=data.test.select(order[:tests]))


def _learn(work: Work, config: RunConfig) -> dict[str, Any]:
    """Train on the source, keep every epoch's network, and score each of them there."""
    data = _data(work, config.data)
    net, run = work.fitted(config, data, hooks=[Snapshots(work.home(work.key))])
    return {
        "model": described(net),
        "by_epoch": [record["validation"] for record in run.history],
        "validation": run.history[-1]["depths"],
        "train_seconds": round(run.seconds, 1),
    }


STUDY = Study(
    name="transfer",
    shows="accuracy after fine-tuning on another task, and the layers needed there",
    paper="Mixers of 16 layers are trained to equal accuracy on CIFAR-100 and fine-tuned on "
    "CIFAR-10. The ACN scores 85.4 %, Aligned 82.9 % and LayerSkip 79 %. Neither a plain residual "
    "network nor a text task is reported.",
    presets={
        "smoke": Settings(
            pairs={
                "halves of digits": _halves(shared.SMOKE, 300, epochs=1),
                "words to kinds": Pair(
                    source=shared.SMOKE_WORDS, target=shared.SMOKE_TASK, tests=100
                ),
            }
        ),
        "cpu": Settings(
            pairs={
                "halves of MNIST": _MNIST,
                "novels to IMDB": Pair(source=_NOVELS, target=_IMDB, tests=3_000),
            }
        ),
        "paper": Settings(
            pairs={
                "CIFAR-100 to CIFAR-10": Pair(
                    source=replace(PAPER, data=_CIFAR100),
                    target=changed(
                        PAPER, {"fit.epochs": 50, "fit.lr": 1e-4, "fit.warmup_epochs": 2.0}
                    ),
                )
            }
        ),
    },
    costs={"smoke": "seconds", "cpu": "105 core-minutes", "paper": "a GPU for weeks"},
    arms=arms,
    run=run,
    headlines=(
        "halves of MNIST, equal epochs: the ACN is more accurate on the target than residual",
        "halves of MNIST, equal epochs: the ACN needs fewer layers for the target than residual",
        "novels to IMDB, equal epochs: the ACN is more accurate on the target than residual",
    ),
    statements=statements,
    table=by_arm(
        "pair, network, budget",
        {
            "epochs on the source": lambda runs: each(run["source_epoch"] for run in runs),
            "source validation": lambda runs: per_cent([run["source_score"] for run in runs]),
            "target test, full": full_score,
            "layers needed": layers_needed,
            "target test, cut": cut_score,
        },
        where=lambda results, key: key.kind != SOURCE,
    ),
    draw=draw,
    describe=describe,
)
