"""A cut inside the run, with one learning rate schedule across it, against shallow networks.

"Cut and heal" runs two schedules, each with its own warm-up and decay. Here the learning rate stays
constant through growth, annealing and the cut and is lowered once, at the end of the run
(``schedule: wsd``); the optimizer keeps its state. All rows have about the training FLOPs of the
residual network.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from statistics import fmean
from typing import TYPE_CHECKING, Any

from autocompress.printing import markdown
from autocompress.training import CutConfig, DistilConfig, GrowConfig, PathConfig
from autocompress_studies.figures import PALETTE, legend_below
from autocompress_studies.results import Results
from autocompress_studies.studies.compression_rows import (
    ANNEALED_HALF,
    CUT_AND_HEALED,
    Key,
    Row,
    Settings,
    arms,
    run,
    table,
    table_of,
)
from autocompress_studies.studies.compression_tasks import TASKS, longer
from autocompress_studies.study import Study

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["ROWS", "STUDY", "by_length", "rival"]

#: One seed: a row that is not 0.3 points above the shallow network of its FLOPs has no more.
_LEAD = {"text": 1}
#: Rows that show how the advantage changes with the length of training.
_LONG = {"text": 1, "text-24": 1, "text-48": 1}
_IMAGES = {"image-10": 1}
_ALL = {**_LONG, **_IMAGES}
#: Where a higher rate might not be the better one for four layers from scratch.
_SHORT = {"text": 1, "text-24": 1, **_IMAGES}


def _wsd(**changes: Any) -> dict[str, Any]:
    return {"schedule": "wsd", **changes}


def _half(at: float) -> CutConfig:
    return CutConfig(at=(at,), layers=(4,))


def _shallow(epochs: float = 2.0, seeds: Mapping[str, int] = _LEAD, **fit: Any) -> Row:
    return Row(seeds, depth=0.5, epochs=epochs, fit=fit)


_ONE = DistilConfig.second_half()
_EARLY = PathConfig(start=0.1, stop=0.35)
_QUARTER = replace(_EARLY, stop=0.25)
_STEPS = CutConfig(at=(0.3, 0.4, 0.5), layers=(6, 5, 4))
_COPIED = GrowConfig(layers=1, until=0.4, together=True, copy=True)

ROWS: dict[str, Row] = {
    "residual": Row(_ALL),
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
    "4 layers, wsd": _shallow(seeds=_SHORT, schedule="wsd"),
    "4 layers, wsd, rate x 0.5": _shallow(schedule="wsd", lr=3e-3),
    "4 layers, wsd, rate x 1.5": _shallow(seeds=_LONG, schedule="wsd", lr=9e-3),
    "4 layers, wsd, rate of images x 1.5": _shallow(seeds=_IMAGES, schedule="wsd", lr=4.5e-3),
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
        _ALL, epochs=1.42, fit=_wsd(path=_QUARTER, cut=_STEPS)
    ),
    "the same, rate x 1.5": Row(_LEAD, epochs=1.42, fit=_wsd(path=_QUARTER, cut=_STEPS, lr=9e-3)),
    "hourglass: 1 layer, 8 annealed from 40 to 65 %, then 4": Row(
        _LEAD,
        epochs=2.0,
        fit=_wsd(
            grow=_COPIED,
            path=PathConfig(start=0.4, stop=0.65),
            cut=_half(0.65),
        ),
    ),
    "hourglass without annealing": Row(_ALL, epochs=2.0, fit=_wsd(grow=_COPIED, cut=_half(0.65))),
    "hourglass without annealing, rate x 1.5": Row(
        _LEAD, epochs=2.0, fit=_wsd(grow=_COPIED, cut=_half(0.65), lr=9e-3)
    ),
    "annealed, half as long": replace(ANNEALED_HALF, seeds=_ALL),
    "from annealed, half as long: cut to 4, healed (two schedules)": replace(
        CUT_AND_HEALED, seeds=_ALL
    ),
}
_TEXT, _IMAGE = TASKS["text"], TASKS["image"]
_TASKS = {
    "text": _TEXT,
    **{
        f"text-{epochs}": longer(_TEXT, epochs, f"the first task for {epochs} epochs")
        for epochs in (24, 48)
    },
    "image-10": _IMAGE,
}


def _scores(results: Results[Key], key: Key, split: str = "test") -> list[float]:
    """Return percentages by seed, of all layers that the network has at its end."""
    return [100 * score for score in results.last(key, split)]


def _is_shallow(row: Row) -> bool:
    return row.depth < 1 and row.start is None


def rival(settings: Settings, results: Results[Key], task: str) -> Key:
    """Return the shallow network from scratch that is best on validation data."""
    rows = {name: row for name, row in settings.rows.items() if task in row.seeds}
    keys = [Key(task, name) for name, row in rows.items() if _is_shallow(row)]
    return max(keys, key=lambda key: fmean(_scores(results, key, "validation")))


def _compared(settings: Settings) -> list[str]:
    """Return the rows that are run at every length and compared with the shallow networks."""
    starts = {row.start for row in settings.rows.values()}
    return [
        name
        for name, row in settings.rows.items()
        if set(row.seeds) == set(settings.tasks) and not _is_shallow(row) and name not in starts
    ]


def _gained(settings: Settings, results: Results[Key], key: Key) -> list[float]:
    """Return the points of test accuracy above the best shallow network, by seed."""
    bases = _scores(results, rival(settings, results, key.task))
    return [own - base for own, base in zip(_scores(results, key), bases, strict=True)]


def by_length(settings: Settings, results: Results[Key]) -> str:
    """Return test scores at every length, and points above the best shallow network."""
    rivals = [rival(settings, results, task) for task in settings.tasks]
    cells = [f"{fmean(_scores(results, key)):.1f} ({key.row})" for key in rivals]
    rows = [("best shallow network from scratch", *cells)]
    for name in _compared(settings):
        keys = [Key(task, name) for task in settings.tasks]
        gains = [fmean(_gained(settings, results, key)) for key in keys]
        scores = [fmean(_scores(results, key)) for key in keys]
        cells = [f"{score:.1f} ({gain:+.1f})" for score, gain in zip(scores, gains, strict=True)]
        rows.append((name, *cells))
    return markdown(("network", *settings.tasks), rows)


def _draw(figure: Figure, settings: Settings, results: Results[Key]) -> None:
    """Draw all rows of the first task, and the points gained over the length of each kind."""
    figure.set_size_inches(12, 5.4)
    left, *others = figure.subplots(1, 3, width_ratios=(1.3, 1, 1))
    first, *_ = settings.tasks
    rows = [name for name, row in settings.rows.items() if first in row.seeds]
    for place, row in enumerate(reversed(rows)):
        scores = _scores(results, Key(first, row))
        left.plot(scores, [place] * len(scores), "o", color=PALETTE[0], alpha=0.7)
    left.set_yticks(range(len(rows)), list(reversed(rows)), fontsize=6)
    title = f"{settings.tasks[first].title}, {settings.tasks[first].fit.epochs} epochs"
    left.set(xlabel="test accuracy, %", title=title)
    kinds = {task.data: task.title for task in settings.tasks.values() if task.title}
    for axes, (data, title) in zip(others, kinds.items(), strict=True):
        lengths = {n: task.fit.epochs for n, task in settings.tasks.items() if task.data == data}
        for colour, row in zip(PALETTE, _compared(settings), strict=False):
            means = [fmean(_gained(settings, results, Key(task, row))) for task in lengths]
            axes.plot([*lengths.values()], means, "o-", color=colour, ms=4, label=row)
        axes.axhline(0, color="#999999", lw=0.8)
        axes.axhline(0.5, color="#999999", lw=0.8, ls=":")
        axes.set(xscale="log", xlabel="epochs of the residual network", title=title)
        axes.set_xticks([*lengths.values()], [str(count) for count in lengths.values()])
        axes.minorticks_off()
    others[0].set_ylabel("points above the best shallow network")
    legend_below(figure, others[:1], ncols=2)


STUDY = Study(
    name="one-schedule",
    shows="growth and cuts inside the run under one learning rate schedule, at equal FLOPs",
    presets={"cpu": Settings(tasks=_TASKS, rows=ROWS)},
    costs={"cpu": "4 core-hours"},
    arms=arms,
    run=run,
    table=table,
    draw=_draw,
    describe=lambda settings: "\n".join(f"- {n}: {t.words}" for n, t in settings.tasks.items()),
    marks={"one-text": partial(table_of, "text"), "one-lengths": by_length},
)
