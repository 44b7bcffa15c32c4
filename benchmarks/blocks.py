"""What block helpers and training settings do to accuracy and depth, on the bundled digits.

    python benchmarks/blocks.py --seed 0      # one file a seed, so that seeds can run side by side
    python benchmarks/blocks.py --table       # writes the table of docs/blocks.md

Each row changes what it names in the demo's recipe. A row that the file holds already is not run
again, so a study that was stopped goes on.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import torch

import autocompress as ac
from autocompress.io import write_json
from autocompress.pipeline import ModelConfig, RunConfig, read_config, train_network
from autocompress.pipeline.summary import environment
from pages import between

ROOT = Path(__file__).parents[1]
RECIPE = ROOT / "recipes" / "digits.yaml"
RESULTS = ROOT / "benchmarks" / "results"

ANNEAL = {"start": 0.2, "stop": 0.7, "inner": 1.0}
PURE = {"model.end_stage": False}
INNER = {"name": "acn", "inner": 1.0}
RESIDUAL = {"model.connectivity": "residual", "fit.lr": 0.003}
VIT = {"model.end_stage": None, "model.name": "vit", "fit.lr": 0.001}

#: row: what it changes
ROWS: dict[str, dict[str, Any]] = {
    "ACN, the demo's recipe": {},
    "lr 0.003": {"fit.lr": 0.003},
    "lr 0.001": {"fit.lr": 0.001},
    "no MixUp, no dropout": {"augment.mixup": 0.0, "model.dropout": 0.0},
    "small gradients: clipped at 1e-5": {"fit.clip_norm": 1e-5},
    "eps 1e-5": {"fit.eps": 1e-5},
    "mediated gradient x 0.5": {"fit.mediated": 0.5},
    "direct gradient only": {"fit.mediated": 0.0},
    "SGD, lr 0.1": {"fit.optimizer": "sgd", "fit.lr": 0.1},
    "SGD, lr 0.5": {"fit.optimizer": "sgd", "fit.lr": 0.5},
    "Lion, lr 0.001": {"fit.optimizer": "lion", "fit.lr": 1e-3, "fit.betas": (0.9, 0.99)},
    "Muon": {"fit.optimizer": "muon"},
    "weights of the blocks x 0.5 at the start": {"start": 0.5},
    "weights of the blocks x 2 at the start": {"start": 2.0},
    "lr x 1.15 from layer to layer downwards": {"fit.layer_decay": 1.15},
    "lr x 0.87 from layer to layer downwards": {"fit.layer_decay": 0.87},
    "no weight decay": {"fit.weight_decay": 0.0},
    "weight decay 0.3": {"fit.weight_decay": 0.3},
    "20 epochs": {"fit.epochs": 20},
    "80 epochs": {"fit.epochs": 80},
    "6 layers": {"model.depth": 6},
    "24 layers": {"model.depth": 24},
    "distilled": {"fit.distil": {"temperature": 1.0}},
    "pure blocks": PURE,
    "pure blocks, inner skip": {**PURE, "model.connectivity": INNER},
    "pure blocks, inner skip, annealed from residual": {
        **PURE,
        "fit.path": ANNEAL,
        "fit.lr": 0.003,
    },
    "residual (lr 0.003)": RESIDUAL,
    "residual, pure blocks (lr 0.003)": {**RESIDUAL, **PURE},
    "ViT, ACN, pure blocks (lr 0.001)": VIT,
    "ViT, ACN, Dirac and inner skip (lr 0.001)": {
        **VIT,
        "model.dirac": True,
        "model.connectivity": INNER,
    },
    "ViT, residual (lr 0.001)": {**VIT, "model.connectivity": "residual"},
}


_PARTS = {"path": ac.PathConfig, "distil": ac.DistilConfig}
_FIELDS = {field.name for field in fields(ModelConfig)}


def changed(base: RunConfig, changes: dict[str, Any]) -> RunConfig:
    """``base`` with ``section.key`` replaced."""
    for key, value in changes.items():
        if key == "start":
            continue  # of the weights, not of the settings
        section, name = key.split(".", 1)
        if name in _PARTS:
            value = _PARTS[name](**value)
        if section == "model" and name not in _FIELDS:
            base = replace(base, model=base.model.having(**{name: value}))
            continue
        base = replace(base, **{section: replace(getattr(base, section), **{name: value})})
    return base


def run(base: RunConfig, row: str, seed: int) -> dict[str, Any]:
    """Train one row; scores of every depth on validation and test."""
    config = changed(base, {**ROWS[row], "fit.seed": seed})
    data = ac.load_data(config.data)
    start = config.model.build(data, seed)
    with torch.no_grad():
        for parameter in start.trunk.blocks.parameters():
            if parameter.ndim > 1:
                parameter.mul_(ROWS[row].get("start", 1.0))
    with tempfile.TemporaryDirectory() as folder:
        where = Path(folder) / "run"
        net, seconds = train_network(config, data, where, title=f"{row}, seed {seed}", start=start)
    validation, test = ac.probe(net, data.validation), ac.probe(net, data.test)
    return {
        "row": row,
        "seed": seed,
        "changes": ROWS[row],
        "validation": [round(score, 4) for score in validation.scores],
        "test": [round(score, 4) for score in test.scores],
        "seconds": round(seconds, 1),
    }


def results() -> list[dict[str, Any]]:
    """All rows of all committed seeds."""
    files = sorted(RESULTS.glob("blocks-seed*.json"))
    return [row for file in files for row in json.loads(file.read_text())["rows"]]


def marked(page: str) -> str:
    """The page with the table between its marks."""
    return between(page, "table", table())


def table() -> str:
    """Means over seeds, as Markdown."""
    heads = ("network", "seeds", "test, all layers", "test, half of them", "layers needed")
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    for name in ROWS:
        runs = [row for row in results() if row["row"] == name]
        if runs:
            middle = len(runs[0]["test"]) // 2
            full, half = (_mean([100 * row["test"][k] for row in runs]) for k in (-1, middle))
            needed = ", ".join(str(_needed(row["validation"])) for row in runs)
            lines.append(f"| {name} | {len(runs)} | {full} | {half} | {needed} |")
    return "\n".join(lines)


def _needed(scores: list[float]) -> int:
    """The first depth within half a point of full depth."""
    return next(k for k, score in enumerate(scores) if score >= scores[-1] - 0.005)


def _mean(values: list[float]) -> str:
    spread = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.1f}{spread}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, help="threads of this process; default torch's own")
    parser.add_argument("--rows", help="names, separated by semicolons; default all")
    parser.add_argument("--table", action="store_true", help="write it into docs/blocks.md, leave")
    args = parser.parse_args()
    if args.table:
        page = ROOT / "docs" / "blocks.md"
        page.write_text(marked(page.read_text()))
        return
    if args.threads:
        torch.set_num_threads(args.threads)
    file = RESULTS / f"blocks-seed{args.seed}.json"
    rows = json.loads(file.read_text())["rows"] if file.exists() else []
    base = read_config(RECIPE)
    for row in list(ROWS) if args.rows is None else args.rows.split("; "):
        if all(done["row"] != row for done in rows):
            rows.append(run(base, row, args.seed))
            where = environment(torch.device("cpu"))
            write_json(file, {"recipe": asdict(base), "environment": where, "rows": rows})


if __name__ == "__main__":
    main()
