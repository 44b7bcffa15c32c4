"""Weights to zero, on top of the cut: of a Mixer on images, of an encoder that learns a task."""

from __future__ import annotations

import copy
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from torch import Tensor

from autocompress.data import Splits
from autocompress.depth import probe
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
from autocompress.reproduce.settings import (
    CPU,
    CPU_TASKS,
    CPU_WORDS,
    PAPER,
    PAPER_TASKS,
    PAPER_WORDS,
    SMOKE,
    SMOKE_TASK,
    SMOKE_WORDS,
    control,
)
from autocompress.reproduce.texts import fine_tune, pretrain, texts
from autocompress.reproduce.words import cut_score, full_score, per_cent
from autocompress.reproduce.work import Work, examine, pack, unpack, with_new_head
from autocompress.statistics import paired_examples
from autocompress.training import PruneConfig, fit, prune, sparsity

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["Pruning", "PruningSettings"]

_NETS = {"ACN": "#0072b2", "residual": "#d55e00"}
_MIXER, _ENCODER = "Mixer", "encoder"
_WORDS, _DENSE, _ON = "words", "dense", "trained on"

#: Of each family, the arm that keeps its weights and trains as long as those that lose them.
_KEEPS = {_MIXER: _ON, _ENCODER: _DENSE}

#: How a network is pruned while it is trained, by name.
_WHILE = {
    "movement 20 %": PruneConfig(score="movement", share=0.2),
    "movement 40 %": PruneConfig(score="movement", share=0.4),
    "last batch 20 %": PruneConfig(score="saliency", share=0.2),
}


@dataclass(frozen=True, kw_only=True)
class PruningSettings:
    """What is trained, and how it is pruned.

    Args:
        images: how the ACN of Mixer blocks is trained; ``control`` there is the residual network's.
        words: how the ACN of an encoder learns masked words; ``control`` as above.
        task: what the pretrained encoders learn then, with all weights or while weights go.
        rates: learning rates of that, of which validation chooses for each with all its weights.
        sparsities: shares of the blocks' weights that magnitude takes at once, after training.
        epochs: of training on with images while weights go; none after the last.
        lr: learning rate of that.
    """

    images: RunConfig
    words: RunConfig
    task: RunConfig
    rates: tuple[float, ...]
    sparsities: tuple[float, ...] = (0.2, 0.4, 0.6, 0.8, 0.9)
    epochs: int = 6
    lr: float = 1e-3


_SST2 = CPU_TASKS["SST-2"]
_PRESETS = {
    "smoke": PruningSettings(
        images=SMOKE,
        words=SMOKE_WORDS,
        task=SMOKE_TASK,
        rates=(5e-3,),
        sparsities=(0.5, 0.9),
        epochs=2,
    ),
    "cpu": PruningSettings(
        images=replace(
            CPU, data=replace(CPU.data, train_limit=6_000), fit=replace(CPU.fit, epochs=8)
        ),
        words=replace(
            CPU_WORDS,
            data=replace(CPU_WORDS.data, train_limit=500),
            model=replace(CPU_WORDS.model, depth=6),
        ),
        task=replace(
            _SST2, data=replace(_SST2.data, train_limit=2_000), fit=replace(_SST2.fit, epochs=6)
        ),
        rates=(1e-3, 3e-4),
    ),
    "paper": PruningSettings(
        images=PAPER, words=PAPER_WORDS, task=PAPER_TASKS["SST-2"], rates=(2e-5,), lr=1e-4
    ),
}
_COSTS = {"smoke": "seconds", "cpu": "23 core-minutes", "paper": "a GPU for weeks"}


