"""Masked words first, then tasks of sentences: how many layers an encoder needs for them."""

from __future__ import annotations

import statistics
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
from autocompress.reproduce.settings import (
    CPU_TASKS,
    CPU_WORDS,
    PAPER_TASKS,
    PAPER_WORDS,
    SMOKE_TASK,
    SMOKE_WORDS,
    control,
)
from autocompress.reproduce.texts import fine_tune, pretrain, texts
from autocompress.reproduce.words import cut_score, full_score, layers_needed, spread
from autocompress.reproduce.work import Work, examine
from autocompress.training import find_path

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Language", "LanguageSettings"]

_COLOURS = {"ACN": "#0072b2", "annealed": "#56b4e9", "residual": "#d55e00", "shallow": "#009e73"}
_SHALLOW = "shallow"
_WORDS = "words"


@dataclass(frozen=True, kw_only=True)
class LanguageSettings:
    """What is trained.

    Args:
        words: how the ACN learns masked words; ``control`` there is the residual network's.
        tasks: by name, what the pretrained networks learn then.
        rates: learning rates of that, of which validation chooses for each network.
        annealed: whether a network that is annealed to an ACN while it learns words takes part.
        margin: of accuracy, below which two networks count as equal (a fraction).
    """

    words: RunConfig
    tasks: dict[str, RunConfig]
    rates: tuple[float, ...]
    annealed: bool = True
    margin: float = 0.01


_PRESETS = {
    "smoke": LanguageSettings(words=SMOKE_WORDS, tasks={"kinds": SMOKE_TASK}, rates=(5e-3,)),
    "cpu": LanguageSettings(words=CPU_WORDS, tasks=CPU_TASKS, rates=(1e-3, 3e-4)),
    "paper": LanguageSettings(words=PAPER_WORDS, tasks=PAPER_TASKS, rates=(2e-5,)),
}
_COSTS = {"smoke": "seconds", "cpu": "44 core-minutes", "paper": "a GPU for weeks"}


