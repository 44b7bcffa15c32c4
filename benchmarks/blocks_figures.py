"""The picture of docs/blocks.md: test accuracy by depth, one panel for each knob.

python benchmarks/blocks_figures.py
"""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from blocks import results

PICTURE = Path(__file__).parents[1] / "docs" / "pictures" / "blocks.svg"

DEMO = "ACN, the demo's recipe"

#: panel: its curves, each a row of the study and a short name
PANELS: dict[str, dict[str, str]] = {
    "learning rate": {"lr 0.001": "0.001", "lr 0.003": "0.003", DEMO: "0.006"},
    "gradients beside eps": {
        DEMO: "AdamW",
        "eps 1e-5": "eps 1e-5",
        "small gradients: clipped at 1e-5": "clipped at 1e-5",
    },
    "optimizer": {
        DEMO: "AdamW",
        "SGD, lr 0.1": "SGD, lr 0.1",
        "SGD, lr 0.5": "SGD, lr 0.5",
        "Lion, lr 0.001": "Lion",
        "Muon": "Muon",
    },
    "mediated gradient's share": {
        DEMO: "1",
        "mediated gradient x 0.5": "0.5",
        "direct gradient only": "0",
    },
    "learning rate by layer": {
        DEMO: "the same",
        "lr x 1.15 from layer to layer downwards": "lower layers faster",
        "lr x 0.87 from layer to layer downwards": "lower layers slower",
    },
    "weight decay": {"no weight decay": "0", DEMO: "0.05", "weight decay 0.3": "0.3"},
    "weights of the blocks at the start": {
        "weights of the blocks x 0.5 at the start": "x 0.5",
        DEMO: "x 1",
        "weights of the blocks x 2 at the start": "x 2",
    },
    "length of training": {"20 epochs": "20 epochs", DEMO: "40", "80 epochs": "80"},
    "depth": {"6 layers": "6 layers", DEMO: "12", "24 layers": "24"},
    "blocks": {
        DEMO: "end stage",
        "pure blocks": "pure",
        "pure blocks, inner skip": "pure, inner skip",
        "no MixUp, no dropout": "no MixUp, no dropout",
    },
    "connectivity": {
        DEMO: "ACN",
        "residual (lr 0.003)": "residual",
        "residual, pure blocks (lr 0.003)": "residual, pure blocks",
        "pure blocks, inner skip, annealed from residual": "annealed, pure blocks",
    },
    "self-distillation": {DEMO: "none", "distilled": "distilled"},
}

#: Okabe and Ito's palette
COLOURS = ("#000000", "#d55e00", "#0072b2", "#009e73", "#cc79a7")


def main() -> None:
    rows = results()
    with mpl.rc_context({"svg.hashsalt": "autocompress", "font.size": 8}):
        figure = Figure(figsize=(10, 10.5), layout="constrained")
        grid = figure.subplots(4, 3, sharey=True).flat
        for axes, (title, curves) in zip(grid, PANELS.items(), strict=True):
            _panel(axes, rows, curves)
            axes.set_title(title, loc="left", fontsize=9)
        figure.supxlabel("share of the layers that run", fontsize=9)
        figure.supylabel("test accuracy, %", fontsize=9)
        PICTURE.parent.mkdir(exist_ok=True)
        figure.savefig(PICTURE, metadata={"Date": None})


def _panel(axes: Any, rows: list[dict[str, Any]], curves: dict[str, str]) -> None:
    for colour, (name, words) in zip(COLOURS, curves.items(), strict=False):
        runs = [row["test"] for row in rows if row["row"] == name]
        if not runs:
            continue
        curve = [100 * statistics.mean(at) for at in zip(*runs, strict=True)]
        share = [k / (len(curve) - 1) for k in range(len(curve))]
        style = "-" if len(runs) > 1 else "--"  # dashed: one seed
        axes.plot(share, curve, color=colour, ls=style, marker="o", ms=2.5, lw=1.2, label=words)
    axes.set(ylim=(50, 101))
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="lower right", fontsize=7.5)


if __name__ == "__main__":
    main()
