"""Which way of training finds the depth that a task needs, and learns it as fast?

Four tasks: powers of a cycle, up to the fourth and up to the eighth, whose needed depth is known,
the Random Hierarchy Model, and the digits of the demo. Everything is decided on validation data,
and no test data are read.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from statistics import fmean
from typing import TYPE_CHECKING, Any, NamedTuple

from autocompress.data import AugmentConfig, DataConfig
from autocompress.depth import curves_by_part, probe
from autocompress.pipeline import RunConfig
from autocompress.printing import markdown
from autocompress.training import DistilConfig, FitConfig, PathConfig
from autocompress.training.progress import read_metrics
from autocompress_studies.figures import PALETTE
from autocompress_studies.results import Arm, Results, Runs
from autocompress_studies.settings import INNER, changed, network
from autocompress_studies.study import Study
from autocompress_studies.words import each, per_cent
from autocompress_studies.work import TOLERANCE, Work, rounded

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["STUDY", "WAYS", "Key", "Settings", "Task", "Way"]


class Key(NamedTuple):
    """A task and a way."""

    task: str
    way: str


@dataclass(frozen=True)
class Way:
    """A way of training.

    Args:
        connectivity: Rule during the whole training, or at the start of a path.
        fit: Differences from the task's settings.
        distil: Share of the run after which the readout of one shallower depth in each step is
            taught by that of full depth, without a gradient to it; None teaches none.
        residual: Whether the task's best rate for residual networks is used.
    """

    connectivity: str
    fit: dict[str, Any] = field(default_factory=dict)
    distil: float | None = None
    residual: bool = True


_ANNEAL = PathConfig()

WAYS: dict[str, Way] = {
    "residual": Way("residual"),
    "ACN": Way("acn", residual=False),
    "annealed": Way("acn", {"path": _ANNEAL}),
    "residual, then distilled": Way("residual", distil=0.5),
    "annealed, distilled": Way("acn", {"path": _ANNEAL}, distil=0.5),
    "ACN, then distilled": Way("acn", distil=0.5, residual=False),
}


@dataclass(frozen=True)
class Task:
    """A task.

    Args:
        run: The run; ``control`` has the best settings of residual networks.
        rules: Connectivities with their options, by name; a missing one has its defaults.
    """

    run: RunConfig
    rules: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings of the training: tasks and ways by name."""

    tasks: dict[str, Task]
    ways: dict[str, Way]


def run(settings: Settings, key: Key, work: Work) -> dict[str, Any]:
    task, way = settings.tasks[key.task], settings.ways[key.way]
    config = work.seeded(task.run)
    fit = config.control if way.residual and config.control is not None else config.fit
    rule = task.rules.get(way.connectivity, way.connectivity)
    model = replace(config.model, connectivity=rule)
    fit = replace(fit, **way.fit)
    if way.distil is not None:
        every = (config.model.depth or 8) - 1
        distil = DistilConfig(temperature=1.0, start=way.distil, every=every, rotate=True)
        fit = replace(fit, distil=distil)
    config = replace(config, model=model, fit=fit, control=None)
    data = work.load(config.data)
    net, seconds = work.train(config, data)
    curve = probe(net, data.validation)
    return {
        "validation": rounded(curve.scores),
        "selected": curve.select(tolerance=TOLERANCE).depth,
        "parts": [part.to_json() for part in curves_by_part(curve, data.validation, data.parts)],
        **work.told(seconds),
        "depths": [r["depths"] for r in read_metrics(work.home(key)) if "depths" in r],
    }


def _parts(runs: Runs) -> str:
    """Return the layers kept on each part of the task, by seed."""
    return each("/".join(str(part["kept"]) for part in run["parts"]) or "-" for run in runs)


def _table(settings: Settings, results: Results[Key]) -> str:
    rows = []
    for key in results.keys:
        runs = results.of(key)
        curves = [run["validation"] for run in runs]
        half = (len(curves[0]) - 1) // 2
        rows.append(
            (
                key.task,
                key.way,
                str(len(runs)),
                per_cent([curve[-1] for curve in curves]),
                each(run["selected"] for run in runs),
                _parts(runs),
                per_cent([curve[half] for curve in curves]),
                per_cent([curve[half // 2] for curve in curves]),
            )
        )
    headings = ("task", "way", "seeds", "full depth", "layers kept", "on each part")
    return markdown((*headings, "half depth", "quarter depth"), rows)


def _draw(figure: Figure, settings: Settings, results: Results[Key]) -> None:
    figure.set_size_inches(10, 4.2)
    panels = figure.subplots(1, len(settings.tasks), squeeze=False)[0]
    for axes, task in zip(panels, settings.tasks, strict=True):
        for colour, way in zip(PALETTE, settings.ways, strict=False):
            curves = [run["validation"] for run in results.of(Key(task, way))]
            scores = [100 * fmean(column) for column in zip(*curves, strict=True)]
            axes.plot(range(len(scores)), scores, "o-", ms=3, color=colour, label=way)
        axes.set(xlabel="layers that run", ylabel="validation accuracy, %", title=task)
    panels[0].legend(fontsize=7)


_DOUBLING = RunConfig(
    data=DataConfig(name="doubling", options={"positions": 11, "powers": [1, 2, 4]}),
    model=network(8, "encoder", width=64, heads=4, norm="pre", weight_std=0.125),
    fit=FitConfig(
        epochs=30,
        batch_size=64,
        lr=2e-3,
        warmup_epochs=2,
        weight_decay=0.01,
        label_smoothing=0.0,
        evaluate_every=3,
        schedule="wsd",
    ),
)
_EIGHT = changed(
    _DOUBLING, {"data.options": {"positions": 17, "powers": [1, 2, 4, 8]}, "fit.epochs": 60}
)
_HIERARCHY = RunConfig(
    data=DataConfig(name="hierarchy", options={"levels": 3, "multiple": 8}),
    model=network(8, "mlp", width=128),
    fit=FitConfig(
        epochs=40,
        batch_size=64,
        lr=2e-3,
        warmup_epochs=2,
        weight_decay=0.01,
        label_smoothing=0.0,
        evaluate_every=4,
        schedule="wsd",
    ),
)
_DIGITS = RunConfig(
    data=DataConfig(name="digits", validation=0.2),
    augment=AugmentConfig(mixup=1.0),
    model=network(12, width=64, patch_size=2, dropout=0.1, end_stage=True),
    fit=FitConfig(epochs=40, lr=6e-3),
    control=FitConfig(epochs=40, lr=3e-3),
)

TASKS = {
    "digits": Task(_DIGITS),
    "doubling": Task(_DOUBLING, {"acn": INNER}),
    "hierarchy": Task(_HIERARCHY),
    "doubling to 8": Task(_EIGHT, {"acn": INNER}),
}

STUDY = Study(
    name="ways",
    shows="which way of training finds the depth that a task needs, and learns as fast",
    presets={"cpu": Settings(tasks=TASKS, ways=WAYS)},
    costs={"cpu": "3 core-hours"},
    arms=lambda settings: [Arm(Key(t, w)) for t in settings.tasks for w in settings.ways],
    run=run,
    table=_table,
    draw=_draw,
    describe=lambda settings: (
        "- digits: recipes/digits.yaml\n- doubling: recipes/doubling.yaml, wsd\n"
        "- hierarchy: 3 levels, 8 times the examples that it needs, MLP\n"
        "- doubling to 8: the same network as doubling, 17 positions, 6,000 steps"
    ),
)
