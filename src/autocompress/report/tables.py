"""The before/after table, for the terminal and the page, and the cost of a search."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypedDict

from rich import box
from rich.table import Table
from rich.text import Text

from autocompress.printing import as_text, counted, layer_words
from autocompress.report.schema import Measured, Report, shallow_origin
from autocompress.report.times import spread_words, time_ratio
from autocompress.report.units import (
    MISSING,
    count,
    milliseconds,
    multiple,
    per_cent,
    points,
    si,
)

__all__ = ["TableRow", "SearchCost", "before_after", "report_table", "search_cost"]


class TableRow(NamedTuple):
    """One line of the table, as text; ``"-"`` where nothing was measured."""

    label: str
    full: str
    small: str
    change: str
    control: str
    shallow: str


class SearchCost(TypedDict):
    """Training FLOPs of one run that shows every depth, against one run per depth.

    Attributes:
        rule: Way of counting, in words.
        one_run: FLOPs of training the network at full depth.
        every_depth: FLOPs of training each of the depths 1..L from scratch.
        ratio: ``every_depth / one_run``.
        by_depth: The terms of ``every_depth``.
    """

    rule: str
    one_run: float | None
    every_depth: float | None
    ratio: float | None
    by_depth: list[float]


_Show = Callable[[Any], str]
_Compare = Callable[[Any, Any], str]


def before_after(report: Report) -> list[TableRow]:
    """Return the full network, the cut one and its rivals, quantity by quantity."""
    metric = report["task"]["metric"]

    def row(
        label: str, read: Callable[[Measured], Any], show: _Show, compare: _Compare
    ) -> TableRow:
        networks = (report["full"], report["small"], report["baseline"], report["shallow"])
        values = [None if network is None else read(network) for network in networks]
        full, small, control, shallow = (MISSING if v is None else show(v) for v in values)
        return TableRow(label, full, small, compare(values[0], values[1]), control, shallow)

    zeros = []
    if report["full"].get("sparsity") is not None:
        zeros = [row("zeros in matrices", lambda n: n.get("sparsity"), per_cent, points)]
    return [
        row("layers", lambda n: n["depth"], count, multiple),
        row(f"test {metric}", lambda n: n["test"], per_cent, points),
        row(f"validation {metric}", lambda n: n["validation"], per_cent, points),
        row("parameters", lambda n: n["parameters"], count, multiple),
        *zeros,
        row("FLOPs per example", lambda n: n["flops"], si, multiple),
        row("file size", lambda n: n["bytes"], _bytes, multiple),
        *(line for batch in ("1", "256") for line in _times(report, batch)),
        row("peak memory", lambda n: n["peak_memory_bytes"], _bytes, multiple),
    ]


def _times(report: Report, batch: str) -> list[TableRow]:
    """Return the latencies of all networks, and below them the spreads that were measured."""
    networks: list[Any] = [report[key] for key in ("full", "small", "baseline", "shallow")]
    change = time_ratio(networks[0], networks[1], batch)
    here = [one or {"latency_ms": {batch: None}} for one in networks]
    full, small, *rivals = (milliseconds(one["latency_ms"][batch]) for one in here)
    rows = [TableRow(f"latency, batch {batch}", full, small, change, *rivals)]
    full, small, *rivals = (spread_words(one, batch) for one in here)
    if full != MISSING:
        rows.append(TableRow("  8 of 10 passes, ms", full, small, "", *rivals))
    return rows


def report_table(report: Report) -> str:
    """Return the before/after table as text of at most 80 columns.

    Args:
        report: Report of the run.
    """
    task, deepest = report["task"], report["model"]["depth"]
    table = Table(
        title=Text(f"{task['dataset']}: {report['selected']} of {layer_words(deepest)} kept"),
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        collapse_padding=True,
        title_justify="left",
        title_style="bold",
    )
    table.add_column("", no_wrap=True)
    table.add_column("full", justify="right", no_wrap=True)
    table.add_column("small", justify="right", style="bold", no_wrap=True)
    table.add_column("change", justify="right", style="dim", no_wrap=True)
    rivals = [key for key in ("baseline", "shallow") if report.get(key) is not None]
    came = shallow_origin(report).removeprefix("from ").replace("before ", "before\n")
    headings = {"baseline": "residual\nbaseline", "shallow": f"shallow,\n{came}"}
    for key in rivals:
        table.add_column(headings[key], justify="right", no_wrap=True)
    for row in before_after(report):
        cells = {"baseline": row.control, "shallow": row.shallow}
        table.add_row(row.label, row.full, row.small, row.change, *(cells[key] for key in rivals))
    return as_text(table, room=True)


def search_cost(report: Report, epochs: int) -> SearchCost:
    """Return the cost of training once, and of training every depth from scratch instead.

    The rule is 3 x forward FLOPs (a backward pass costs twice a forward) x training examples x
    epochs. One run trains full depth once; the search trains depths 1, 2, .. L, each for as many
    epochs. The costs are None if the FLOPs of a depth were not counted.

    Args:
        report: Report of the run.
        epochs: Number of epochs of each training.
    """
    examples, deepest = report["task"]["train"], report["model"]["depth"]
    rule = (
        f"Training FLOPs = 3 x forward FLOPs (forward, and twice that backward) x {examples:,} "
        f"training examples x {counted(epochs, 'epoch')}. The search trains each depth "
        f"1..{deepest} once, from scratch; the run trains full depth once and probes every depth "
        "in one pass over the validation data, which is left out."
    )
    forward = [point["flops"] for point in report["depths"]]
    known = [flops for flops in forward if flops is not None]
    if len(known) < len(forward):
        return SearchCost(rule=rule, one_run=None, every_depth=None, ratio=None, by_depth=[])
    by_depth = [3.0 * flops * examples * epochs for flops in known]
    one, every = by_depth[-1], sum(by_depth[1:])
    return SearchCost(
        rule=rule,
        one_run=one,
        every_depth=every,
        ratio=every / one if one else None,
        by_depth=by_depth[1:],
    )


def _bytes(number: int) -> str:
    return si(number, "B")
