"""Which way of training finds the depth that a task needs, and learns it as fast?

Two tasks: the digits, and the Random Hierarchy Model. The study ``ruler`` asks the same
of tasks whose needed depth is known, and ``one-schedule`` of texts and photographs. Everything is
decided on validation data, and no test data are read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from autocompress.data import DataConfig
from autocompress.depth import probe
from autocompress.pipeline import RunConfig
from autocompress.printing import markdown
from autocompress.training import FitConfig
from autocompress.training.progress import read_metrics
from autocompress_studies.figures import curve, legend_below, mean_curve
from autocompress_studies.results import Arm, Results
from autocompress_studies.settings import DIGITS, network
from autocompress_studies.studies.ways_known import WAYS, Way, config_of
from autocompress_studies.study import Study
from autocompress_studies.words import each, per_cent
from autocompress_studies.work import TOLERANCE, Work, rounded

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["STUDY", "Key", "Settings"]


class Key(NamedTuple):
    """A task and a way."""

    task: str
    way: str


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings of the training: tasks and ways by name.

    A task's ``control`` has the best settings of residual networks.
    """

    tasks: dict[str, RunConfig]
    ways: dict[str, Way]


def run(settings: Settings, key: Key, work: Work) -> dict[str, Any]:
    config = config_of(work.seeded(settings.tasks[key.task]), settings.ways[key.way])
    data = work.load(config.data)
    net, seconds = work.train(config, data)
    probed = probe(net, data.validation)
    return {
        "validation": rounded(probed.scores),
        "selected": probed.select(tolerance=TOLERANCE).depth,
        **work.told(seconds),
        "depths": [r["depths"] for r in read_metrics(work.home(key)) if "depths" in r],
    }


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
                per_cent([scores[-1] for scores in curves]),
                each(run["selected"] for run in runs),
                per_cent([scores[half] for scores in curves]),
                per_cent([scores[half // 2] for scores in curves]),
            )
        )
    headings = ("task", "way", "seeds", "full depth", "layers kept")
    return markdown((*headings, "half depth", "quarter depth"), rows)


def _draw(figure: Figure, settings: Settings, results: Results[Key]) -> None:
    figure.set_size_inches(10, 4.2)
    panels = figure.subplots(1, len(settings.tasks), squeeze=False)[0]
    for axes, task in zip(panels, settings.tasks, strict=True):
        for way in settings.ways:
            scores = mean_curve(results, Key(task, way), "validation")
            curve(axes, scores, way, ms=3)
        axes.set(xlabel="layers that run", ylabel="validation accuracy, %", title=task)
    legend_below(figure, panels)


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

TASKS = {
    "digits": DIGITS,
    "hierarchy": _HIERARCHY,
}

STUDY = Study(
    name="ways",
    shows="which way of training finds the depth that a task needs, and learns as fast",
    presets={"cpu": Settings(tasks=TASKS, ways=WAYS)},
    costs={"cpu": "1 core-hour"},
    arms=lambda settings: [
        Arm(Key(task, name), seeds=way.seeds)
        for task in settings.tasks
        for name, way in settings.ways.items()
    ],
    run=run,
    table=_table,
    marks={"ways": _table},
    draw=_draw,
    describe=lambda settings: (
        "- digits: recipes/digits.yaml\n"
        "- hierarchy: 3 levels, 8 times the examples that it needs, MLP of 8 layers"
    ),
)
