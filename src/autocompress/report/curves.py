"""The charts of the page: score by depth, score by cost, and what was learned by epoch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from itertools import pairwise
from typing import Any

from autocompress.report.schema import Report, shallow_origin
from autocompress.report.svg import Plot, Point, shade, whole_ticks
from autocompress.report.units import MISSING, per_cent, si

__all__ = [
    "axis_range",
    "cost_curve",
    "depth_curve",
    "learning_map",
    "loss_curve",
    "score_curve",
    "short",
]

#: Most columns of the map of training, and most points of a learning curve.
_COLUMNS, _POINTS = 60, 200


def depth_curve(report: Report, *, near: bool = False) -> str:
    """Draw the score of every depth of the network and its rivals.

    Args:
        report: Report of the run.
        near: Whether to show only the scores that matter, those around the compared networks.
    """
    name = "near" if near else "depth"
    deepest = max(report["model"]["depth"], _control_depth(report))
    plot = Plot(
        (0, max(1, deepest)),
        _range(report, near),
        name,
        f"{report['task']['metric']} by depth: {_in_words(report)}",
        "depth: number of layers that run",
        x_ticks=_whole(deepest),
    )
    _draw(plot, report, "depth")
    plot.rule(report["selected"], f"kept: {report['selected']}")
    _interact(plot, report, "depth")
    return plot.render()


def cost_curve(report: Report) -> str:
    """Draw the test score against FLOPs (or parameters, if FLOPs were not counted)."""
    key = _cost_key(report)
    values = [float(point[key] or 0) for point in _all_points(report)]
    high = max(values, default=1.0)
    unit = "parameters" if key == "parameters" else "FLOPs of one example"
    plot = Plot(
        (0, high), _range(report, near=False), "cost",
        f"{report['task']['metric']} against {unit}: {_in_words(report)}", unit, x_words=short,
    )  # fmt: skip
    _draw(plot, report, key)
    _interact(plot, report, key)
    return plot.render()


def score_curve(learning: Mapping[str, Sequence[Mapping[str, Any]]], chosen: int) -> str:
    """Draw the validation score by epoch; the network's is that of the chosen depth.

    Lines connect the epochs that were evaluated, which need not be all (``evaluate_every``).

    Args:
        learning: Records of metrics.jsonl, by network: ``network``, ``baseline``, ``shallow``.
        chosen: The depth that is shown at first.
    """
    scored = {key: [r for r in rows if "validation" in r] for key, rows in learning.items()}
    curves = {key: _every(rows) for key, rows in scored.items() if len(rows) > 1}
    if not curves:
        return ""
    rows = curves.get("network", [])
    scores = [100 * r["validation"] for each in curves.values() for r in each]
    deep = [100 * s for r in rows for s in r.get("depths", [])]
    x, y = _epochs(learning), axis_range([*scores, *deep], 0.06, 0.5)
    plot = Plot(
        x, y, "score", "validation score by epoch", "epoch", whole_ticks(*x), height=260
    )  # fmt: skip
    for key in ("shallow", "baseline"):
        if key in curves:
            plot.line([(r["epoch"], 100 * r["validation"]) for r in curves[key]], key)
    depths = max((len(r.get("depths", [])) for r in rows), default=0)
    if depths:
        lines = [plot.path([(r["epoch"], _at(r, k)) for r in rows]) for k in range(depths)]
        listed = escape("|".join(lines))
        plot.line(
            [(r["epoch"], _at(r, min(chosen, depths - 1))) for r in rows],
            "network",
            f' data-by-depth="{listed}"',
        )
    elif rows:
        plot.line([(r["epoch"], 100 * r["validation"]) for r in rows], "network")
    return plot.render()


def loss_curve(learning: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """Draw the training loss by epoch of the network and its rivals; arguments as above."""
    curves = {key: _every(rows) for key, rows in learning.items()}
    losses = [float(r["loss"]) for rows in curves.values() for r in rows]
    low, high = min(losses), max(losses)
    plot = Plot(
        _epochs(curves), (low - 0.04 * (high - low), high), "loss", "training loss by epoch",
        "epoch", whole_ticks(*_epochs(curves)), height=260,
    )  # fmt: skip
    for key in ("shallow", "baseline", "network"):
        if key in curves:
            plot.line([(r["epoch"], float(r["loss"])) for r in curves[key]], key)
    return plot.render()


def learning_map(rows: Sequence[Mapping[str, Any]]) -> tuple[str, str]:
    """Draw the validation score of every depth (upwards) at every epoch (to the right).

    Returns:
        The picture, and the range of its colours in words; both empty if there is nothing to draw.
    """
    known = [r for r in rows if r.get("depths")]
    known = _thinned(known, _COLUMNS)
    if len(known) < 2:
        return "", ""
    depths = max(len(r["depths"]) for r in known)
    scores = [s for r in known for s in r["depths"]]
    low, high = min(scores), max(scores)
    x = (known[0]["epoch"] - 0.5, known[-1]["epoch"] + 0.5)
    plot = Plot(
        x, (-0.5, depths - 0.5), "map",
        f"validation score by epoch and depth, from {per_cent(low)} to {per_cent(high)}", "epoch",
        whole_ticks(*x), height=260,
    )  # fmt: skip
    edges = [known[0]["epoch"] - 0.5]
    edges += [(a["epoch"] + b["epoch"]) / 2 for a, b in pairwise(known)]
    edges += [known[-1]["epoch"] + 0.5]
    for n, row in enumerate(known):
        for k, score in enumerate(row["depths"]):
            left, top = plot.at(edges[n], k + 0.5)
            right, bottom = plot.at(edges[n + 1], k - 0.5)
            share = (score - low) / (high - low) if high > low else 1.0
            plot.parts.append(
                f'<rect class="cell" x="{left}" y="{top}" width="{right - left:.2f}" '
                f'height="{bottom - top:.2f}" fill-opacity="{shade(share)}"/>'
            )
    return plot.render(), f"from {per_cent(low)} to {per_cent(high)}"


def short(number: float) -> str:
    """Return a number for an axis: an SI prefix, and no zeros behind the point.

    >>> short(5_000_000), short(2500)
    ('5 M', '2.5 k')
    """
    digits, _, prefix = si(number).partition(" ")
    return f"{float(digits.replace(',', '')):g} {prefix}".strip()


# -- parts -----------------------------------------------------------------------------------------


def _draw(plot: Plot, report: Report, key: str) -> None:
    """Draw all curves by depth or by cost."""
    points: Sequence[Any] = report["depths"]
    by_depth = key == "depth"
    if by_depth:
        pairs = [(p["depth"], p.get("interval")) for p in points]
        known = [(x, pair) for x, pair in pairs if pair]
        low, high = ([(x, 100 * v[side]) for x, v in known] for side in (0, 1))
        plot.band(low, high, "network")
        plot.line(_values(points, key, "validation"), "network validation")
    control = report["baseline"]
    if control is not None:
        theirs = _values(control["depths"], key, "test")
        plot.line(theirs, "baseline")
        plot.dots(theirs, "baseline", "square")
    own = _values(points, key, "test")
    plot.line(own, "network")
    plot.dots(own, "network")
    shallow: Any = report["shallow"]
    if shallow is not None:
        plot.dots(_values([shallow], key, "test"), "shallow", "star")


def _values(points: Sequence[Any], key: str, split: str) -> list[Point]:
    return [(p[key], _percent(p[split])) for p in points if p[key] is not None]


def _interact(plot: Plot, report: Report, key: str) -> None:
    """Add the cursor and the words of every depth."""
    points: Sequence[Any] = report["depths"]
    xs = [point[key] for point in points]
    ys = [_percent(point["test"]) for point in points]
    plot.cursor(xs, [y if y is None or y >= plot.y[0] else None for y in ys], report["selected"])
    plot.spots(xs, [_tip(report, k) for k in range(len(points))])


def _tip(report: Report, k: int) -> str:
    point = report["depths"][k]
    lines = [f"depth {k}", f"network: {per_cent(point['test'])}"]
    lines[1] += f" test, {per_cent(point['validation'])} validation"
    control = report["baseline"]
    if control is not None and k < len(control["depths"]):
        lines.append(f"residual baseline: {per_cent(control['depths'][k]['test'])} test")
    shallow = report["shallow"]
    if shallow is not None and shallow["depth"] == k:
        lines.append(f"shallow, {shallow_origin(report)}: {per_cent(shallow['test'])} test")
    if point["flops"] is not None:
        lines.append(f"{si(point['flops'])}FLOPs, {si(point['parameters'])} parameters")
    return "\n".join(lines)


def _in_words(report: Report) -> str:
    """Return the curve for those who cannot see it."""
    ends = (report["depths"][0], report["depths"][report["selected"]], report["depths"][-1])
    said = [f"{per_cent(p['test'])} at depth {p['depth']}" for p in ends]
    return "network " + ", ".join(dict.fromkeys(said)).replace(MISSING, "not measured")


def _all_points(report: Report) -> list[Any]:
    control = report["baseline"]
    others = [] if control is None else control["depths"]
    return [*report["depths"], *others, *([report["shallow"]] if report["shallow"] else [])]


def _cost_key(report: Report) -> str:
    return "parameters" if any(p["flops"] is None for p in _all_points(report)) else "flops"


def _control_depth(report: Report) -> int:
    return 0 if report["baseline"] is None else report["baseline"]["depth"]


def _range(report: Report, near: bool) -> tuple[float, float]:
    """Return the range of scores in per cent; ``near`` that of the compared networks."""
    rows: list[Any] = [report["full"], report["small"], report["baseline"], report["shallow"]]
    marked = [100 * r[s] for r in rows if r for s in ("test", "validation") if r[s] is not None]
    points = _all_points(report)
    drawn = [100 * p[s] for p in points for s in ("test", "validation") if p[s] is not None]
    if near:
        return axis_range([*marked, max([*marked, *drawn], default=100.0)], 0.3, 1.0)
    bands = [100 * end for p in report["depths"] for end in p.get("interval") or ()]
    return axis_range([*marked, *drawn, *bands], 0.06, 0.5)


def axis_range(
    values: Sequence[float], share: float = 0.06, least: float = 0.5
) -> tuple[float, float]:
    """Return the range of ``values`` with a margin: a share of it, at least ``least`` points."""
    low, high = min(values, default=0.0), max(values, default=100.0)
    air = max(least, share * (high - low))
    return (low - air if low < 0 else max(0.0, low - air)), min(100.0, high + air)


def _whole(deepest: int) -> list[float]:
    step = max(1, -(-deepest // 8))
    return [float(k) for k in range(0, deepest + 1, step)]


def _epochs(curves: Mapping[str, Sequence[Mapping[str, Any]]]) -> tuple[float, float]:
    every = [float(r["epoch"]) for rows in curves.values() for r in rows]
    return min(every), max(every)


def _every(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return _thinned(rows, _POINTS)


def _thinned(rows: Sequence[Mapping[str, Any]], most: int) -> list[Mapping[str, Any]]:
    """Return at most about ``most`` rows, evenly chosen, the last one among them."""
    step = max(1, -(-len(rows) // most))
    return list(rows[::-1][::step])[::-1]


def _percent(score: float | None) -> float | None:
    return None if score is None else 100 * score


def _at(record: Mapping[str, Any], depth: int) -> float | None:
    depths = record.get("depths", [])
    return 100 * depths[depth] if depth < len(depths) else None
