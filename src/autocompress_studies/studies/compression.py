"""All ways to a shallower network side by side, on text and on images.

Depth is selected on validation data, scores are test scores. Training FLOPs are three times those
of the forward pass, for the layers that ran and every head that was read.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from autocompress.training import DistilConfig, GrowConfig, LiveConfig
from autocompress_studies.figures import Axes, Figure, curve, legend_below, mean_curve
from autocompress_studies.results import Results, Runs
from autocompress_studies.settings import INNER
from autocompress_studies.studies.compression_rows import (
    ANNEAL,
    ANNEALED_HALF,
    CUT_AND_HEALED,
    Key,
    Row,
    Settings,
    arms,
    describe,
    run,
    table,
    table_of,
)
from autocompress_studies.studies.compression_tasks import TASKS
from autocompress_studies.study import Study

__all__ = ["ROWS", "STUDY", "Key", "Row", "Settings"]

DISTIL = DistilConfig(weight=1.0, temperature=1.0)
LATE = replace(DISTIL, start=0.6)
HALF = replace(DISTIL, every=4)  # of 8 layers: depths 4 and 8
GROW = GrowConfig(layers=2, until=0.5)
LIVE = LiveConfig(tolerance=0.002, patience=2, start=0.6, spare=1)
ALIGNED = DistilConfig(teacher="labels", profile="aligned")


BOTH, ALL = {"text": 3, "image": 3}, {"text": 3, "image": 3, "text-long": 3}
TEXT, LEAD, TEXT_LEAD = {"text": 3}, {"text": 1, "image": 1}, {"text": 1}

ROWS: dict[str, Row] = {
    "residual": Row(ALL),
    "residual, 1/2 of the layers": Row(BOTH, depth=0.5),
    "residual, 1/4 of the layers": Row(LEAD, depth=0.25),
    "residual, 1/2 of the layers, equal FLOPs": Row(ALL, depth=0.5, epochs=2),
    "ACN": Row(BOTH, "acn"),
    "annealed": Row(BOTH, fit={"path": ANNEAL}),
    "annealed, distilled": Row(LEAD, fit={"path": ANNEAL, "distil": DISTIL}),
    "residual, distilled": Row(LEAD, fit={"distil": DISTIL}),
    "from residual: annealed": Row(
        {"text": 3, "image": 1}, epochs=0.5, fit={"path": ANNEAL}, start="residual"
    ),
    "from residual: annealed, distilled": Row(
        LEAD, epochs=0.5, fit={"path": ANNEAL, "distil": DISTIL}, start="residual"
    ),
    "from residual: distilled": Row(LEAD, epochs=0.5, fit={"distil": DISTIL}, start="residual"),
    "residual, distilled late": Row(LEAD, fit={"distil": LATE}),
    "annealed, distilled late": Row(BOTH, fit={"path": ANNEAL, "distil": LATE}),
    "from residual: cut to 1/2, healed": Row(BOTH, depth=0.5, epochs=0.5, start="residual"),
    "residual, distilled late, live depth": Row(TEXT_LEAD, fit={"distil": LATE, "live": LIVE}),
    "annealed, distilled late, live depth": Row(
        BOTH, fit={"path": ANNEAL, "distil": LATE, "live": LIVE}
    ),
    "from residual: distilled at 1/2": Row(
        TEXT, epochs=0.5, fit={"distil": HALF}, start="residual"
    ),
    "from annealed: cut to 1/2, healed": Row(
        {"text": 3, "image": 2}, INNER, depth=0.5, epochs=0.5, start="annealed"
    ),
    "annealed, half as long": replace(ANNEALED_HALF, seeds=ALL),
    "from annealed, half as long: cut to 1/2, healed": replace(CUT_AND_HEALED, seeds=ALL),
    "residual, half as long": Row({"text": 3, "text-long": 3}, epochs=0.5),
    "from residual, half as long: cut to 1/2, healed": Row(
        {"text": 3, "text-long": 3}, depth=0.5, epochs=0.92, start="residual, half as long"
    ),
    "ACN, gradients clipped at 1e-5": Row(BOTH, "acn", fit={"clip_norm": 1e-5}),
    "H-ACN (learned gates)": Row(BOTH, "hacn"),
    "residual, deep supervision (Aligned)": Row(BOTH, fit={"distil": ALIGNED}),
    "residual, progressive start": Row(LEAD, fit={"grow": GROW}),
    "residual, distilled x 0.2": Row(TEXT_LEAD, fit={"distil": replace(DISTIL, weight=0.2)}),
    "residual, distilled at temperature 3": Row(
        TEXT_LEAD, fit={"distil": replace(DISTIL, temperature=3.0)}
    ),
}


#: row: (colour, marker, line style)
_CURVES = {
    "residual": ("#d55e00", "o", "-"),
    "ACN": ("#0072b2", "s", "-"),
    "annealed": ("#56b4e9", "^", "-"),
    "residual, distilled": ("#000000", "v", "-"),
    "residual, distilled late": ("#e69f00", "D", "-"),
    "from residual: distilled": ("#009e73", "P", "--"),
    "from residual: annealed, distilled": ("#cc79a7", "X", "--"),
}
_POINTS = {
    "residual, 1/2 of the layers": "#d55e00",
    "residual, 1/4 of the layers": "#d55e00",
    "residual, 1/2 of the layers, equal FLOPs": "#999999",
    "from residual: cut to 1/2, healed": "#009e73",
}


def draw(figure: Figure, settings: Settings, results: Results[Key]) -> None:
    figure.set_size_inches(10, 4.6)
    titles = {name: task.title for name, task in settings.tasks.items() if task.title}
    panels = figure.subplots(1, len(titles), squeeze=False)[0]
    for axes, (task, title) in zip(panels, titles.items(), strict=True):
        _panel(axes, task, results)
        axes.set_title(title, loc="left")
    legend_below(figure, panels[:1], ncols=3)


def _panel(axes: Axes, task: str, results: Results[Key]) -> None:
    runs: Runs = [run for (key, _), run in results.scores.items() if key.task == task]
    best = 100 * max(max(run["test"]) for run in runs)
    for row, (colour, marker, line) in _CURVES.items():
        curve(axes, mean_curve(results, Key(task, row)), row, color=colour, marker=marker, ls=line)
    for row, colour in _POINTS.items():
        if scores := mean_curve(results, Key(task, row)):
            axes.plot(len(scores) - 1, scores[-1], "*", color=colour, ms=11, label=row)
    axes.set(xlabel="layers that run", ylabel="test accuracy, %", ylim=(best - 16, best + 1))


STUDY = Study(
    name="compression",
    shows="all ways to fewer layers at equal epochs, on text and on images",
    presets={"cpu": Settings(tasks=TASKS, rows=ROWS)},
    costs={"cpu": "11 core-hours"},
    arms=arms,
    run=run,
    table=table,
    draw=draw,
    describe=describe,
    marks={task: partial(table_of, task) for task in TASKS},
)
