"""A cut inside the run, with one learning rate schedule across it, against shallow networks.

"Cut and heal" runs two schedules, each with its own warm-up and decay. Here the learning rate stays
constant through growth, annealing and the cut and is lowered once, at the end of the run
(``schedule: wsd``); the optimizer keeps its state. All rows have about the training FLOPs of the
residual network.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
    describe,
    run,
    table,
    table_of,
)
from autocompress_studies.studies.compression_tasks import TASKS, longer
from autocompress_studies.study import Study

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["BEST", "ROWS", "STUDY", "by_length", "gained", "leads", "rival"]

#: One seed: a row that is not 0.3 points above the shallow network of its FLOPs has no more.
_LEAD = {"text": 1}
#: Rows that show how the advantage changes with the length of training.
_LONG = {"text": 1, "text-24": 1, "text-48": 1, "text-96": 1}
#: The best of longer runs and its rivals have more seeds, three where it is first clearly ahead.
_MORE = {**_LONG, "text-24": 3, "text-48": 3, "text-96": 3}
_IMAGES = {"image-10": 1}
_ALL = {**_LONG, **_IMAGES}
#: Longer runs of photographs have the control, the best shallow network and the best way on text.
_PHOTOS = {**_IMAGES, "image-40": 1, "image-80": 1}
#: All but the longest, as this row had fallen behind by then.
_SHORTER = {"text": 1, "text-24": 1, "text-48": 1, "image-10": 1}
#: Where the share of the FLOPs that comes before the cut is tried.
_SPLIT = {"text-24": 1}
#: Where the best of these is tried without annealing.
_WITHOUT = {"text-48": 1}
#: Where a higher rate might not be the better one for four layers from scratch.
_UNSURE = {"text": 1, "text-24": 2, "text-48": 3, **_PHOTOS}


def _wsd(**changes: Any) -> dict[str, Any]:
    return {"schedule": "wsd", **changes}


def _half(at: float) -> CutConfig:
    return CutConfig(at=(at,), layers=(4,))


def _shallow(epochs: float = 2.0, seeds: Mapping[str, int] = _LEAD, **fit: Any) -> Row:
    return Row(seeds, depth=0.5, epochs=epochs, fit=fit)


_ONE = DistilConfig.second_half()
_EARLY = PathConfig(start=0.1, stop=0.35)
_QUARTER = replace(_EARLY, stop=0.25)
#: The way that is best in long runs on validation data.
BEST = "from annealed, a quarter as long: cut to 4, healed"
_STEPS = CutConfig(at=(0.3, 0.4, 0.5), layers=(6, 5, 4))
#: The depth of each cut is taught by full depth until it comes; the last is taught the longest.
_NEXT = DistilConfig(temperature=1.0, start=0.25, at={6: 0.33, 5: 0.33, 4: 0.33})
_COPIED = GrowConfig(layers=1, until=0.4, together=True, copy=True)
_RESIDUAL_HEALED = Row(_WITHOUT, depth=0.5, epochs=1.42, start="residual, a quarter as long")

ROWS: dict[str, Row] = {
    "residual": Row({**_LONG, **_IMAGES, "image-40": 1}),
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
    "4 layers, wsd": _shallow(seeds=_UNSURE, schedule="wsd"),
    "4 layers, wsd, rate x 0.5": _shallow(schedule="wsd", lr=3e-3),
    "4 layers, wsd, rate x 1.5": _shallow(seeds=_MORE, schedule="wsd", lr=9e-3),
    "4 layers, wsd, rate x 2": _shallow(seeds={"text-24": 1}, schedule="wsd", lr=1.2e-2),
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
    "the same, the depths of the cuts taught from 25 % on": Row(
        _LEAD, epochs=1.42, fit=_wsd(path=_QUARTER, cut=_STEPS, distil=_NEXT)
    ),
    "sandwich of 8 and 4 layers, cut to 4 at 60 %": Row(
        _LEAD, epochs=1.52, fit=_wsd(cut=_half(0.6)), sandwich=0.5
    ),
    "sandwich of 8 and 4 layers, annealed from 10 to 35 %, cut to 4 at 60 %": Row(
        _LEAD, epochs=1.52, fit=_wsd(path=_EARLY, cut=_half(0.6)), sandwich=0.5
    ),
    "hourglass: 1 layer, 8 annealed from 40 to 65 %, then 4": Row(
        _LEAD,
        epochs=2.0,
        fit=_wsd(
            grow=_COPIED,
            path=PathConfig(start=0.4, stop=0.65),
            cut=_half(0.65),
        ),
    ),
    "hourglass without annealing": Row(
        _SHORTER, epochs=2.0, fit=_wsd(grow=_COPIED, cut=_half(0.65))
    ),
    "hourglass without annealing, rate x 1.5": Row(
        _LEAD, epochs=2.0, fit=_wsd(grow=_COPIED, cut=_half(0.65), lr=9e-3)
    ),
    "annealed, half as long": replace(ANNEALED_HALF, seeds=_ALL),
    "from annealed, half as long: cut to 4, healed (two schedules)": replace(
        CUT_AND_HEALED, seeds=_ALL
    ),
    "annealed, a quarter as long": replace(ANNEALED_HALF, seeds={**_MORE, **_PHOTOS}, epochs=0.25),
    BEST: replace(
        CUT_AND_HEALED,
        seeds={**_MORE, **_PHOTOS},
        epochs=1.42,
        start="annealed, a quarter as long",
    ),
    "residual, a quarter as long": Row(_WITHOUT, epochs=0.25),
    "from residual, a quarter as long: cut to 4, healed": _RESIDUAL_HEALED,
    "from residual, a quarter as long: every other layer, healed": replace(
        _RESIDUAL_HEALED, by="spread"
    ),
    "from residual, a quarter as long: 4 layers chosen by loss, healed": replace(
        _RESIDUAL_HEALED, by="loss"
    ),
    "annealed, an eighth as long": replace(ANNEALED_HALF, seeds=_SPLIT, epochs=0.125),
    "from annealed, an eighth as long: cut to 4, healed": replace(
        CUT_AND_HEALED, seeds=_SPLIT, epochs=1.66, start="annealed, an eighth as long"
    ),
    "annealed, two thirds as long": replace(ANNEALED_HALF, seeds=_SPLIT, epochs=0.67),
    "from annealed, two thirds as long: cut to 4, healed": replace(
        CUT_AND_HEALED, seeds=_SPLIT, epochs=0.6, start="annealed, two thirds as long"
    ),
    "from annealed, half as long: cut to 4, healed with wsd, rate x 1.5": replace(
        CUT_AND_HEALED, seeds={"text": 1, "text-24": 1, "text-48": 1}, fit=_wsd(lr=9e-3)
    ),
    "from annealed, half as long: cut to 4, healed at rate x 0.5": replace(
        CUT_AND_HEALED, seeds={"text-48": 1}, fit={"lr": 3e-3}
    ),
}
_TEXT, _IMAGE = TASKS["text"], TASKS["image"]
_TASKS = {
    "text": _TEXT,
    **{
        f"text-{epochs}": longer(_TEXT, epochs, f"the first task for {epochs} epochs")
        for epochs in (24, 48, 96)
    },
    "image-10": _IMAGE,
    **{
        f"image-{epochs}": longer(_IMAGE, epochs, f"the photographs for {epochs} epochs")
        for epochs in (40, 80)
    },
}


def _scores(results: Results[Key], key: Key, split: str = "test") -> list[float]:
    """Return percentages by seed, of all layers that the network has at its end."""
    return [100 * score for score in results.last(key, split)]


def _is_shallow(row: Row) -> bool:
    return row.depth < 1 and row.start is None


def rival(settings: Settings, results: Results[Key], task: str) -> Key:
    """Return the shallow network from scratch that is best on validation data.

    All are compared on the seeds that all have, then those with as many seeds as the best of them
    on all of these: a network that was given up after its first seed does not keep the others from
    being compared on more.
    """
    rows = {name: row for name, row in settings.rows.items() if task in row.seeds}
    counts = {Key(task, name): row.seeds[task] for name, row in rows.items() if _is_shallow(row)}

    def best(keys: Sequence[Key]) -> Key:
        common = min(counts[key] for key in keys)
        return max(keys, key=lambda key: fmean(_scores(results, key, "validation")[:common]))

    first = best([*counts])
    return best([key for key, count in counts.items() if count == counts[first]])


def _compared(settings: Settings) -> list[str]:
    """Return the rows of longer runs, which are compared with the shallow networks."""
    first, *_ = settings.tasks
    starts = {row.start for row in settings.rows.values()}
    return [
        name
        for name, row in settings.rows.items()
        if {*row.seeds} - {first} and not _is_shallow(row) and name not in starts
    ]


def gained(settings: Settings, results: Results[Key], key: Key, split: str = "test") -> list[float]:
    """Return the points of accuracy above the best shallow network, seed by seed."""
    bases = _scores(results, rival(settings, results, key.task), split)
    return [own - base for own, base in zip(_scores(results, key, split), bases, strict=False)]


def _cell(settings: Settings, results: Results[Key], key: Key) -> str:
    """Return a test score and the points above the rival, unless it was not run."""
    if key.task not in settings.rows[key.row].seeds:
        return "not run"
    gains = gained(settings, results, key)
    return f"{fmean(_scores(results, key)):.1f} ({_points(gains)})"


def _points(gains: list[float]) -> str:
    """Return the mean, and what it is the mean of.

    >>> _points([0.5]), _points([0.5, 0.1])
    ('+0.5', '+0.3: +0.5, +0.1')
    """
    mean = f"{fmean(gains):+.1f}"
    return mean if len(gains) == 1 else f"{mean}: {', '.join(f'{gain:+.1f}' for gain in gains)}"


def by_length(settings: Settings, results: Results[Key]) -> str:
    """Return test scores at every length, and points above the best shallow network."""
    rivals = [rival(settings, results, task) for task in settings.tasks]
    cells = [f"{fmean(_scores(results, key)):.1f} ({key.row})" for key in rivals]
    rows = [("best shallow network from scratch", *cells)]
    for name in _compared(settings):
        keys = [Key(task, name) for task in settings.tasks]
        rows.append((name, *(_cell(settings, results, key) for key in keys)))
    return markdown(("network", *settings.tasks), rows)


def leads(row: str, settings: Settings, results: Results[Key]) -> str:
    """Return the points of a row above the best shallow network at every length that it has."""
    lines = []
    for name in settings.rows[row].seeds:
        key, base = Key(name, row), rival(settings, results, name)
        own, other = (f"{fmean(_scores(results, each)):.1f}" for each in (key, base))
        gains = [gained(settings, results, key, split) for split in ("test", "validation")]
        test, validation = (", ".join(f"{gain:+.1f}" for gain in found) for found in gains)
        epochs = str(settings.tasks[name].fit.epochs)
        lines.append((name, epochs, own, f"{other} ({base.row})", test, validation))
    headings = ("task", "epochs", "this network", "shallow network", "points above it")
    return markdown((*headings, "on validation data"), lines)


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
    left.set_xlabel("test accuracy, %")
    left.set_title(title, fontsize=9)
    lines = [row for row in _compared(settings) if len(settings.rows[row].seeds) > 1]
    kinds = {task.data: task.title for task in settings.tasks.values() if task.title}
    for axes, (data, title) in zip(others, kinds.items(), strict=True):
        lengths = {n: task.fit.epochs for n, task in settings.tasks.items() if task.data == data}
        for colour, row in zip(PALETTE, lines, strict=False):
            tasks = [task for task in lengths if task in settings.rows[row].seeds]
            gains = [gained(settings, results, Key(task, row)) for task in tasks]
            at = [lengths[task] for task in tasks]
            axes.plot(at, [fmean(seeds) for seeds in gains], "o-", color=colour, ms=4, label=row)
            for place, seeds in zip(at, gains, strict=True):
                axes.plot([place] * len(seeds), seeds, ".", color=colour, ms=3, alpha=0.5)
        axes.axhline(0, color="#999999", lw=0.8)
        axes.axhline(0.5, color="#999999", lw=0.8, ls=":")
        axes.set(xscale="log", xlabel="epochs of the residual network")
        axes.set_title(title, fontsize=9)
        axes.set_xticks([*lengths.values()], [str(count) for count in lengths.values()])
        axes.minorticks_off()
    others[0].set_ylabel("points above the best shallow network")
    legend_below(figure, others[:1], ncols=2)


STUDY = Study(
    name="one-schedule",
    shows="growth and cuts inside the run under one learning rate schedule, at equal FLOPs",
    presets={"cpu": Settings(tasks=_TASKS, rows=ROWS)},
    costs={"cpu": "16 core-hours"},
    arms=arms,
    run=run,
    table=table,
    draw=_draw,
    describe=describe,
    marks={
        "one-text": partial(table_of, "text"),
        "one-lengths": by_length,
        "one-leads": partial(leads, BEST),
    },
)
