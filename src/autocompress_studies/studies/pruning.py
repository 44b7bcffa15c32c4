"""Pruning in addition to the cut: of a Mixer on images, and of an encoder that learns a task."""

from __future__ import annotations

import copy
import statistics as stats
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from torch import Tensor

from autocompress.data import Splits
from autocompress.depth import probe
from autocompress.io.bits import pack_bits, unpack_bits
from autocompress.models.heads import with_new_head
from autocompress.network import Network
from autocompress.pipeline import RunConfig, load_network
from autocompress.printing import markdown
from autocompress.statistics import paired_examples
from autocompress.training import PruneConfig, prune, sparsity
from autocompress_studies import settings as shared
from autocompress_studies.figures import Axes, Figure, colour_of, legend_below
from autocompress_studies.results import Arm, Results, Runs
from autocompress_studies.settings import as_net, changed
from autocompress_studies.statements import Statement, points
from autocompress_studies.study import Study
from autocompress_studies.texts import fine_tune, pretrain, texts
from autocompress_studies.words import cut_score, describe_settings, each, full_score, per_cent
from autocompress_studies.work import Work, examine, training_record

__all__ = ["KEEPS", "STUDY", "WHILE", "Key", "Settings", "compared", "hits_of"]

NETS = ("ACN", "residual")
MIXER, ENCODER = "Mixer", "encoder"
WORDS, DENSE, ON = "words", "dense", "trained on"

#: By family, the arm that keeps its weights and trains as long as those that are pruned.
KEEPS = {MIXER: ON, ENCODER: DENSE}

#: Ways of pruning a network while it is trained, by name.
WHILE = {
    "movement 20 %": PruneConfig(score="movement", share=0.2),
    "movement 40 %": PruneConfig(score="movement", share=0.4),
    "last batch 20 %": PruneConfig(score="saliency", share=0.2),
}


