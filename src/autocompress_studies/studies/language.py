"""Masked words, then tasks of sentences: how many layers an encoder needs for them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from autocompress.pipeline import RunConfig
from autocompress.printing import markdown
from autocompress.training import find_path
from autocompress_studies import settings as shared
from autocompress_studies.figures import Figure, curve, depth_panel, mean_curve
from autocompress_studies.results import Arm, Results
from autocompress_studies.settings import INNER, as_net, changed
from autocompress_studies.statements import Statement, as_good, fewer_layers
from autocompress_studies.study import Study
from autocompress_studies.texts import fine_tune, pretrain, texts
from autocompress_studies.words import COLUMNS, each, spread
from autocompress_studies.work import Work, examine

__all__ = ["STUDY", "Key", "Settings"]

#: The task of pretraining.
WORDS = "words"


class Key(NamedTuple):
    """A network, and the task that it learns."""

    net: str
    task: str


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings of the training."""

    words: RunConfig  #: of the ACN on masked words; its ``control`` is the residual network's
    tasks: dict[str, RunConfig]  #: what the pretrained networks learn then
    rates: tuple[float, ...]  #: learning rates of the tasks; validation chooses for each network
    annealed: bool = True  #: whether a network is annealed to an ACN while it learns words
    margin: float = 0.01  #: accuracies (fractions) that differ by less count as equal

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
    path = {"model.connectivity": INNER, "fit.path": find_path("anneal")}
    return changed(words, path) if net == "annealed" else as_net(net, words)


def statements(settings: Settings, results: Results[Key]) -> Iterator[Statement]:
    rivals = {
        "residual": "the residual network with all its layers",
        "shallow": "a residual network that had as many layers from the start",
    }
    for task in settings.tasks:
        for net in [name for name in settings.nets if name != "residual"]:
            ours, word = Key(net, task), "ACN" if net == "ACN" else "annealed network"
            words = f"{task}: the {word} needs fewer layers than the residual network"
            yield fewer_layers(words, results, ours, Key("residual", task), of_paper=net == "ACN")
            for name, named in rivals.items():
                if net == "ACN" or name == "residual":  # the shallow one is as deep as the ACN
                    words = f"{task}: the cut {word} is as good as {named}"
                    of_paper, rival = net == "ACN" and name == "residual", Key(name, task)
                    yield as_good(words, results, ours, rival, settings.margin, of_paper=of_paper)


def table(settings: Settings, results: Results[Key]) -> str:
    rows, shown = [], ("test, full", "layers needed", "test, cut", "parameters, cut")
    for task in settings.tasks:
        for net in (*settings.nets, "shallow"):
            runs = results.of(Key(net, task))
            words = results.of(Key(net, WORDS)) or [run["words"] for run in runs]
            nats = spread([run["validation_loss"][-1] for run in words], 2)
            rates = each(f"{run['rate']:g}" for run in runs)
            cells = (COLUMNS[name](runs) for name in shown)
            rows.append((f"{task}, {net}", nats, *cells, rates))
    return markdown(("network", "masked words, nats", *shown, "learning rate chosen"), rows)


def draw(figure: Figure, settings: Settings, results: Results[Key]) -> None:
    panels = figure.subplots(1, 1 + len(settings.tasks), squeeze=False)[0]
    for net in settings.nets:
        curve(panels[0], mean_curve(results, Key(net, WORDS), "validation_loss", scale=1), net)
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
        "smoke": Settings(
            words=shared.SMOKE_WORDS, tasks={"kinds": shared.SMOKE_TASK}, rates=(5e-3,)
        ),
        "cpu": Settings(words=shared.CPU_WORDS, tasks=shared.CPU_TASKS, rates=(1e-3, 3e-4)),
        "paper": Settings(words=shared.PAPER_WORDS, tasks=shared.PAPER_TASKS, rates=(2e-5,)),
    },
    costs={"smoke": "seconds", "cpu": "44 core-minutes", "paper": "a GPU for weeks"},
    arms=arms,
    run=run,
    statements=statements,
    table=table,
    draw=draw,
)