@register_claim
class Pruning(Claim[PruningSettings]):
    """Magnitude at once; movement and the authors' last-batch score while training."""

    name = "pruning"
    shows = "score against sparsity and size, by magnitude and by movement"
    paper = (
        "BERT on SST-2, pruned by magnitude after fine-tuning, and by movement: 20 or 40 % of the "
        "remaining weights after each epoch. Its numbers are in a figure that we do not have; "
        "tested is that what pruning takes from an ACN is no more than what it takes from a "
        "residual network of the same sparsity. Images are a question of ours."
    )
    presets = _PRESETS
    costs = _COSTS
    revision = 2

    def describe(self, settings: PruningSettings) -> str:
        """Beside the settings: from where, and against what, weights go."""
        return (
            f"{super().describe(settings)}\n"
            "- encoder, as in the paper: magnitude takes weights after fine-tuning; by the other "
            f"scores they go while the pretrained network is fine-tuned, {settings.task.fit.epochs}"
            " epochs in any case, at the learning rate that validation chose for all weights\n"
            "- Mixer: by the other scores weights go while the network trains on with the data "
            "that it knows; the loss is to a network that trains on for the same "
            f"{settings.epochs} epochs and keeps its weights\n"
            "- by movement weights go step by step, of every matrix the same share, and may "
            "return (Sanh et al.); by the authors' score when an epoch ends, of all matrices "
            "together, and for good\n"
            "- what begins lower has less to lose: the two statements on a sparsity go together"
        )

    def arms(self, settings: PruningSettings) -> list[Arm]:
        arms = []
        for net in _NETS:
            dense = f"{_MIXER}, {net}, {_DENSE}"
            kinds = (_ON, *_WHILE)
            arms += [Arm(dense), *(Arm(f"{_MIXER}, {net}, {k}", after=(dense,)) for k in kinds)]
        arms += [Arm(f"{_ENCODER}, {net}, {_WORDS}") for net in _NETS]
        for net in _NETS:
            words, dense = (f"{_ENCODER}, {net}, {kind}" for kind in (_WORDS, _DENSE))
            arms.append(Arm(dense, after=(words,)))
            arms += [Arm(f"{_ENCODER}, {net}, {kind}", after=(words, dense)) for kind in _WHILE]
        return arms

    def run(self, settings: PruningSettings, arm: str, work: Work) -> dict[str, Any]:
        family, net, kind = arm.split(", ")
        return (_mixer if family == _MIXER else _encoder)(settings, net, kind, work)

    def verdict(self, settings: PruningSettings, results: Results) -> list[Finding]:
        found = []
        for family in _KEEPS:
            for share in settings.sparsities:
                words = f"{family}, magnitude, {100 * share:g} % of the weights at once"
                before, after = (
                    {n: _hits(results.of(f"{family}, {n}, {_DENSE}"), at) for n in _NETS}
                    for at in (None, share)
                )
                found += _compare(words, before, after, of_paper=family == _ENCODER)
            for kind in _WHILE:
                before, after = (
                    {n: _hits(results.of(f"{family}, {n}, {k}")) for n in _NETS}
                    for k in (_KEEPS[family], kind)
                )
                gone = statistics.fmean(results.column(f"{family}, ACN, {kind}", "sparsity"))
                words = f"{family}, {kind} an epoch ({100 * gone:.0f} % in the end)"
                found += _compare(words, before, after, of_paper=family == _ENCODER)
        return found

    def table(self, settings: PruningSettings, results: Results) -> Table:
        rows = [r for family in _KEEPS for n in _NETS for r in _rows(settings, results, family, n)]
        headings = ("network", "sparsity", "weights left", "test, full", "depth", "test, cut")
        return Table((*headings, "learning rate"), rows)

    def draw(self, figure: Figure, settings: PruningSettings, results: Results) -> None:
        figure.set_size_inches(8.4, 6.8)
        panels = figure.subplots(2, 2, sharex=True, sharey="row")
        for (left, right), family in zip(panels, _KEEPS, strict=True):
            for net in _NETS:
                _draw_at_once(left, right, settings, results, f"{family}, {net}")
                _draw_while(left, results, family, net)
            left.set(ylabel=f"{family}: test accuracy, %")
        for axes, title in zip(panels[0], ("all layers", "cut, then magnitude"), strict=True):
            axes.set(title=title)
        for axes in panels[1]:
            axes.set(xlabel="sparsity of the blocks, %")
        panels[0, 1].legend(*panels[0, 0].get_legend_handles_labels(), fontsize=6)
        for axes in panels.flat:
            axes.grid(alpha=0.25)