@register_claim
class Language(Claim[LanguageSettings]):
    """Encoders that learn masked words, then one task of sentences at a time."""

    name = "language"
    shows = "the layers that an encoder needs for tasks of sentences, after masked words"
    paper = (
        "BERT-base, pretrained for twice the residual one's epochs, residual / ACN: SST-2 86.6 / "
        "86.7 %, QNLI 83.1 / 83.1 %, QQP 87.2 / 87.3 %, with 12 / 3 layers."
    )
    presets = _PRESETS
    costs = _COSTS

    def arms(self, settings: LanguageSettings) -> list[Arm]:
        arms = [Arm(f"{net}, {_WORDS}") for net in _nets(settings)]
        for task in settings.tasks:
            arms += [Arm(f"{n}, {task}", after=(f"{n}, {_WORDS}",)) for n in _nets(settings)]
            arms.append(Arm(f"{_SHALLOW}, {task}", after=(f"ACN, {task}",)))
        return arms

    def run(self, settings: LanguageSettings, arm: str, work: Work) -> dict[str, Any]:
        name, _, task = arm.partition(", ")
        words = work.seeded(_as(name, settings.words))
        if task == _WORDS:
            return pretrain(work, words)[2]
        start, learned = work.home(f"{name}, {_WORDS}"), {}
        if name == _SHALLOW:
            depth = max(1, work.before[f"ACN, {task}"]["selected"])
            start = work.home(arm, _WORDS)
            learned = {"words": pretrain(work, words.rival(depth), part=_WORDS)[2]}
        config = work.seeded(settings.tasks[task])
        data = texts(work, config.data, start)
        tuned = fine_tune(work, config, data, start, settings.rates)
        told = work.told(tuned.seconds, tuned.part)
        rates = {"rate": tuned.rate, "rates": tuned.scores}
        return {**examine(tuned.net, data), **told, **rates, **learned}

    def verdict(self, settings: LanguageSettings, results: Results) -> list[Finding]:
        found = []
        rivals = {
            "residual": "the residual network with all its layers",
            _SHALLOW: "a residual network that had as many layers from the start",
        }
        for task in settings.tasks:
            residual = f"residual, {task}"
            for net in [name for name in _nets(settings) if name != "residual"]:
                ours, word = f"{net}, {task}", "ACN" if net == "ACN" else "annealed network"
                found.append(
                    finding(
                        f"{task}: the {word} needs fewer layers than the residual network",
                        layers_saved(results, ours, residual),
                        least=0.0,
                        unit="layers",
                        of_paper=net == "ACN",
                    )
                )
                for rival, words in rivals.items():
                    if net == "ACN" or rival == "residual":  # the shallow one is as deep as the ACN
                        found.append(
                            finding(
                                f"{task}: the cut {word} is as good as {words}",
                                accuracy(results, ours, f"{rival}, {task}", theirs_cut=False),
                                least=-settings.margin,
                                unit="points",
                                scale=100,
                                of_paper=net == "ACN" and rival == "residual",
                            )
                        )
        return found

    def table(self, settings: LanguageSettings, results: Results) -> Table:
        rows = []
        for task in settings.tasks:
            for net in (*_nets(settings), _SHALLOW):
                runs = results.of(f"{net}, {task}")
                words = (
                    results.of(f"{net}, {_WORDS}")
                    if net != _SHALLOW
                    else [run["words"] for run in runs]
                )
                rows.append(
                    (
                        f"{task}, {net}",
                        spread([run["validation_loss"][-1] for run in words], 2),
                        full_score(runs),
                        layers_needed(runs),
                        cut_score(runs),
                        f"{sum(run['parameters'][run['selected']] for run in runs) // len(runs):,}",
                        ", ".join(f"{run['rate']:g}" for run in runs),
                    )
                )
        headings = (
            "network",
            "masked words, nats",
            "test, full",
            "layers needed",
            "test, cut",
            "parameters, cut",
            "learning rate chosen",
        )
        return Table(headings, rows)

    def draw(self, figure: Figure, settings: LanguageSettings, results: Results) -> None:
        panels = figure.subplots(1, 1 + len(settings.tasks), squeeze=False)[0]
        for net in _nets(settings):
            losses = results.column(f"{net}, {_WORDS}", "validation_loss")
            means = [statistics.fmean(at) for at in zip(*losses, strict=True)]
            panels[0].plot(range(len(means)), means, "o-", color=_COLOURS[net], ms=4, label=net)
        panels[0].set(title="masked words", ylabel="validation loss, nats")
        for axes, task in zip(panels[1:], settings.tasks, strict=True):
            for net in _nets(settings):
                curve = mean_curve(results, f"{net}, {task}")
                axes.plot(range(len(curve)), curve, "o-", color=_COLOURS[net], ms=4, label=net)
            for run in results.of(f"{_SHALLOW}, {task}"):
                depth = len(run["test"]) - 1
                axes.plot(depth, 100 * run["test"][-1], "*", color=_COLOURS[_SHALLOW], ms=9)
            axes.plot([], [], "*", color=_COLOURS[_SHALLOW], ms=9, label="residual, shallow")
            axes.set(title=task, ylabel="test accuracy, %")
        for axes in panels:
            axes.set_xlabel("layers that run")
            axes.grid(alpha=0.25)
        panels[1].legend(loc="center right")


def _nets(settings: LanguageSettings) -> list[str]:
    return ["ACN", *(["annealed"] if settings.annealed else []), "residual"]


def _as(name: str, words: RunConfig) -> RunConfig:
    """The pretraining of one of the networks."""
    if name == "residual":
        return control(words)
    if name == "annealed":
        model = replace(words.model, connectivity={"name": "acn", "inner": 1.0})
        return replace(words, model=model, fit=replace(words.fit, path=find_path("anneal")))
    return words
