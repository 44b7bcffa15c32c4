"""The picture of docs/compression.md: test accuracy of every depth, by way of training.

python benchmarks/compression_figures.py
"""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from compression_table import results

TITLES = {"text": "next character, decoder of 8 layers", "image": "CIFAR-10, Mixer of 8 layers"}
PICTURE = Path(__file__).parents[1] / "docs" / "pictures" / "compression.svg"

#: row: (colour, marker, line style); Okabe and Ito's palette
CURVES = {
    "residual": ("#000000", "o", "-"),
    "ACN": ("#d55e00", "s", "-"),
    "annealed": ("#e69f00", "^", "-"),
    "residual, distilled": ("#0072b2", "v", "-"),
    "residual, distilled late": ("#56b4e9", "D", "-"),
    "from residual: distilled": ("#009e73", "P", "--"),
    "from residual: annealed, distilled": ("#cc79a7", "X", "--"),
}
POINTS = {
    "residual, 1/2 of the layers": ("#000000", "*"),
    "residual, 1/4 of the layers": ("#000000", "*"),
    "residual, 1/2 of the layers, equal FLOPs": ("#999999", "*"),
    "from residual: cut to 1/2, healed": ("#009e73", "*"),
}


def main() -> None:
    with mpl.rc_context({"svg.hashsalt": "autocompress", "font.size": 9}):
        figure = Figure(figsize=(10, 4.6), layout="constrained")
        panels = figure.subplots(1, len(TITLES))
        for axes, (task, title) in zip(panels, TITLES.items(), strict=True):
            _panel(axes, results(task))
            axes.set_title(title, loc="left")
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
        PICTURE.parent.mkdir(exist_ok=True)
        figure.savefig(PICTURE, metadata={"Date": None})


def _panel(axes: Any, rows: list[dict[str, Any]]) -> None:
    best = max((max(row["test"]) for row in rows), default=1.0)
    for name, (colour, marker, line) in CURVES.items():
        curve = _curve(rows, name)
        axes.plot(
            range(len(curve)),
            curve,
            color=colour,
            marker=marker,
            ls=line,
            ms=4.5,
            lw=1.4,
            label=name,
        )
    for name, (colour, marker) in POINTS.items():
        curve = _curve(rows, name)
        if curve:
            axes.plot(
                len(curve) - 1, curve[-1], color=colour, marker=marker, ls="", ms=11, label=name
            )
    axes.set(
        xlabel="layers that run", ylabel="test accuracy, %", ylim=(100 * best - 16, 100 * best + 1)
    )
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)


def _curve(rows: list[dict[str, Any]], name: str) -> list[float]:
    """Mean over seeds, per depth, in per cent."""
    runs = [row["test"] for row in rows if row["row"] == name]
    return [100 * statistics.mean(at) for at in zip(*runs, strict=True)]


if __name__ == "__main__":
    main()
