"""The figures of a report, as SVG for inclusion in a page.

Colours are CSS variables of the page (each with a fallback), so that figures follow it into dark
mode and print; text stays text. The palette is that of Okabe and Ito, which suits colour-blind
readers, and every series also has its own marker.
"""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from autocompress.report.conclusion import standard_error
from autocompress.report.schema import DepthScore, Report, shallow_origin
from autocompress.report.tables import SearchCost
from autocompress.report.units import si

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["cost_figure", "depth_figure", "search_figure"]

#: Placeholder colours for drawing with matplotlib: (CSS variable, its fallback).
_COLOURS = {
    "#0a0b01": ("ink", "#1c2530"),
    "#0a0b02": ("muted", "#5b6672"),
    "#0a0b03": ("network", "#0072b2"),
    "#0a0b04": ("control", "#d55e00"),
    "#0a0b05": ("shallow", "#009e73"),
    "#0a0b06": ("paper", "#ffffff"),
}
INK, MUTED, NETWORK, CONTROL, SHALLOW, PAPER = _COLOURS

_STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "autocompress",
    "font.family": "sans-serif",
    "font.size": 10,
    "text.color": INK,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "figure.facecolor": "none",
    "grid.color": MUTED,
    "grid.alpha": 0.22,
    "grid.linewidth": 0.7,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "lines.solid_capstyle": "round",
}


def depth_figure(report: Report) -> str:
    """Draw score by depth of the network and its control: a close-up above the whole range."""
    from matplotlib import rc_context
    from matplotlib.ticker import MaxNLocator

    with rc_context(_STYLE):
        figure, panels = _panels(report)
        for axes in panels:
            _curves(axes, report, "depth", ("test", "validation"))
            _points(axes, report, "depth", 1.0 if axes is panels[0] else 0.6)
            axes.axvline(report["selected"], color=INK, lw=0.8, ls=(0, (4, 3)), zorder=1)
        _tie_band(panels[0], report)
        panels[0].annotate(
            f"kept: {report['selected']}",
            (report["selected"], 1),
            xycoords=("data", "axes fraction"),
            xytext=(4, -2),
            textcoords="offset points",
            va="top",
            fontsize=9,
        )
        panels[-1].xaxis.set_major_locator(MaxNLocator(integer=True))
        panels[-1].set_xlabel("depth (layers that run)")
        return _svg(figure, "depth")


def cost_figure(report: Report) -> str:
    """Draw test score against FLOPs (or parameters, if a FLOP count is missing) of every depth."""
    from matplotlib import rc_context

    every = [*report["depths"], *(report["baseline"] or {"depths": []})["depths"]]
    key = "parameters" if any(point["flops"] is None for point in every) else "flops"
    unit = {"flops": "{}FLOPs of one example's forward pass", "parameters": "parameters, {}"}[key]
    with rc_context(_STYLE):
        figure, panels = _panels(report, splits=("test",))
        for axes in panels:
            _curves(axes, report, key, ("test",))
            _points(axes, report, key, 1.0 if axes is panels[0] else 0.6)
        _tie_band(panels[0], report)
        _name_depths(panels[0], report, key)
        _count_axis(panels[-1], unit)
        return _svg(figure, "cost")


def search_figure(cost: SearchCost) -> str:
    """Draw two bars: the one run, and the search with a segment for every depth."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    one, every = cost["one_run"], cost["every_depth"]
    if one is None or every is None:
        return ""
    with rc_context(_STYLE):
        figure = Figure(figsize=(6.2, 1.9), layout="constrained")
        axes = figure.subplots()
        axes.barh(["this run,\nall depths"], [one], color=NETWORK, height=0.56)
        left = 0.0
        for flops in cost["by_depth"]:
            axes.barh(
                ["a run for\nevery depth"], [flops], left=left, height=0.56, color=CONTROL,
                edgecolor=PAPER, linewidth=0.8,
            )  # fmt: skip
            left += flops
        for row, flops in enumerate((one, every)):
            text = f"{si(flops)}FLOPs" + (f" ({every / one:.1f}x)" if row and one else "")
            axes.annotate(text, (flops, row), (6, 0), textcoords="offset points", va="center")
        axes.set_xlim(0, 1.4 * max(one, every))
        axes.invert_yaxis()
        axes.tick_params(axis="y", length=0, labelcolor=INK)
        axes.spines["left"].set_visible(False)
        _count_axis(axes, "training {}FLOPs")
        return _svg(figure, "search")


# -- parts -----------------------------------------------------------------------------------------


def _panels(
    report: Report, splits: Sequence[str] = ("test", "validation")
) -> tuple[Figure, list[Axes]]:
    """Return a figure with a close-up of the scores that matter above the whole range.

    A single panel is used if the close-up would show most of the range anyway.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.2, 5.2), layout="constrained")
    everything, marked = _scores(report, splits)
    low, high = _margin(everything, 0.06, 0.5)
    near, top = _margin([*marked, max(everything, default=100.0)], 0.3, 1.0)
    if top - near > 0.6 * (high - low):
        axes = figure.subplots()
        panels = [axes]
        axes.set_ylim(low, high)
    else:
        panels = list(figure.subplots(2, 1, sharex=True, height_ratios=(3.2, 1)))
        panels[0].set_ylim(near, top)
        panels[1].set_ylim(low, high)
        panels[1].axhspan(near, top, color=MUTED, alpha=0.1, lw=0)
        panels[1].set_ylabel("all, %")
    panels[0].set_ylabel(f"{report['task']['metric']}, %".replace("$", r"\$"))
    for axes in panels:
        axes.grid(axis="y")
        axes.tick_params(length=3)
    return figure, panels


