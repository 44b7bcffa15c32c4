"""Masked words, then tasks of sentences: how many layers an encoder needs for them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from autocompress.pipeline import RunConfig
from autocompress.training import find_path
from autocompress_studies import Arm, Results, Statement, Study, Work
from autocompress_studies import settings as of
from autocompress_studies.figures import by_depth
from autocompress_studies.statements import compresses
from autocompress_studies.texts import examine_tuned, pretrain, pretrained_loss
from autocompress_studies.words import by_arm

__all__ = ["STUDY", "Key", "Settings"]

#: The networks that are pretrained, and the task of that.
NETS, WORDS = ("ACN", "annealed", "residual"), "words"


class Key(NamedTuple):
    """A task, and the network that learns it."""

    task: str
    net: str


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings of the training."""

    words: RunConfig  #: of the ACN on masked words; its ``control`` is the residual network's
    tasks: dict[str, RunConfig]  #: what the pretrained networks learn then
    rates: tuple[float, ...]  #: learning rates of the tasks; validation chooses for each network
    margin: float = 0.01  #: accuracies (fractions) that differ by less count as equal


def arms(settings: Settings) -> list[Arm[Key]]:
    found = [Arm(Key(WORDS, net)) for net in NETS]
    for task in settings.tasks:
        found += [Arm(Key(task, net), after=(Key(WORDS, net),)) for net in NETS]
        found.append(Arm(Key(task, "shallow"), after=(Key(task, "ACN"),)))
    return found


def run(settings: Settings, key: Key, work: Work) -> dict[str, Any]:
    words = of.as_net(key.net, work.seeded(settings.words))
    if key.net == "annealed":
        words = of.changed(words, {"model.connectivity": of.INNER, "fit.path": find_path("anneal")})
    if key.task == WORDS:
        return pretrain(work, words)[2]
    start, learned = work.home(Key(WORDS, key.net)), {}
    if key.net == "shallow":
        depth = max(1, work.before[Key(key.task, "ACN")]["selected"])
        start = work.home(key, WORDS)
        learned = {"words": pretrain(work, words.rival(depth), part=WORDS)[2]}
    return {**examine_tuned(work, settings.tasks[key.task], start, settings.rates), **learned}


def statements(settings: Settings, results: Results[Key]) -> Iterator[Statement]:
    for task in settings.tasks:
        acn, annealed, residual = (Key(task, net) for net in NETS)
        rival = {"a residual network that had as many layers from the start": Key(task, "shallow")}
        yield from compresses(task, results, acn, residual, settings.margin, rivals=rival)
        sides, net = (annealed, residual), "annealed network"
        yield from compresses(task, results, *sides, settings.margin, net=net, of_paper=False)


STUDY = Study(
    name="language",
    shows="the layers that an encoder needs for sentence tasks, after masked-word pretraining",
    paper="A BERT-base as a residual network / as an ACN pretrained for twice the epochs scores "
    "86.6 / 86.7 % (SST-2), 83.1 / 83.1 % (QNLI), 87.2 / 87.3 % (QQP), with 12 / 3 layers.",
    presets={
        "smoke": Settings(words=of.SMOKE_WORDS, tasks={"kinds": of.SMOKE_TASK}, rates=(5e-3,)),
        "cpu": Settings(
            words=of.changed(of.CPU_WORDS, {"fit.epochs": 4}),
            tasks={"SST-2": of.changed(of.CPU_TASK, {"fit.epochs": 8})},
            rates=(1e-3, 3e-4),
        ),
        "paper": Settings(words=of.PAPER_WORDS, tasks=of.PAPER_TASKS, rates=(2e-5,)),
    },
    costs={"smoke": "seconds", "cpu": "2 core-hours", "paper": "a GPU for weeks"},
    arms=arms,
    run=run,
    headlines=(
        "SST-2: the ACN needs fewer layers than the residual network",
        "SST-2: the annealed network needs fewer layers than the residual network",
    ),
    statements=statements,
    table=by_arm(
        "task, network",
        *("test, full", "layers needed", "test, cut", "parameters, cut", "learning rate chosen"),
        of_key={"masked words, nats": pretrained_loss(lambda key: Key(WORDS, key.net))},
        where=lambda results, key: key.task != WORDS,
    ),
    draw=by_depth(
        lambda settings: {
            task: {net: Key(task, net) for net in NETS} for task in (WORDS, *settings.tasks)
        },
        stars=lambda settings: {n: {"shallow": Key(n, "shallow")} for n in settings.tasks},
        scores={WORDS: "validation_loss"},
        titled=lambda task: {WORDS: "masked words"}.get(task, task),
    ),
)
