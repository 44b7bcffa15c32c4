"""Masked words, then tasks of sentences: how many layers an encoder needs for them."""

from __future__ import annotations

import statistics as stats
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from autocompress.pipeline import RunConfig
from autocompress.printing import markdown
from autocompress.training import find_path
from autocompress_studies.figures import curve, depth_panel
from autocompress_studies.results import Arm, Results
from autocompress_studies.settings import (
    CPU_TASKS,
    CPU_WORDS,
    PAPER_TASKS,
    PAPER_WORDS,
    SMOKE_TASK,
    SMOKE_WORDS,
    control,
)
from autocompress_studies.statements import Statement, accuracy, fewer_layers, points
from autocompress_studies.study import Study
from autocompress_studies.texts import fine_tune, pretrain, texts
from autocompress_studies.words import (
    cut_score,
    each,
    full_score,
    layers_needed,
    parameters_kept,
    spread,
)
from autocompress_studies.work import Work, examine

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["STUDY", "Key", "Settings"]

#: The task of pretraining.
WORDS = "words"


class Key(NamedTuple):
    """A network, and the task that it learns."""

    net: str
    task: str


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings of the training.

    Args:
        words: Training of the ACN on masked words; its ``control`` is the residual network's.
        tasks: Tasks that the pretrained networks learn then, by name.
        rates: Learning rates for these tasks, from which validation chooses for each network.
        annealed: Whether to include a network that is annealed to an ACN while it learns words.
        margin: Difference of accuracy below which two networks count as equal (a fraction).
    """

    words: RunConfig
    tasks: dict[str, RunConfig]
    rates: tuple[float, ...]
    annealed: bool = True
    margin: float = 0.01

    @property
    def nets(self) -> list[str]:
        """Return the networks that are pretrained."""
        return ["ACN", *(["annealed"] if self.annealed else []), "residual"]


def arms(settings: Settings) -> list[Arm[Key]]:
    found = [Arm(Key(net, WORDS)) for net in settings.nets]
    for task in settings.tasks:
        found += [Arm(Key(net, task), after=(Key(net, WORDS),)) for net in settings.nets]
        found.append(Arm(Key("shallow", task), after=(Key("ACN", task),)))
    return found


def run(settings: Settings, key: Key, work: Work) -> dict[str, Any]:
    words = work.seeded(_pretraining(key.net, settings.words))
    if key.task == WORDS:
        return pretrain(work, words)[2]
    start, learned = work.home(Key(key.net, WORDS)), {}
    if key.net == "shallow":
        depth = max(1, work.before[Key("ACN", key.task)]["selected"])
        start = work.home(key, WORDS)
        learned = {"words": pretrain(work, words.rival(depth), part=WORDS)[2]}
    config = work.seeded(settings.tasks[key.task])
    data = texts(work, config.data, start)
    tuned = fine_tune(work, config, data, start, settings.rates)
    told = work.told(tuned.seconds, tuned.part)
    rates = {"rate": tuned.rate, "rates": tuned.scores}
    return {**examine(tuned.net, data), **told, **rates, **learned}


def _pretraining(net: str, words: RunConfig) -> RunConfig:
    """Return the pretraining of one of the networks."""
    if net == "residual":
        return control(words)
    if net == "annealed":
        model = replace(words.model, connectivity={"name": "acn", "inner": 1.0})
        return replace(words, model=model, fit=replace(words.fit, path=find_path("anneal")))
    return words


def statements(settings: Settings, results: Results[Key]) -> Iterator[Statement]:
    rivals = {
        "residual": "the residual network with all its layers",
        "shallow": "a residual network that had as many layers from the start",
    }
    for task in settings.tasks:
        for net in [name for name in settings.nets if name != "residual"]:
            ours, word = Key(net, task), "ACN" if net == "ACN" else "annealed network"
            said = f"{task}: the {word} needs fewer layers than the residual network"
            rival = Key("residual", task)
            yield fewer_layers(said, results, ours, rival, of_paper=net == "ACN")
            for name, words in rivals.items():
                if net == "ACN" or name == "residual":  # the shallow one is as deep as the ACN
                    yield points(
                        f"{task}: the cut {word} is as good as {words}",
                        accuracy(results, ours, Key(name, task), ours_cut=True),
                        margin=settings.margin,
                        of_paper=net == "ACN" and name == "residual",
                    )


def table(settings: Settings, results: Results[Key]) -> str:
    rows = []
    for task in settings.tasks:
        for net in (*settings.nets, "shallow"):
            runs = results.of(Key(net, task))
            words = results.of(Key(net, WORDS)) or [run["words"] for run in runs]
            rows.append(
                (
                    f"{task}, {net}",
                    spread([run["validation_loss"][-1] for run in words], 2),
                    full_score(runs),
                    layers_needed(runs),
                    cut_score(runs),
                    parameters_kept(runs),
                    each(f"{run['rate']:g}" for run in runs),
                )
            )
    headings = ("network", "masked words, nats", "test, full", "layers needed", "test, cut")
    return markdown((*headings, "parameters, cut", "learning rate chosen"), rows)


def draw(figure: Figure, settings: Settings, results: Results[Key]) -> None:
    panels = figure.subplots(1, 1 + len(settings.tasks), squeeze=False)[0]
    for net in settings.nets:
        losses = results.column(Key(net, WORDS), "validation_loss")
        curve(panels[0], [stats.fmean(at) for at in zip(*losses, strict=True)], net)
    panels[0].set(title="masked words", ylabel="validation loss, nats", xlabel="layers that run")
    for axes, task in zip(panels[1:], settings.tasks, strict=True):
        curves = {net: Key(net, task) for net in settings.nets}
        depth_panel(axes, task, results, curves, {"shallow": Key("shallow", task)})
    panels[1].legend(loc="center right")


STUDY = Study(
    name="language",
    shows="the layers that an encoder needs for sentence tasks, after masked-word pretraining",
    paper="A BERT-base as a residual network / as an ACN that is pretrained for twice the epochs "
    "scores 86.6 / 86.7 % on SST-2, 83.1 / 83.1 % on QNLI and 87.2 / 87.3 % on QQP, with 12 / 3 "
    "layers.",
    presets={
        "smoke": Settings(words=SMOKE_WORDS, tasks={"kinds": SMOKE_TASK}, rates=(5e-3,)),
        "cpu": Settings(words=CPU_WORDS, tasks=CPU_TASKS, rates=(1e-3, 3e-4)),
        "paper": Settings(words=PAPER_WORDS, tasks=PAPER_TASKS, rates=(2e-5,)),
    },
    costs={"smoke": "seconds", "cpu": "44 core-minutes", "paper": "a GPU for weeks"},
    arms=arms,
    run=run,
    statements=statements,
    table=table,
    draw=draw,
)
