"""Layers kept against the levels of a hierarchy (docs/ruler.md).

A class of the Random Hierarchy Model (arXiv 2307.02129) is written down in L levels, and undoing
one level after the other takes L steps. Networks of 8 layers learn hierarchies of several L with
plenty of data; which depth keeps their score is read off validation data.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from autocompress.data import DataConfig
from autocompress.pipeline import RunConfig
from autocompress.training import FitConfig
from autocompress_studies.figures import by_depth
from autocompress_studies.results import Arm, Results
from autocompress_studies.settings import changed, network, shallow
from autocompress_studies.statements import Statement, compresses, fewer_layers
from autocompress_studies.studies.ways_known import MAIN, Way, config_of
from autocompress_studies.study import Study
from autocompress_studies.words import by_arm
from autocompress_studies.work import Work

__all__ = ["STUDY", "Key", "Settings"]

#: A residual network of L layers from scratch, trained with the FLOPs of the others.
_SHALLOW = "residual of L layers"
#: The ways on which statements are tested, and whether the paper's claim is about them.
_TESTED = {"ACN": True, "residual, then taught": False}


class Key(NamedTuple):
    """A number of levels and a way of training."""

    levels: int
    way: str

    def __str__(self) -> str:
        return f"{self.levels} levels, {self.way}"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings of the training.

    Args:
        tasks: Runs by the number of levels.
        ways: Ways by name.
        margin: Accuracies (fractions) that differ by less count as equal.
    """

    tasks: dict[int, RunConfig]
    ways: dict[str, Way]
    margin: float = 0.01


def run(settings: Settings, key: Key, work: Work) -> dict[str, Any]:
    task = settings.tasks[key.levels]
    if key.way == _SHALLOW:
        return work.examined(shallow(config_of(task, settings.ways["residual"]), key.levels))
    return work.examined(config_of(task, settings.ways[key.way]))


def statements(settings: Settings, results: Results[Key]) -> Iterator[Statement]:
    """State what the paper's claim comes to on this task."""
    fewest, *_, most = settings.tasks
    words = f"the ACN needs more layers for {most} levels than for {fewest}"
    yield fewer_layers(words, results, Key(fewest, "ACN"), Key(most, "ACN"), shared="none")
    for levels in settings.tasks:
        rivals = {f"a residual network of {levels} layers from scratch": Key(levels, _SHALLOW)}
        for way, of_paper in _TESTED.items():
            keys = Key(levels, way), Key(levels, "residual")
            named: Any = {"net": f"network ({way})", "rivals": rivals, "of_paper": of_paper}
            yield from compresses(f"{levels} levels", results, *keys, settings.margin, **named)


def _describe(settings: Settings) -> str:
    return "\n".join(
        f"- {levels} levels: {task.data.options['multiple']:g} times P* examples, an MLP of "
        f"{task.model.depth} layers of width {task.model.options['width']}, {task.fit.epochs} "
        "epochs; every seed draws other rules"
        for levels, task in settings.tasks.items()
    )


def _task(levels: int, multiple: float, epochs: int) -> RunConfig:
    return RunConfig(
        data=DataConfig(name="hierarchy", options={"levels": levels, "multiple": multiple}),
        model=network(8, "mlp", width=128),
        fit=FitConfig(
            epochs=epochs,
            batch_size=64,
            lr=2e-3,
            warmup_epochs=0.5,
            weight_decay=0.01,
            label_smoothing=0.0,
            device="cpu",
        ),
    )


#: With few examples no network generalises: an MLP needs many times P* of them.
_TASKS = {3: _task(3, 64, 16), 4: _task(4, 64, 8)}
_SMALL = {"model.depth": 4, "model.width": 16, "fit.epochs": 1}
_SMOKE = {levels: changed(_task(levels, 0.5, 1), _SMALL) for levels in (3, 4)}

_table = by_arm("levels, network", "layers needed", "test, full", "test, cut")

STUDY = Study(
    name="levels",
    shows="layers kept against the levels of a hierarchy that are to be undone",
    paper=(
        "An ACN packs what it learns into its first layers, and harder tasks need more of them. "
        "The paper has no task with a number of levels; the numbers are ours."
    ),
    presets={
        "smoke": Settings(tasks=_SMOKE, ways=MAIN),
        "cpu": Settings(tasks=_TASKS, ways=MAIN),
    },
    costs={"smoke": "seconds", "cpu": "8 core-minutes a seed"},
    arms=lambda settings: [
        Arm(Key(levels, way)) for levels in settings.tasks for way in (*settings.ways, _SHALLOW)
    ],
    run=run,
    headlines=tuple(
        f"4 levels: the network ({way}) needs fewer layers than the residual network"
        for way in ("ACN", "residual, then taught")
    ),
    statements=statements,
    table=_table,
    marks={"levels": _table},
    draw=by_depth(
        lambda settings: {
            f"{levels} levels": {way: Key(levels, way) for way in settings.ways}
            for levels in settings.tasks
        },
        needed=True,
        legend="dotted: layers needed, by seed",
    ),
    describe=_describe,
)