class Key(NamedTuple):
    """A family of networks, its connectivity, and how it is trained or pruned."""

    family: str
    net: str
    kind: str


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings of training and pruning; validation chooses the rate with all weights."""

    images: RunConfig  #: of the ACN of Mixer blocks; its ``control`` is the residual network's
    words: RunConfig  #: of an encoder ACN on masked words; its ``control`` as above
    task: RunConfig  #: of the pretrained encoders, with all weights or while they are pruned
    rates: tuple[float, ...]  #: learning rates of fine-tuning
    sparsities: tuple[float, ...] = (0.2, 0.4, 0.6, 0.8, 0.9)  #: by magnitude, after training
    epochs: int = 6  #: of further training on images during pruning; none after the last
    lr: float = 1e-3  #: learning rate of that training


def describe(settings: Settings) -> str:
    """Return the settings, the pruned parts, and what a pruned network is compared with."""
    return (
        f"{describe_settings(settings)}\n"
        "- encoder, as in the paper: pruning by magnitude follows fine-tuning; pruning by the "
        "other scores happens while the pretrained network is fine-tuned, for "
        f"{settings.task.fit.epochs} epochs in any case, at the learning rate that validation "
        "chose for the unpruned network\n"
        "- Mixer: pruning by the other scores happens while the network is trained further on "
        f"the same data; it is compared with a network that is trained for the same "
        f"{settings.epochs} epochs and keeps its weights\n"
        "- pruning by movement removes a few weights at every step, the same share of every "
        "matrix, and they may return (Sanh et al.); pruning by the authors' score removes "
        "weights at the end of each epoch, over all matrices together and for good\n"
        "- a network that starts lower has less to lose, so the two statements on a sparsity "
        "belong together"
    )


def arms(settings: Settings) -> list[Arm[Key]]:
    found = []
    for net in NETS:
        dense = Key(MIXER, net, DENSE)
        found += [Arm(dense), *(Arm(Key(MIXER, net, k), after=(dense,)) for k in (ON, *WHILE))]
    found += [Arm(Key(ENCODER, net, WORDS)) for net in NETS]
    for net in NETS:
        words, dense = Key(ENCODER, net, WORDS), Key(ENCODER, net, DENSE)
        found.append(Arm(dense, after=(words,)))
        found += [Arm(Key(ENCODER, net, kind), after=(words, dense)) for kind in WHILE]
    return found


def run(settings: Settings, key: Key, work: Work) -> dict[str, Any]:
    return (_mixer if key.family == MIXER else _encoder)(settings, key, work)


def statements(settings: Settings, results: Results[Key]) -> Iterator[Statement]:
    for family in KEEPS:
        of_paper = family == ENCODER
        for share in settings.sparsities:
            words = f"{family}, magnitude, {100 * share:g} % of the weights at once"
            before, after = (
                {n: hits_of(results.of(Key(family, n, DENSE)), at) for n in NETS}
                for at in (None, share)
            )
            yield from compared(words, before, after, of_paper=of_paper)
        for kind in WHILE:
            before, after = (
                {n: hits_of(results.of(Key(family, n, k))) for n in NETS}
                for k in (KEEPS[family], kind)
            )
            gone = stats.fmean(results.column(Key(family, "ACN", kind), "sparsity"))
            words = f"{family}, {kind} an epoch ({100 * gone:.0f} % in the end)"
            yield from compared(words, before, after, of_paper=of_paper)


def table(settings: Settings, results: Results[Key]) -> str:
    rows = [r for family in KEEPS for n in NETS for r in _rows(settings, results, family, n)]
    headings = ("network", "sparsity", "weights left", "test, full", "depth", "test, cut")
    return markdown((*headings, "learning rate"), rows)


def draw(figure: Figure, settings: Settings, results: Results[Key]) -> None:
    figure.set_size_inches(8.4, 6.8)
    panels = figure.subplots(2, 2, sharex=True, sharey="row")
    for (left, right), family in zip(panels, KEEPS, strict=True):
        for net in NETS:
            _draw_at_once(left, right, settings, results, Key(family, net, DENSE))
            _draw_while(left, results, family, net)
        left.set(ylabel=f"{family}: test accuracy, %")
    for axes, title in zip(panels[0], ("all layers", "cut, then magnitude"), strict=True):
        axes.set(title=title)
    for axes in panels[1]:
        axes.set(xlabel="sparsity of the blocks, %")
    legend_below(figure, panels[0, :1], ncols=3)


def _mixer(settings: Settings, key: Key, work: Work) -> dict[str, Any]:
    """Train a Mixer on images, or train it further, pruned meanwhile or not."""
    config = as_net(key.net, work.seeded(settings.images))
    data = work.load(config.data)
    if key.kind == DENSE:
        trained, seconds = work.train(config, data)
        scores = _examined(settings, trained, data)
        return {**scores, **work.told(seconds), "rate": config.fit.lr}
    start = work.network(key._replace(kind=DENSE))
    again = {"fit.epochs": settings.epochs, "fit.lr": settings.lr, "fit.warmup_epochs": 0.0}
    return _trained(work, start, data, changed(config, again))


def _encoder(settings: Settings, key: Key, work: Work) -> dict[str, Any]:
    """Pretrain an encoder, or fine-tune it from there, pruned meanwhile or afterwards."""
    words = as_net(key.net, work.seeded(settings.words))
    if key.kind == WORDS:
        return pretrain(work, words)[2]
    start = work.home(key._replace(kind=WORDS))
    config = work.seeded(settings.task)
    data = texts(work, config.data, start)
    if key.kind == DENSE:
        tuned = fine_tune(work, config, data, start, settings.rates)
        return {**_examined(settings, tuned.net, data), **tuned.told(work)}
    rate = work.before[key._replace(kind=DENSE)]["rate"]
    new = with_new_head(load_network(start), len(data.classes), config.fit.seed)
    return _trained(work, new, data, changed(config, {"fit.lr": rate}))


def _trained(work: Work, net: Network, data: Splits, config: RunConfig) -> dict[str, Any]:
    """Train ``net`` while weights are pruned as the arm says, and examine it."""
    config = changed(config, {"fit.prune": WHILE.get(work.key.kind)})
    net, run = work.fitted(config, data, start=net)
    return {
        **examine(net, data),
        **training_record(run),
        "rate": config.fit.lr,
        "sparsity": round(sparsity(net), 4),
        "left": _left(net),
    }


def _examined(settings: Settings, net: Network, data: Splits) -> dict[str, Any]:
    """Return a network with all its weights, and without the smallest."""
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
    """Return test scores without the smallest weights, of the full and of the cut network."""
    whole = copy.deepcopy(net)
    prune(whole, share)
    curve = probe(whole, data.test)
    small = net.cut(selected)
    if selected:
        prune(small, share)
    return {
        "test": round(curve.scores[-1], 6),
        "full": pack_bits(curve.hits[:, -1]),
        "left": _left(whole),
        "test_cut": round(probe(small, data.test).scores[-1], 6),
    }


def _left(net: Network) -> int:
    """Return the number of weights that are not zero."""
    return sum(int((p != 0).sum()) for p in net.parameters())


def hits_of(runs: Runs, share: float | None = None) -> list[Tensor]:
    """Return which test examples all layers classify correctly, seed by seed.

    Args:
        runs: Scores of one arm.
        share: Share of weights that magnitude has removed; None takes the network as it is.
    """
    found = [run["hits"] if share is None else run["magnitude"][str(share)] for run in runs]
    return [unpack_bits(hits["full"]) for hits in found]


def compared(
    words: str,
    before: Mapping[str, Sequence[Tensor]],
    after: Mapping[str, Sequence[Tensor]],
    *,
    of_paper: bool,
) -> list[Statement]:
    """Compare both networks after pruning, and their losses: hits by network, seed by seed."""
    lost = {
        net: [b.int() - a.int() for b, a in zip(before[net], after[net], strict=True)]
        for net in NETS
    }
    return [
        points(
            f"{words}: the ACN is more accurate than the residual network",
            paired_examples(after["ACN"], after["residual"]),
            of_paper=False,
        ),
        points(
            f"{words}: the ACN loses no more than the residual network",
            paired_examples(lost["residual"], lost["ACN"]),
            margin=0.01,
            of_paper=of_paper,
        ),
    ]


def _rows(
    settings: Settings, results: Results[Key], family: str, net: str
) -> Iterator[tuple[str, ...]]:
    """Yield the table's rows about one network."""
    on = [ON] if KEEPS[family] == ON else []
    for kind in (DENSE, *on, *WHILE):
        runs = results.of(Key(family, net, kind))
        depths = each(run["selected"] for run in runs)
        rates = each(f"{rate:g}" for rate in dict.fromkeys(run["rate"] for run in runs))
        name = f"{family}, {net}, {kind}{' an epoch' if kind in WHILE else ''}"
        share, left = f"{100 * runs[0]['sparsity']:.0f} %", f"{runs[0]['left']:,}"
        yield (name, share, left, full_score(runs), depths, cut_score(runs), rates)
        for at in settings.sparsities if kind == DENSE else ():
            pruned = [run["magnitude"][str(at)] for run in runs]
            full, cut = (per_cent([p[of] for p in pruned]) for of in ("test", "test_cut"))
            name, left = f"{family}, {net}, magnitude at once", f"{pruned[0]['left']:,}"
            yield (name, f"{100 * at:g} %", left, full, depths, cut, rates)


