"""What block helpers and optimiser settings do to accuracy and depth, on the bundled digits.

    python benchmarks/blocks.py --seeds 3 --out benchmarks/results/blocks.json

Each row changes one thing of the demo's recipe. A row and seed that the file holds already is not
run again, so that the study can be stopped and gone on with. docs/blocks.md shows the table.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

import autocompress as ac
from autocompress.io import write_json
from autocompress.pipeline import RunConfig, read_config, train_network
from autocompress.pipeline.summary import environment

RECIPE = Path(__file__).parents[1] / "recipes" / "digits.yaml"
ANNEAL = ac.AnnealConfig(start=0.2, stop=0.7)

#: row: (options of the model, options of fit); beside the first, one thing is changed
ROWS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "ACN, the demo's recipe": ({}, {}),
    "ACN, lr 0.001": ({}, {"lr": 0.001}),
    "ACN, lr 0.006": ({}, {"lr": 0.006}),
    "ACN, no dropout": ({"dropout": 0.0}, {}),
    "ACN, pure blocks": ({"end_stage": False}, {}),
    "ACN, pure blocks, inner skip": ({"end_stage": False, "inner": 1.0}, {}),
    "ACN, pure blocks, annealed from residual": (
        {"end_stage": False},
        {"anneal": ANNEAL},
    ),
    "ACN, small gradients (clipped at 1e-5)": ({}, {"clip_norm": 1e-5}),
    "ACN, direct gradient only": ({}, {"detached": True}),
    "residual": ({"connectivity": "residual"}, {}),
    "residual, lr 0.001": ({"connectivity": "residual"}, {"lr": 0.001}),
    "residual, pure blocks": ({"connectivity": "residual", "end_stage": False}, {}),
    "ViT: ACN, pure blocks": ({"name": "vit", "end_stage": None}, {"lr": 0.001}),
    "ViT: ACN, Dirac and attention skip": (
        {"name": "vit", "end_stage": None, "dirac": True, "inner": 1.0},
        {"lr": 0.001},
    ),
    "ViT: residual": (
        {"name": "vit", "end_stage": None, "connectivity": "residual"},
        {"lr": 0.001},
    ),
}


def run(base: RunConfig, row: str, seed: int) -> dict[str, Any]:
    """Train one row with one seed; scores of every depth on validation and test."""
    model, fit = ROWS[row]
    config = replace(
        base, model=replace(base.model, **model), fit=replace(base.fit, seed=seed, **fit)
    )
    data = ac.load_data(config.data)
    with tempfile.TemporaryDirectory() as folder:
        title = f"{row}, seed {seed}"
        net, seconds = train_network(config, data, Path(folder) / "run", title=title)
    validation, test = ac.probe(net, data.validation), ac.probe(net, data.test)
    return {
        "row": row,
        "seed": seed,
        "changed": {"model": model, "fit": _plain(fit)},
        "selected": validation.select(tolerance=0.0).depth,
        "within_half_a_point": validation.select(tolerance=0.005).depth,
        "validation": [round(score, 4) for score in validation.scores],
        "test": [round(score, 4) for score in test.scores],
        "seconds": round(seconds, 1),
    }


def show(rows: list[dict[str, Any]], markdown: bool) -> None:
    """Means over seeds, a line each."""
    heads = ("network", "seeds", "test, full depth", "depth selected", "test, selected")
    lines = []
    for name in ROWS:
        runs = [row for row in rows if row["row"] == name]
        if runs:
            full = [100 * row["test"][-1] for row in runs]
            depths = [row["selected"] for row in runs]
            cut = [100 * row["test"][row["selected"]] for row in runs]
            spread = f"{min(depths)} to {max(depths)}" if len(set(depths)) > 1 else str(depths[0])
            lines.append((name, str(len(runs)), _mean(full), spread, _mean(cut)))
    if markdown:
        print("| " + " | ".join(heads) + " |\n|" + "---|" * len(heads))
        for line in lines:
            print("| " + " | ".join(line) + " |")
        return
    table = Table(*heads)
    for line in lines:
        table.add_row(*line)
    Console(width=100).print(table)


def _plain(options: dict[str, Any]) -> dict[str, Any]:
    return {k: asdict(v) if isinstance(v, ac.AnnealConfig) else v for k, v in options.items()}


def _mean(values: list[float]) -> str:
    spread = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.1f}{spread}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/blocks.json"))
    parser.add_argument("--only", help="rows whose name holds this")
    parser.add_argument("--markdown", action="store_true", help="only print what the file holds")
    args = parser.parse_args()
    rows = json.loads(args.out.read_text())["rows"] if args.out.exists() else []
    base = read_config(RECIPE)
    for seed in range(0 if args.markdown else args.seeds):
        for row in ROWS:
            done = any(r["row"] == row and r["seed"] == seed for r in rows)
            if not done and (args.only or "") in row:
                rows.append(run(base, row, seed))
                where = environment(torch.device("cpu"))
                write_json(args.out, {"recipe": asdict(base), "environment": where, "rows": rows})
    show(rows, args.markdown)


if __name__ == "__main__":
    main()
