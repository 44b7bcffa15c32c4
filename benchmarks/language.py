"""Masked-word pretraining on novels, then SST-2: ACN encoders, a residual one, a shallow one.

    python benchmarks/language.py --data ../shared/data

Four networks are pretrained by recipes/bert-mlm-cpu.yaml on the same tokens (one seed): an ACN from
the first step, one that is annealed to it, a residual and a shallow residual one. Each is
fine-tuned by recipes/glue-sst2-cpu.yaml (three seeds). The shallow one has as many layers as the
annealed one keeps, the library's default: the median over its seeds. Depths are chosen on data
carved from train; test is GLUE's validation split. What is finished in runs/language is not trained
again.
"""

from __future__ import annotations

import argparse
import json
import statistics
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

import autocompress as ac
from autocompress.data import Splits
from autocompress.io import write_json
from autocompress.measurement import measure_together
from autocompress.pipeline import RunConfig, read_config, train_network
from autocompress.pipeline.compressing import example_of
from autocompress.pipeline.summary import environment
from autocompress.training import find_path

ROOT = Path(__file__).parents[1]
RESULT = ROOT / "benchmarks" / "results" / "language.json"
RUNS = ROOT / "runs" / "language"
#: The rule of each network, and the path by which pretraining comes to it.
NETWORKS: dict[str, tuple[dict[str, Any], str | None]] = {
    "ACN": ({"connectivity": "acn"}, None),
    "annealed": ({"connectivity": {"name": "acn", "inner": 1.0}}, "anneal"),
    "residual": ({"connectivity": "residual"}, None),
    "shallow": ({"connectivity": "residual"}, None),
}
SEEDS = (0, 1, 2)


def pretrained(config: RunConfig, name: str, depth: int) -> Path:
    """The folder of a network that has seen the novels."""
    rule, path = NETWORKS[name]
    model = replace(config.model, depth=depth, **rule)
    run = replace(config, model=model, fit=replace(config.fit, path=find_path(path)))
    folder = RUNS / f"pretrained-{name}"
    data = run.load()
    net, _ = train_network(run, data, folder, resume=True, title=f"{name}, words")
    described(folder, net, data)
    return folder


def described(folder: Path, net: ac.Network, data: Splits) -> None:
    """Beside a pretrained network, its score and loss at every depth."""
    file = folder / "curve.json"
    if not file.exists():
        curve = ac.probe(net, data.validation)
        write_json(file, {"scores": curve.scores, "losses": curve.losses})


def tuned(config: RunConfig, folder: Path, name: str, seed: int) -> ac.Network:
    """A network of ``folder`` that has learned SST-2."""
    model = replace(config.model, init=str(folder), **NETWORKS[name][0])
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


class Study:
    """The networks, each trained where runs/language does not hold it yet."""

    def __init__(self, data: Path) -> None:
        words = read_config(ROOT / "recipes" / "bert-mlm-cpu.yaml")
        task = read_config(ROOT / "recipes" / "glue-sst2-cpu.yaml")
        novels = replace(words.data, name=str(data / "english_novels_100"))
        self.words = replace(words, data=novels)
        self.task = replace(task, data=replace(task.data, name=str(data / "sst2")))
        self.rows: list[dict[str, Any]] = []
        self.nets: dict[str, ac.Network] = {}

    def network(self, name: str) -> None:
        """Pretrain one network and fine-tune it with every seed."""
        layers = self.kept("annealed") if name == "shallow" else int(self.words.model.depth or 12)
        folder = pretrained(self.words, name, layers)
        data = self.data(folder)
        for seed in SEEDS:
            net = tuned(self.task, folder, name, seed)
            self.rows.append(row(net, data, self.task, name, seed))
            self.nets.setdefault(name, net)

    def data(self, folder: Path) -> Splits:
        """SST-2, by the tokenizer of a pretrained network."""
        return replace(self.task, model=replace(self.task.model, init=str(folder))).load()

    def kept(self, name: str) -> int:
        """How many layers its rule keeps of a network: the median over the seeds."""
        return int(statistics.median_low(r["selected"] for r in self.rows if r["network"] == name))

    def record(self) -> dict[str, Any]:
        """What was found, with what it costs, measured side by side."""
        data = self.data(RUNS / "pretrained-ACN")
        cuts = {f"{name} cut": net.cut(self.kept(name)) for name, net in self.nets.items()}
        nets = {**self.nets, **cuts}
        costs = measure_together(nets, example_of(data.validation, nets["ACN"]))
        corpus = self.words.load()
        return {
            "recipes": ["bert-mlm-cpu", "glue-sst2-cpu"],
            "tokens": self.words.fit.epochs * len(corpus.train) * int(self.words.data.length or 0),
            "words": corpus.description,
            "task": data.description,
            "environment": environment(torch.device("cpu")),
            "rows": self.rows,
            "costs": {name: cost.to_json() for name, cost in costs.items()},
            "pretrained": {
                name: json.loads((RUNS / f"pretrained-{name}" / "curve.json").read_text())
                for name in NETWORKS
            },
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--network", choices=list(NETWORKS)[:3], help="train this one, and no more")
    args = parser.parse_args()
    torch.set_num_threads(1)
    study = Study(args.data)
    for name in NETWORKS if args.network is None else (args.network,):
        study.network(name)
    if args.network is None:
        write_json(RESULT, study.record())


if __name__ == "__main__":
    main()
