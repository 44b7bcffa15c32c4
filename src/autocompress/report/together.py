"""Several runs on one page: their curves, one slider for all of them, and what differs."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from autocompress.errors import ConfigError
from autocompress.io import atomic_file
from autocompress.printing import layer_words
from autocompress.report.conclusion import headline, is_tie
from autocompress.report.curves import axis_range, short
from autocompress.report.html import filled
from autocompress.report.schema import Report
from autocompress.report.states import state_of
from autocompress.report.svg import Plot
from autocompress.report.terms import TERMS
from autocompress.report.units import MISSING, per_cent, si

__all__ = ["NamedRun", "render_together", "write_together"]

#: Most runs on a page: so many curves can still be told apart.
_MOST = 8


@dataclass(frozen=True)
class NamedRun:
    """A run on a page of several.

    Attributes:
        name: Its folder, as the commands name it.
        report: Its report.
        link: Address of its own page, relative to the page of several.
    """

    name: str
    report: Report
    link: str


def render_together(
    runs: Sequence[NamedRun], settings: Sequence[tuple[str, Sequence[Any]]] = ()
) -> str:
    """Return a page of several runs as text; like that of one run, it needs nothing else.

    Args:
        runs: Two to eight runs.
        settings: Settings that differ: each with its value in every run.

    Raises:
        ConfigError: There are fewer runs, or more.
    """
    if not 2 <= len(runs) <= _MOST:
        raise ConfigError(f"{len(runs)} runs: a page of several shows 2 to {_MOST}")
    deepest = max(run.report["model"]["depth"] for run in runs)
    kept = runs[0].report["selected"]
    states = [_state(runs, depth, deepest) for depth in range(deepest + 1)]
    return filled(
        "together.html",
        {
            "title": f"{len(runs)} runs side by side",
            "headline": _headline(runs),
            "runs": runs,
            "said": [headline(run.report) for run in runs],
            "states": states,
            "now": states[kept],
            "kept": kept,
            "deepest": deepest,
            "terms": TERMS,
            "curves": {"depth": _chart(runs, "depth", kept), "cost": _chart(runs, "flops", kept)},
            "rows": [_row(run) for run in runs],
            "settings": [(key, [_plain(value) for value in values]) for key, values in settings],
            "data": {
                "states": states,
                "kept": kept,
                "examples": [],
                "accuracy": [],
                "confusion": [],
            },
        },
    )


def write_together(
    path: str | os.PathLike[str],
    runs: Sequence[NamedRun],
    settings: Sequence[tuple[str, Sequence[Any]]] = (),
) -> None:
    """Write the page of several runs, completely or not at all; see :func:`render_together`.

    Raises:
        ConfigError: There are too few runs, or too many.
        OutputError: The file cannot be written.
    """
    page = render_together(runs, settings)
    with atomic_file(path) as temporary:
        temporary.write_text(page, encoding="utf-8", errors="replace")


def _headline(runs: Sequence[NamedRun]) -> str:
    """Return in one sentence which small network is best, if that can be said."""
    tasks = [run.report["task"] for run in runs]
    if len({(task["dataset"], task["test"], task["metric"]) for task in tasks}) > 1:
        return "These runs have different data, so their scores cannot be compared."
    known = [run for run in runs if run.report["small"]["test"] is not None]
    if not known:
        return "No test score was measured in these runs."
    known.sort(key=lambda run: -float(run.report["small"]["test"] or 0.0))
    best = known[0]
    score = best.report["small"]["test"] or 0.0
    kept, of = best.report["selected"], best.report["model"]["depth"]
    others = [float(run.report["small"]["test"] or 0.0) for run in known[1:]]
    ties = sum(is_tie(best.report, score, other) for other in others)
    cut = [run.report["selected"] < run.report["model"]["depth"] for run in runs]
    none = "" if any(cut) else "Nothing could be cut in these runs; "
    if ties:
        which = "cut networks" if all(cut) else "networks"
        return f"{none}{ties + 1} of {len(runs)} {which} tie for the best test score."
    if kept == of:
        with_all = f"all {layer_words(of)} and {per_cent(score)} on test"
        return f"{none}{best.name} scores best, with {with_all}."
    return (
        f"{best.name} has the best cut network: {kept} of {of} layers, {per_cent(score)} on test."
    )


def _state(runs: Sequence[NamedRun], depth: int, deepest: int) -> dict[str, str]:
    """Return the texts of one depth, those of run n with ``_n`` behind their name."""
    texts = {"layers": f"{depth} of {layer_words(deepest)}", "depth": str(depth), "badge": ""}
    shown = ("score", "interval", "parameters", "flops", "latency_1", "latency_256", "bytes")
    said = []
    for n, run in enumerate(runs):
        own = run.report["model"]["depth"]
        state = state_of(run.report, run.name, depth) if depth <= own else {}
        texts |= {f"{key}_{n}": state.get(key, MISSING) for key in shown}
        interval = texts[f"interval_{n}"].removeprefix("95 % interval ")
        texts[f"interval_{n}"] = MISSING if "not" in interval else interval
        said.append(texts[f"score_{n}"])
    return {**texts, "spoken": f"{texts['layers']}: {', '.join(said)}"}


def _row(run: NamedRun) -> list[str]:
    report = run.report
    full, small = report["full"], report["small"]
    return [
        report["task"]["dataset"],
        f"{report['selected']} of {report['model']['depth']}",
        per_cent(full["test"]),
        per_cent(small["test"]),
        si(small["parameters"]),
        si(small["flops"]),
    ]


def _chart(runs: Sequence[NamedRun], key: str, chosen: int) -> str:
    """Draw the test scores of all runs by depth or by FLOPs."""
    curves: list[list[Any]] = [list(run.report["depths"]) for run in runs]
    values = [float(point[key]) for curve in curves for point in curve if point[key] is not None]
    scores = [
        100 * point["test"] for curve in curves for point in curve if point["test"] is not None
    ]
    by_depth = key == "depth"
    plot = Plot(
        (0, max([1.0, *values])), axis_range(scores), f"runs-{key}",
        f"test score by {'depth' if by_depth else 'FLOPs'} of {len(runs)} runs",
        "depth: number of layers that run" if by_depth else "FLOPs of one example",
        x_words="{:g}".format if by_depth else short,
    )  # fmt: skip
    for n, curve in enumerate(curves):
        points = [
            (point[key], None if point["test"] is None else 100 * point["test"])
            for point in curve
            if point[key] is not None
        ]
        plot.line(points, f"run-{n}")
        plot.dots(points, f"run-{n}")
    deepest = max(len(curve) for curve in curves)
    for curve in curves:
        padded = [*curve, *[{key: None, "test": None}] * (deepest - len(curve))]
        xs = [point[key] for point in padded]
        ys = [None if point["test"] is None else 100 * point["test"] for point in padded]
        plot.cursor(xs, ys, chosen, "bare")
    if by_depth:
        plot.spots(list(range(deepest)), [_tip(runs, k) for k in range(deepest)])
    return plot.render()


def _tip(runs: Sequence[NamedRun], depth: int) -> str:
    lines = [f"depth {depth}"]
    for run in runs:
        depths = run.report["depths"]
        if depth < len(depths):
            lines.append(f"{run.name}: {per_cent(depths[depth]['test'])}")
    return "\n".join(lines)


def _plain(value: Any) -> str:
    if value is None:
        return MISSING
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_plain(inner)}" for key, inner in value.items())
    if isinstance(value, float) and value.is_integer() and abs(value) >= 1000:
        return f"{value:,.0f}"
    return str(value)