def _mixer(settings: PruningSettings, net: str, kind: str, work: Work) -> dict[str, Any]:
    """A Mixer on images: trained, or trained on with what it knows, and pruned meanwhile or not."""
    config = work.seeded(_as(net, settings.images))
    data = work.load(config.data)
    if kind == _DENSE:
        trained, seconds = work.train(config, data)
        scores = _examined(settings, trained, data)
        return {**scores, **work.told(seconds), "rate": config.fit.lr}
    start = work.network(f"{_MIXER}, {net}, {_DENSE}")
    again = replace(config.fit, epochs=settings.epochs, lr=settings.lr, warmup_epochs=0.0)
    return _trained(start, data, replace(config, fit=again), kind)


def _encoder(settings: PruningSettings, net: str, kind: str, work: Work) -> dict[str, Any]:
    """An encoder: pretrained, or fine-tuned from there, and pruned meanwhile or afterwards."""
    words = work.seeded(_as(net, settings.words))
    if kind == _WORDS:
        return pretrain(work, words)[2]
    start = work.home(f"{_ENCODER}, {net}, {_WORDS}")
    config = work.seeded(settings.task)
    data = texts(work, config.data, start)
    if kind == _DENSE:
        tuned = fine_tune(work, config, data, start, settings.rates)
        scores = _examined(settings, tuned.net, data)
        told = work.told(tuned.seconds, tuned.part)
        return {**scores, **told, "rate": tuned.rate, "rates": tuned.scores}
    rate = work.before[f"{_ENCODER}, {net}, {_DENSE}"]["rate"]
    new = with_new_head(load_network(start), len(data.classes), config.fit.seed)
    return _trained(new, data, replace(config, fit=replace(config.fit, lr=rate)), kind)


def _as(net: str, config: RunConfig) -> RunConfig:
    return control(config) if net == "residual" else config


def _trained(net: Network, data: Splits, config: RunConfig, kind: str) -> dict[str, Any]:
    """Train ``net`` while weights go, and look at it."""
    how = replace(config.fit, prune=_WHILE.get(kind))
    run = fit(net, data.train, data.validation, how, augment=config.augment, progress=False)
    return {
        **examine(net, data),
        "epochs": len(run.history),
        "train_seconds": round(run.seconds, 1),
        "by_epoch": [record["validation"] for record in run.history if "validation" in record],
        "rate": config.fit.lr,
        "sparsity": round(sparsity(net), 4),
        "left": _left(net),
    }


def _examined(settings: PruningSettings, net: Network, data: Splits) -> dict[str, Any]:
    """A network with all its weights, and without the smallest."""
    scores = examine(net, data)
    return {
        **scores,
        "sparsity": round(sparsity(net), 4),
        "left": _left(net),
        "magnitude": {
            str(share): _at_once(net, data, scores["selected"], share)
            for share in settings.sparsities
        },
    }


def _at_once(net: Network, data: Splits, selected: int, share: float) -> dict[str, Any]:
    """Test scores without the smallest weights, of the whole network and of the cut one."""
    whole = copy.deepcopy(net)
    prune(whole, share)
    curve = probe(whole, data.test)
    small = net.cut(selected)
    if selected:
        prune(small, share)
    return {
        "test": round(curve.scores[-1], 6),
        "full": pack(curve.hits[:, -1]),
        "left": _left(whole),
        "test_cut": round(probe(small, data.test).scores[-1], 6),
    }


def _left(net: Network) -> int:
    """Weights that are not zero."""
    return sum(int((p != 0).sum()) for p in net.parameters())


