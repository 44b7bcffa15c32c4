"""Figures of studies: one style, one palette, and the panels that several studies draw."""

from __future__ import annotations

import statistics
import textwrap
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar

from autocompress.io import atomic_file
from autocompress_studies.results import Results

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
else:  # matplotlib is loaded only when something is drawn
    Axes = Figure = Any

__all__ = ["COLOURS", "PALETTE", "Axes", "Figure", "by_depth", "colour_of", "curve", "depth_panel"]
__all__ += ["figure_in", "legend_below", "mean_curve", "over"]

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
    "H-ACN": "#000000",
    "annealed": "#56b4e9",
    "residual, then taught": "#009e73",
    "residual, then taught, twice as long": "#8b4513",
    "residual, labels at every depth": "#e69f00",
    "annealed, taught": "#e69f00",
    "ACN, then taught": "#cc79a7",
    "input-fed ACN, then taught": "#cc79a7",
    "ACN, direct gradients only": "#999999",
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


def legend_below(
    figure: Figure, panels: Iterable[Axes], title: str | None = None, ncols: int = 4
) -> None:
    """Put one legend for all panels below them, where it hides nothing.

    Args:
        figure: The figure.
        panels: Its panels; a label that several of them have is named once.
        title: Title of the legend.
        ncols: Number of columns.
    """
    named: dict[str, Any] = {}
    for axes in panels:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            named.setdefault(label, handle)
    labels, handles = list(named), list(named.values())
    place: Any = {"loc": "outside lower center", "ncols": min(ncols, len(labels)), "fontsize": 8}
    figure.legend(handles, labels, title=title, title_fontsize=8, **place)


def mean_curve(results: Results[K], key: K, name: str = "test") -> list[float]:
    """Return a score by depth, the mean over seeds: accuracies in per cent, losses as they are."""
    runs = results.column(key, name)
    return [_scale(name) * statistics.fmean(at) for at in zip(*runs, strict=True)]


def _scale(name: str) -> int:
    return 1 if "loss" in name else 100


def curve(axes: Axes, values: list[float], label: str, **style: Any) -> None:
    """Draw a curve over depth, 0 to the last layer."""
    look: Any = {"color": colour_of(label), "marker": "o", "ms": 4} | style
    axes.plot(range(len(values)), values, label=label, **look)


def over(
    axes: Axes, results: Results[K], keys: Mapping[Any, K], name: str, label: str, **style: Any
) -> None:
    """Draw the full-depth score of a network over a setting, a line for each seed.

    Args:
        axes: The panel.
        results: Results of the study.
        keys: Keys of arms by the values of the setting.
        name: Name of a score by depth; ``test`` and other accuracies are drawn in per cent.
        label: Label of the network.
        style: Options of the lines.
    """
    look: Any = {"color": colour_of(label), "lw": 0.9, "ms": 4} | style
    by_seed = zip(*(results.last(key, name) for key in keys.values()), strict=True)
    for number, scores in enumerate(by_seed):
        values = [_scale(name) * score for score in scores]
        axes.plot(list(keys), values, label=None if number else label, **look)


def depth_panel(
    axes: Axes,
    title: str,
    results: Results[K],
    curves: Mapping[str, K],
    stars: Mapping[str, K] | None = None,
    name: str = "test",
    **style: Any,
) -> None:
    """Draw a score over depth, test accuracy unless told otherwise, with a curve for each network.

    Args:
        axes: The panel.
        title: Its title.
        results: Results of the study.
        curves: Keys of arms by label; the mean over seeds is drawn.
        stars: Networks of their own depth: a star at full depth for each seed.
        name: Name of the score.
        style: Options of the curves.
    """
    for label, key in curves.items():
        curve(axes, mean_curve(results, key, name), label, **style)
    for label, key in (stars or {}).items():
        look: Any = {"color": colour_of(label), "ms": 9}
        for run in results.of(key):
            axes.plot(len(run[name]) - 1, _scale(name) * run[name][-1], "*", **look)
        axes.plot([], [], "*", label=f"residual, {label}", **look)
    said = name.replace("_", " ") if "loss" in name else f"{name} accuracy"
    unit = "nats" if "loss" in name else "%"
    axes.set(title=title, xlabel="layers that run", ylabel=f"{said}, {unit}")


#: The arms of a figure: by the name of a panel, their keys by label.
Panels = Mapping[str, Mapping[str, Any]]

#: Number of panels above which they are drawn small.
_MANY = 4


def by_depth(
    panels: Callable[[Any], Panels],
    *,
    stars: Callable[[Any], Panels] = lambda _: {},
    seen: Callable[[Results[Any], str], Results[Any]] = lambda results, title: results,
    scores: Mapping[str, str] = MappingProxyType({}),
    titled: Callable[[str], str] = str,
    needed: bool = False,
    legend: str | None = None,
) -> Callable[[Figure, Any, Results[Any]], None]:
    """Return the ``draw`` of a study: panels side by side, each with test accuracy over depth.

    Args:
        panels: Function of the settings that returns the curves of every panel.
        stars: Function that returns networks of their own depth, see :func:`depth_panel`.
        seen: Function of all results and a panel's name that returns the results it shows.
        scores: Names of the scores of panels that do not show test accuracy, by panel.
        titled: Function of the name of a panel that returns its title.
        needed: Whether dotted lines show the layers that each network needs, seed by seed.
        legend: Title of the legend.
    """

    def draw(figure: Figure, settings: Any, results: Results[Any]) -> None:
        shown, marked = panels(settings), stars(settings)
        many = len(shown) > _MANY
        row = figure.subplots(1, len(shown), squeeze=False, sharey=many)[0]
        style: Any = {"marker": ""} if many else {}
        for axes, (name, curves) in zip(row, shown.items(), strict=True):
            read, score = seen(results, name), scores.get(name, "test")
            depth_panel(axes, titled(name), read, curves, marked.get(name), score, **style)
            for label, key in curves.items() if needed else ():
                for depth in results.column(key, "selected"):
                    axes.axvline(depth, color=colour_of(label), lw=0.8, ls=":")
        if many:
            _make_small(row)
        legend_below(figure, row, legend)

    return draw


def _make_small(row: Iterable[Axes]) -> None:
    """Shrink titles, and label only the first of many panels and the depths at its ends."""
    for number, axes in enumerate(row):
        axes.set_title(textwrap.fill(axes.get_title(), 16), fontsize=8)
        last = axes.dataLim.x1
        axes.set_xticks([0, last], ["0", f"{last:g}"])
        axes.set_xlabel("layers" if number else "layers that run")
        axes.set_ylabel("" if number else axes.get_ylabel())