def _draw_at_once(
    left: Axes, right: Axes, settings: Settings, results: Results[Key], key: Key
) -> None:
    """Draw scores by the share that magnitude removes at once: of all layers and of the cut."""
    runs, shares = results.of(key), [0.0, *settings.sparsities]
    label: Any = {"color": colour_of(key.net), "ms": 4, "label": f"{key.net}, magnitude at once"}
    for axes, name in ((left, "test"), (right, "test_cut")):
        whole = [run["test"][-1 if name == "test" else run["selected"]] for run in runs]
        pruned = [[run["magnitude"][str(at)][name] for run in runs] for at in settings.sparsities]
        means = [stats.fmean(scores) for scores in (whole, *pruned)]
        at, scores = ([100 * value for value in values] for values in (shares, means))
        axes.plot(at, scores, "o-", **label)


def _draw_while(axes: Axes, results: Results[Key], family: str, net: str) -> None:
    """Draw scores of the networks pruned while training, and of the one that was not."""
    marked = {ON: "D"} if KEEPS[family] == ON else {}
    for kind, marker in {**marked, **dict(zip(WHILE, "^vs", strict=True))}.items():
        runs = results.of(Key(family, net, kind))
        at = 100 * stats.fmean(run["sparsity"] for run in runs)
        score = 100 * stats.fmean(run["test"][-1] for run in runs)
        axes.plot(at, score, marker, color=colour_of(net), mfc="none", label=f"{net}, {kind}")


STUDY = Study(
    name="pruning",
    shows="score against sparsity and size, by magnitude and by movement",
    paper="A BERT on SST-2 is pruned by magnitude after fine-tuning, and by movement: 20 or 40 % "
    "of the remaining weights after each epoch. The numbers are in a figure that we do not have. "
    "We therefore test that an ACN loses no more by pruning than a residual network of the same "
    "sparsity. Images are a question of ours.",
    presets={
        "smoke": Settings(
            images=shared.SMOKE,
            words=shared.SMOKE_WORDS,
            task=shared.SMOKE_TASK,
            rates=(5e-3,),
            sparsities=(0.5, 0.9),
            epochs=2,
        ),
        "cpu": Settings(
            images=shared.DIGITS,
            words=changed(shared.CPU_WORDS, {"data.train_limit": 500, "model.depth": 6}),
            task=shared.sized(shared.CPU_TASK, 2_000, epochs=6),
            rates=(1e-3, 3e-4),
        ),
        "paper": Settings(
            images=shared.PAPER,
            words=shared.PAPER_WORDS,
            task=shared.PAPER_TASKS["SST-2"],
            rates=(2e-5,),
            lr=1e-4,
        ),
    },
    costs={"smoke": "seconds", "cpu": "80 core-minutes", "paper": "a GPU for weeks"},
    revision=2,
    arms=arms,
    run=run,
    headlines=tuple(
        f"{way}: the ACN is more accurate than the residual network"
        for way in (
            "Mixer, magnitude, 60 % of the weights at once",
            "Mixer, magnitude, 90 % of the weights at once",
            "Mixer, movement 40 % an epoch (92 % in the end)",
            "encoder, movement 40 % an epoch (92 % in the end)",
        )
    ),
    statements=statements,
    table=table,
    draw=draw,
    describe=describe,
)