def _hits(runs: Sequence[Mapping[str, Any]], share: float | None = None) -> list[Tensor]:
    """Which test examples all layers have right, seed by seed; without a share, or as they are."""
    found = [run["hits"] if share is None else run["magnitude"][str(share)] for run in runs]
    return [unpack(hits["full"]) for hits in found]


def _compare(
    words: str,
    before: Mapping[str, Sequence[Tensor]],
    after: Mapping[str, Sequence[Tensor]],
    *,
    of_paper: bool,
) -> list[Finding]:
    """Both networks without weights, and what each has lost: hits by network, seed by seed."""
    lost = {
        net: [b.int() - a.int() for b, a in zip(before[net], after[net], strict=True)]
        for net in _NETS
    }
    return [
        finding(
            f"{words}: the ACN is more accurate than the residual network",
            paired_examples(after["ACN"], after["residual"]),
            least=0.0,
            unit="points",
            scale=100,
            of_paper=False,
        ),
        finding(
            f"{words}: the ACN loses no more than the residual network",
            paired_examples(lost["residual"], lost["ACN"]),
            least=-0.01,
            unit="points",
            scale=100,
            of_paper=of_paper,
        ),
    ]


def _rows(
    settings: PruningSettings, results: Results, family: str, net: str
) -> list[tuple[str, ...]]:
    """What the table says of one network."""

    def whole(kind: str, words: str) -> tuple[str, ...]:
        runs = results.of(f"{family}, {net}, {kind}")
        return (
            f"{family}, {net}, {words}",
            f"{100 * runs[0]['sparsity']:.0f} %",
            f"{runs[0]['left']:,}",
            full_score(runs),
            ", ".join(str(run["selected"]) for run in runs),
            cut_score(runs),
            ", ".join(f"{rate:g}" for rate in dict.fromkeys(run["rate"] for run in runs)),
        )

    dense = results.of(f"{family}, {net}, {_DENSE}")
    first = whole(_DENSE, _DENSE)
    rows = [first]
    for share in settings.sparsities:
        pruned = [run["magnitude"][str(share)] for run in dense]
        rows.append(
            (
                f"{family}, {net}, magnitude at once",
                f"{100 * share:g} %",
                f"{pruned[0]['left']:,}",
                per_cent([p["test"] for p in pruned]),
                first[4],
                per_cent([p["test_cut"] for p in pruned]),
                first[6],
            )
        )
    on = [whole(_ON, _ON)] if _KEEPS[family] == _ON else []
    return [*rows, *on, *(whole(kind, f"{kind} an epoch") for kind in _WHILE)]


def _draw_at_once(
    left: Axes, right: Axes, settings: PruningSettings, results: Results, name: str
) -> None:
    """Scores by the share that magnitude takes at once: of all layers, and of the cut network."""
    runs, net = results.of(f"{name}, {_DENSE}"), name.rpartition(", ")[2]
    shares = [0.0, *settings.sparsities]
    for axes, key in ((left, "test"), (right, "test_cut")):
        means = [
            statistics.fmean(run["test"][-1 if key == "test" else run["selected"]] for run in runs),
            *(
                statistics.fmean(run["magnitude"][str(share)][key] for run in runs)
                for share in settings.sparsities
            ),
        ]
        at, scores = ([100 * value for value in values] for values in (shares, means))
        axes.plot(at, scores, "o-", color=_NETS[net], ms=4, label=f"{net}, magnitude at once")


def _draw_while(axes: Axes, results: Results, family: str, net: str) -> None:
    """Scores of the networks that lost weights while they trained, and of the one that did not."""
    marked = {_ON: "D"} if _KEEPS[family] == _ON else {}
    for kind, marker in {**marked, **dict(zip(_WHILE, "^vs", strict=True))}.items():
        runs = results.of(f"{family}, {net}, {kind}")
        at = 100 * statistics.fmean(run["sparsity"] for run in runs)
        score = 100 * statistics.fmean(run["test"][-1] for run in runs)
        axes.plot(at, score, marker, color=_NETS[net], mfc="none", label=f"{net}, {kind}")
