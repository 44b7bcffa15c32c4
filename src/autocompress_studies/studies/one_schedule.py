"""A cut inside the run, with one learning rate schedule across it, against shallow networks.

"Cut and heal" runs two schedules, each with its own warm-up and decay. Here the learning rate stays
constant through growth, annealing and the cut and is lowered once, at the end of the run
(``schedule: wsd``); the optimizer keeps its state. All rows have about the training FLOPs of the
residual network.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from autocompress.training import CutConfig, DistilConfig, GrowConfig, PathConfig
from autocompress_studies.results import Results
from autocompress_studies.studies.compression_rows import (
    Key,
    Row,
    Settings,
    arms,
    run,
    table,
    table_of,
)
from autocompress_studies.studies.compression_tasks import TASKS
from autocompress_studies.study import Study

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["ROWS", "STUDY"]

#: One seed: a row that is not 0.3 points above the shallow network of its FLOPs has no more.
_LEAD = {"text": 1}


def _wsd(**changes: Any) -> dict[str, Any]:
    return {"schedule": "wsd", **changes}


def _half(at: float) -> CutConfig:
    return CutConfig(at=(at,), layers=(4,))


def _shallow(epochs: float = 2.0, **fit: Any) -> Row:
    return Row(_LEAD, depth=0.5, epochs=epochs, fit=fit)


_ONE = DistilConfig.second_half()
_EARLY = PathConfig(start=0.1, stop=0.35)

ROWS: dict[str, Row] = {
    "residual": Row(_LEAD),
    "residual, wsd": Row(_LEAD, fit=_wsd()),
    "residual, one shallower depth taught a step, from half on": Row(_LEAD, fit={"distil": _ONE}),
    "residual, the same at a third of the weight": Row(
        _LEAD, fit={"distil": replace(_ONE, weight=0.33)}
    ),
    "ACN": Row(_LEAD, connectivity="acn"),
    "annealed": Row(_LEAD, fit={"path": PathConfig()}),
    "annealed, one shallower depth taught a step, from half on": Row(
        _LEAD, fit={"path": PathConfig(), "distil": _ONE}
    ),
    "4 layers": _shallow(),
    "4 layers, wsd": _shallow(schedule="wsd"),
    "4 layers, wsd, rate x 0.5": _shallow(schedule="wsd", lr=3e-3),
    "4 layers, wsd, rate x 1.5": _shallow(schedule="wsd", lr=9e-3),
    "4 layers, grown from 1, wsd": _shallow(
        epochs=2.4,
        schedule="wsd",
        grow=GrowConfig(layers=1, until=0.3, together=True, copy=True),
    ),
    "residual, cut to 4 at 45 %": Row(_LEAD, epochs=1.35, fit=_wsd(cut=_half(0.45))),
    "annealed from 10 to 35 %, cut to 4 at 45 %": Row(
        _LEAD, epochs=1.35, fit=_wsd(path=_EARLY, cut=_half(0.45))
    ),
    "annealed from 10 to 25 %, cut to 6, 5 and 4 at 30, 40 and 50 %": Row(
        _LEAD,
        epochs=1.42,
        fit=_wsd(
            path=replace(_EARLY, stop=0.25),
            cut=CutConfig(at=(0.3, 0.4, 0.5), layers=(6, 5, 4)),
        ),
    ),
    "hourglass: 1 layer, 8 annealed from 40 to 65 %, then 4": Row(
        _LEAD,
        epochs=2.0,
        fit=_wsd(
            grow=GrowConfig(layers=1, until=0.4, together=True, copy=True),
            path=PathConfig(start=0.4, stop=0.65),
            cut=_half(0.65),
        ),
    ),
    "hourglass without annealing": Row(
        _LEAD,
        epochs=2.0,
        fit=_wsd(
            grow=GrowConfig(layers=1, until=0.4, together=True, copy=True),
            cut=_half(0.65),
        ),
    ),
}


def _draw(figure: Figure, settings: Settings, results: Results[Key]) -> None:
    figure.set_size_inches(9, 4.2)
    panels = figure.subplots(1, len(settings.tasks), squeeze=False)[0]
    for axes, (task, setting) in zip(panels, settings.tasks.items(), strict=True):
        rows = [key.row for key in results.keys if key.task == task]
        for place, row in enumerate(reversed(rows)):
            runs = results.of(Key(task, row))
            scores = [100 * run["test"][-1] for run in runs]
            axes.plot(scores, [place] * len(scores), "o", color="#0072b2", alpha=0.7)
        axes.set_yticks(range(len(rows)), list(reversed(rows)), fontsize=7)
        axes.set(xlabel="test accuracy, %", title=setting.title)


STUDY = Study(
    name="one-schedule",
    shows="growth and cuts inside the run under one learning rate schedule, at equal FLOPs",
    presets={"cpu": Settings(tasks={"text": TASKS["text"]}, rows=ROWS)},
    costs={"cpu": "1 core-hour"},
    arms=arms,
    run=run,
    table=table,
    draw=_draw,
    describe=lambda settings: "\n".join(f"- {n}: {t.words}" for n, t in settings.tasks.items()),
    marks={"one-text": partial(table_of, "text")},
)
