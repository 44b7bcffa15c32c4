"""Masked-word pretraining on novels, then SST-2: an ACN encoder, a residual one, a shallow one.

    python benchmarks/language.py --data ../shared/data

Three networks are pretrained by recipes/bert-mlm-cpu.yaml on the same tokens (one seed), each is
fine-tuned by recipes/glue-sst2-cpu.yaml (three seeds). The shallow one has as many layers as the
ACN keeps: the median over its seeds. Depths are chosen on data carved from train; test is GLUE's
validation split, read once. What is finished in runs/language is not trained again.
"""

from __future__ import annotations

import argparse
import statistics
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

import autocompress as ac
from autocompress.data import Splits
from autocompress.io import write_json
from autocompress.measure import measure_together
from autocompress.pipeline import RunConfig, read_config, train_network
from autocompress.pipeline.compress import example_of
from autocompress.pipeline.summary import environment

ROOT = Path(__file__).parents[1]
RESULT = ROOT / "benchmarks" / "results" / "language.json"
RUNS = ROOT / "runs" / "language"
SEEDS = (0, 1, 2)


def pretrained(config: RunConfig, name: str, connectivity: str, depth: int) -> Path:
    """The folder of a network that has seen the novels."""
    model = replace(config.model, connectivity=connectivity, depth=depth)
    folder = RUNS / f"pretrained-{name}"
    data = config.load()
    net, _ = train_network(
        replace(config, model=model), data, folder, resume=True, title=f"{name}, words"
    )
    described(folder, net, data)
    return folder


def described(folder: Path, net: ac.Network, data: Splits) -> None:
    """Beside a pretrained network, its score and loss at every depth."""
    file = folder / "curve.json"
    if not file.exists():
        curve = ac.probe(net, data.validation)
        write_json(file, {"scores": curve.scores, "losses": curve.losses})


def tuned(config: RunConfig, folder: Path, name: str, connectivity: str, seed: int) -> ac.Network:
    """A network of ``folder`` that has learned SST-2."""
    model = replace(config.model, init=str(folder), connectivity=connectivity)
    fit = replace(config.fit, seed=seed)
    run = replace(config, model=model, fit=fit)
    net, _ = train_network(
        run, run.load(), RUNS / f"{name}-{seed}", resume=True, title=f"{name}, seed {seed}"
    )
    return net


def row(net: ac.Network, data: Splits, config: RunConfig, name: str, seed: int) -> dict[str, Any]:
    """The scores of every depth, and the depth that the rule chooses."""
    curve = ac.probe(net, data.validation)
    selection = curve.select(**vars(config.select))
    return {
        "network": name,
        "seed": seed,
        "depth": net.depth,
        "validation": curve.scores,
        "test": ac.probe(net, data.test).scores,
        "selected": selection.depth,
        "rule": selection.rule,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    args = parser.parse_args()
    torch.set_num_threads(1)
    words = read_config(ROOT / "recipes" / "bert-mlm-cpu.yaml")
    words = replace(words, data=replace(words.data, name=str(args.data / "english_novels_100")))
    task = read_config(ROOT / "recipes" / "glue-sst2-cpu.yaml")
    task = replace(task, data=replace(task.data, name=str(args.data / "sst2")))
    depth = words.model.depth or 12
    rows: list[dict[str, Any]] = []
    nets: dict[str, ac.Network] = {}
    data = None
    for name, rule in (("ACN", "acn"), ("residual", "residual"), ("shallow", "residual")):
        layers = depth
        if name == "shallow":
            kept = [r["selected"] for r in rows if r["network"] == "ACN"]
            layers = int(statistics.median_low(kept))
        folder = pretrained(words, name, rule, layers)
        data = replace(task, model=replace(task.model, init=str(folder))).load()
        for seed in SEEDS:
            net = tuned(task, folder, name, rule, seed)
            rows.append(row(net, data, task, name, seed))
            nets.setdefault(name, net)
    assert data is not None
    nets["cut"] = nets["ACN"].cut(layers)
    costs = measure_together(nets, example_of(data.validation, nets["ACN"]))
    record = {
        "recipes": ["bert-mlm-cpu", "glue-sst2-cpu"],
        "tokens": words.fit.epochs * len(words.load().train) * (words.data.length or 0),
        "data": data.description,
        "environment": environment(torch.device("cpu")),
        "rows": rows,
        "costs": {name: cost.to_json() for name, cost in costs.items()},
        "pretrained": curves(nets),
    }
    write_json(RESULT, record)


def curves(names: dict[str, ac.Network]) -> dict[str, Any]:
    """Scores and losses on the novels' validation split, of what was pretrained."""
    import json

    files = {name: RUNS / f"pretrained-{name}" / "curve.json" for name in names}
    return {name: json.loads(f.read_text()) for name, f in files.items() if f.exists()}


if __name__ == "__main__":
    main()