def _scores(report: Report, splits: Sequence[str]) -> tuple[list[float], list[float]]:
    """Return, in per cent, all scores that are drawn and those of the table's networks."""
    networks = [report["full"], report["small"], report["baseline"], report["shallow"]]
    rows: list[Any] = [network for network in networks if network is not None]
    curves: list[Any] = [*report["depths"], *(report["baseline"] or {"depths": []})["depths"]]
    marked = [100 * row[s] for row in rows for s in splits if row[s] is not None]
    drawn = [100 * row[s] for row in curves for s in splits if row[s] is not None]
    return [*marked, *drawn], marked


def _margin(values: Sequence[float], share: float, least: float) -> tuple[float, float]:
    """Return the range of ``values`` with a margin: a share of it, at least ``least`` points."""
    low, high = min(values, default=0.0), max(values, default=100.0)
    air = max(least, share * (high - low))
    return max(-0.5, low - air), min(100.5, high + air)


def _curves(axes: Axes, report: Report, key: str, splits: Sequence[str]) -> None:
    """Draw the scores of the network and of its control, by depth or by cost."""
    series = [("network", report["depths"], NETWORK, "o", 3.2)]
    if report["baseline"] is not None:
        series.append(("control", report["baseline"]["depths"], CONTROL, "s", 3.1))
    for name, points, colour, marker, order in series:
        looks: dict[str, dict[str, Any]] = {
            "test": {"lw": 2.0, "ms": 5, "mec": PAPER, "mew": 0.7, "zorder": order},
            "validation": {"lw": 1.2, "ls": (0, (2, 1.6)), "ms": 3.5, "mfc": PAPER, "zorder": 3},
        }
        for split in splits:
            x, y = _values(points, key), [100 * v for v in _values(points, split)]
            label = f"{name}, {split}"
            axes.plot(x, y, color=colour, marker=marker, label=label, **looks[split])


def _values(points: Sequence[DepthScore], key: str) -> list[float]:
    rows: Sequence[Any] = points
    return [float("nan") if row[key] is None else float(row[key]) for row in rows]


def _count_axis(axes: Axes, words: str) -> None:
    """Label FLOPs or parameters in a unit that keeps ticks short; ``{}`` is its prefix."""
    from matplotlib.ticker import FuncFormatter

    low, high = axes.get_xlim()
    axes.set_xlim(min(0.0, low), high)
    _, _, prefix = si(high).partition(" ")
    scale = 1000.0 ** ["", "k", "M", "G", "T", "P", "E"].index(prefix)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value / scale:g}"))
    axes.set_xlabel(words.format(prefix).removesuffix(", "))


def _points(axes: Axes, report: Report, key: str, size: float) -> None:
    """Draw the small network as a ring and the one from scratch as a star."""
    small: Any = report["small"]
    if small[key] is not None and small["test"] is not None:
        axes.plot(
            small[key], 100 * small["test"], "o", ms=13 * size, mfc="none", mec=INK, mew=1.4,
            label="small (kept), test", clip_on=False, zorder=4,
        )  # fmt: skip
    shallow: Any = report["shallow"]
    if shallow is not None and shallow[key] is not None and shallow["test"] is not None:
        came = shallow_origin(report).removeprefix("from ")
        axes.plot(
            shallow[key], 100 * shallow["test"], "*", ms=14 * size, mfc=SHALLOW, mec=PAPER,
            mew=0.8, ls="none", clip_on=False, label=f"shallow, {came}, test", zorder=5,
        )  # fmt: skip


def _tie_band(axes: Axes, report: Report) -> None:
    """Draw full depth's test score as a line, with a band of one standard error on each side."""
    score = report["full"]["test"]
    if score is None:
        return
    axes.axhline(100 * score, color=NETWORK, lw=0.9, ls=(0, (1, 1.5)), zorder=1)
    if report["task"]["test"]:
        error = 100 * standard_error(score, report["task"]["test"])
        axes.axhspan(
            100 * score - error, 100 * score + error, color=NETWORK, alpha=0.1, lw=0,
            label="full depth, test, \N{PLUS-MINUS SIGN} 1 s.e.", zorder=0,
        )  # fmt: skip


def _name_depths(axes: Axes, report: Report, key: str) -> None:
    """Write the number of layers beside the ring and the star of the close-up."""
    for network in (report["small"], report["shallow"]):
        row: Any = network
        if row is not None and row[key] is not None and row["test"] is not None:
            number = row["depth"]
            axes.annotate(
                f"{number} layer" + "s" * (number != 1), (row[key], 100 * row["test"]), (11, -4),
                textcoords="offset points", va="center", fontsize=9, zorder=6,
            )  # fmt: skip


def _svg(figure: Figure, name: str) -> str:
    """Return the figure as an <svg> element with unique ids and CSS variables as colours."""
    handles, labels = figure.axes[0].get_legend_handles_labels()
    if handles:
        figure.legend(handles, labels, loc="outside upper left", ncols=2, handlelength=2.2)
    file = io.StringIO()
    figure.savefig(file, format="svg", metadata={"Date": None})
    svg = file.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg, flags=re.S)
    svg = re.sub(r' (xmlns(:\w+)?|width|height|version)="[^"]*"', "", svg, count=5)
    svg = re.sub(r"font(-family)?: ([^;\"]*?)('[^\"]*?sans-serif)", r"font\1: \2var(--font)", svg)
    svg = svg.replace("xlink:href=", "href=")
    svg = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{name}-", svg)
    for drawn, (variable, fallback) in _COLOURS.items():
        svg = svg.replace(drawn, f"var(--{variable}, {fallback})")
    return svg
