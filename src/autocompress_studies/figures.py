"""Figures of studies: one style, one palette, and the panels that several studies draw."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from autocompress.io import atomic_file
from autocompress_studies.results import Results

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
else:  # matplotlib is loaded only when something is drawn
    Axes = Figure = Any

__all__ = ["COLOURS", "PALETTE", "Axes", "Figure", "by_depth", "colour_of", "curve", "depth_panel"]
__all__ += ["figure_in", "mean_curve"]

K = TypeVar("K", bound=Hashable)

#: Okabe and Ito's palette, which colour-blind readers can tell apart.
PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#999999")

#: The colours of networks, the same in every figure.
COLOURS = {
    "ACN": "#0072b2",
    "residual": "#d55e00",
    "feed-forward": "#009e73",
    "shallow": "#009e73",
    "DenseNet": "#009e73",
    "Aligned": "#009e73",
    "healed": "#cc79a7",
    "DenseFormer": "#cc79a7",
    "LayerSkip": "#cc79a7",
    "hyper-connections": "#e69f00",
    "deep supervision": "#e69f00",
    "residual, cut": "#e69f00",
    "H-ACN": "#56b4e9",
    "annealed": "#56b4e9",
}


def colour_of(name: str) -> str:
    """Return the colour of a network; of an unknown one black.

    >>> colour_of("ACN"), colour_of("mine")
    ('#0072b2', '#000000')
    """
    return COLOURS.get(name, "#000000")


@contextmanager
def figure_in(path: Path) -> Iterator[Figure]:
    """Yield an empty figure, and write it in the format of the file's suffix.

    The same figure is written as the same file: an SVG has no date and no random names.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    style: Any = {
        "svg.hashsalt": "autocompress",
        "font.size": 9,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "legend.frameon": False,
        "axes.grid": True,
        "grid.alpha": 0.25,
    }
    with rc_context(style), atomic_file(path) as new:
        figure = Figure(figsize=(8.4, 3.8), layout="constrained")
        yield figure
        metadata = {"Date": None} if path.suffix == ".svg" else None
        figure.savefig(new, metadata=metadata, dpi=150)


def mean_curve(results: Results[K], key: K, name: str = "test", scale: float = 100) -> list[float]:
    """Return a score by depth, the mean over seeds, in per cent or times another ``scale``."""
    runs = results.column(key, name)
    return [scale * statistics.fmean(at) for at in zip(*runs, strict=True)]


def curve(axes: Axes, values: list[float], label: str, **style: Any) -> None:
    """Draw a curve over depth, 0 to the last layer."""
    look: Any = {"color": colour_of(label), "marker": "o", "ms": 4} | style
    axes.plot(range(len(values)), values, label=label, **look)


def depth_panel(
    axes: Axes,
    title: str,
    results: Results[K],
    curves: Mapping[str, K],
    stars: Mapping[str, K] | None = None,
    ylabel: str = "test accuracy, %",
) -> None:
    """Draw test accuracy over depth, a curve for each network.

    Args:
        axes: The panel.
        title: Its title.
        results: Results of the study.
        curves: Keys of arms by label; the mean over seeds is drawn.
        stars: Networks of their own depth: a star at full depth for each seed.
        ylabel: Label of the y axis.
    """
    for label, key in curves.items():
        curve(axes, mean_curve(results, key), label)
    for label, key in (stars or {}).items():
        style: Any = {"color": colour_of(label), "ms": 9}
        for run in results.of(key):
            axes.plot(len(run["test"]) - 1, 100 * run["test"][-1], "*", **style)
        axes.plot([], [], "*", label=f"residual, {label}", **style)
    axes.set(title=title, xlabel="layers that run", ylabel=ylabel)


#: The arms of a figure: by the title of a panel, their keys by label.
Panels = Mapping[str, Mapping[str, Any]]


def by_depth(
    panels: Callable[[Any], Panels],
    *,
    stars: Callable[[Any], Panels] = lambda _: {},
    needed: bool = False,
    legend: str | None = None,
) -> Callable[[Figure, Any, Results[Any]], None]:
    """Return the ``draw`` of a study: panels side by side, each with test accuracy over depth.

    Args:
        panels: Function of the settings that returns the curves of every panel.
        stars: Function that returns networks of their own depth, see :func:`depth_panel`.
        needed: Whether dotted lines show the layers that each network needs, seed by seed.
        legend: Title of the legend.
    """

    def draw(figure: Figure, settings: Any, results: Results[Any]) -> None:
        shown, marked = panels(settings), stars(settings)
        row = figure.subplots(1, len(shown), squeeze=False)[0]
        for axes, (title, curves) in zip(row, shown.items(), strict=True):
            depth_panel(axes, title, results, curves, marked.get(title))
            for label, key in curves.items() if needed else ():
                for depth in results.column(key, "selected"):
                    axes.axvline(depth, color=colour_of(label), lw=0.8, ls=":")
        row[0].legend(title=legend)

    return draw
