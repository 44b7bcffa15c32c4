"""Parts of the page beside the depth curve: classes, gradients, exits, and the legend."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from autocompress.printing import figures, layer_words
from autocompress.report.curves import axis_range, short
from autocompress.report.schema import Report, shallow_origin
from autocompress.report.svg import Plot, shade
from autocompress.report.units import (
    MISSING,
    count,
    milliseconds,
    multiple,
    per_cent,
    si,
    typeset,
)

__all__ = ["class_rows", "classes_by_depth", "exit_part", "gradient_map", "legend"]

#: Most columns of the map of gradients.
_COLUMNS = 80
#: When an example leaves, by criterion.
_LEAVES = {
    "entropy": "the entropy of its answer is below the threshold",
    "margin": "the likeliest class leads the second by more than the threshold",
    "probability": "the likeliest class has more than the threshold",
    "patience": "so many exits in a row have given the same answer",
}


def legend(report: Report) -> list[tuple[str, str]]:
    """Return the curves of the page as (class of the key, words)."""
    shown = [("network", "network, test"), ("validation", "network, validation")]
    if report["baseline"] is not None:
        shown.append(("baseline", "residual baseline, test"))
    if report["shallow"] is not None:
        shown.append(("shallow", f"shallow, {shallow_origin(report)}, test"))
    if any(point.get("interval") for point in report["depths"]):
        shown.append(("band", "95 % interval"))
    return shown


def class_rows(report: Report) -> dict[str, Any] | None:
    """Return the shown classes with their counts, and whether there are more."""
    classes = report.get("classes")
    if not classes or not classes["shown"]:
        return None
    counts, names = classes["counts"], classes["names"]
    rows = [
        {
            "name": names[c],
            "counts": [count(counts[split][c]) for split in ("train", "validation", "test")],
        }
        for c in classes["shown"]
    ]
    more = len(names) - len(rows)
    small = len(rows) <= 15
    return {"rows": rows, "more": more, "small": small, "number": len(names)}


def classes_by_depth(report: Report) -> dict[str, Any]:
    """Return, for the script, accuracy and confusion of the shown classes at every depth."""
    classes = report.get("classes")
    if not classes or not classes["shown"]:
        return {"accuracy": [], "confusion": []}
    shown = classes["shown"]
    return {
        "accuracy": [
            [None if row[c] is None else [row[c], per_cent(row[c])] for c in shown]
            for row in classes["accuracy"]
        ],
        "confusion": classes["confusion"],
    }


def gradient_map(found: Mapping[str, Any] | None) -> str:
    """Draw the norm of the gradient by step (to the right) and layer (upwards), darker is larger.

    Args:
        found: ``steps`` and ``full`` of a :class:`GradientRecorder`; None draws nothing.
    """
    if found is None or not found["steps"]:
        return ""
    rows: Sequence[Sequence[float | None]] = found["full"]
    steps = [float(step) for step in found["steps"]]
    chosen = list(range(0, len(steps), max(1, -(-len(steps) // _COLUMNS))))
    known = [v for row in rows for v in row if v]
    high = max(known, default=1.0)
    low = max(min(known, default=high), high / 1e4)
    edges = [*(steps[n] for n in chosen), steps[-1] + max(1.0, steps[-1] - steps[-2:][0])]
    plot = Plot(
        (edges[0], edges[-1]), (0.5, len(rows) + 0.5), "gradients",
        f"norm of the gradient by step and layer, from {low:.2g} to {high:.2g}", "step",
        height=260,
    )  # fmt: skip
    for column, n in enumerate(chosen):
        for layer, row in enumerate(rows, 1):
            value = row[n]
            if value is None:
                continue
            share = math.log(max(value, low) / low) / math.log(high / low) if high > low else 1.0
            left, top = plot.at(edges[column], layer + 0.5)
            right, bottom = plot.at(edges[column + 1], layer - 0.5)
            plot.parts.append(
                f'<rect class="cell" x="{left}" y="{top}" width="{right - left:.2f}" '
                f'height="{bottom - top:.2f}" fill-opacity="{shade(share)}"/>'
            )
    return plot.render()


def exit_part(found: Mapping[str, Any] | None, deepest: int) -> dict[str, Any] | None:
    """Return the curve of early exits with the words of every threshold.

    Args:
        found: Content of exits.json; None if exits were not measured.
        deepest: Number of layers of the network.
    """
    curve = [] if found is None else [row for row in found["curve"] if _is_complete(row)]
    if found is None or not curve:
        return None
    curve = sorted(curve, key=lambda row: row["flops"])
    chosen = _chosen(found, curve)
    criterion = str(found["criterion"])
    unit = " nats" if criterion == "entropy" else ""
    costs = [row["flops"] for row in curve]

    def share(row: Mapping[str, Any]) -> str:
        return typeset(multiple(costs[-1], row["flops"]))

    states = [
        {
            "exit_threshold": f"{figures(row['threshold'])}{unit}",
            "exit_score": per_cent(row["score"]),
            "exit_depth": f"{row['depth']:.1f} of {layer_words(deepest)}",
            "exit_flops": f"{si(row['flops'])}, {share(row)} the most",
            "exit_ms": milliseconds(row["ms"]) if _number(row.get("ms")) else MISSING,
        }
        for row in curve
    ]
    scores = [100 * row["score"] for row in curve]
    plot = Plot(
        (min(costs), max(costs)), axis_range(scores), "exits",
        "validation score against the mean FLOPs of an example, by threshold",
        "mean FLOPs of one example", x_words=short, height=260,
    )  # fmt: skip
    points = list(zip(costs, scores, strict=True))
    plot.line(points, "network")
    plot.dots(points, "network")
    plot.cursor(costs, scores, chosen)
    return {
        "svg": plot.render(),
        "states": states,
        "chosen": chosen,
        "rule": _LEAVES.get(criterion, f"its {criterion} passes the threshold"),
        "test": _on_test(found.get("test"), deepest),
    }


def _on_test(found: Any, deepest: int) -> str:
    """Return what the calibrated exits do on the test data; empty if none were read."""
    keys = ("score", "full_score", "depth", "flops", "full_flops")
    if not isinstance(found, Mapping) or not all(_number(found.get(key)) for key in keys):
        return ""
    return (
        f"On test, the calibrated exits score {per_cent(found['score'])} "
        f"({per_cent(found['full_score'])} without exits) with {found['depth']:.1f} of {deepest} "
        f"layers on average and {typeset(multiple(found['full_flops'], found['flops']))} the FLOPs."
    )


def _chosen(found: Mapping[str, Any], curve: Sequence[Mapping[str, Any]]) -> int:
    """Return the place of the calibrated threshold in the curve."""
    limits = [row.get("threshold") for row in found["exits"]]
    limit = next((value for value in limits if _number(value)), curve[-1]["threshold"])
    return min(range(len(curve)), key=lambda n: abs(curve[n]["threshold"] - limit))


def _is_complete(row: Mapping[str, Any]) -> bool:
    return all(_number(row.get(key)) for key in ("threshold", "score", "flops", "depth"))


def _number(value: object) -> bool:
    return type(value) in (int, float) and math.isfinite(value)  # type: ignore[arg-type]
