"""Compare losses and weights with those at another commit, bit for bit, after a refactoring.

    python benchmarks/same_results.py --against COMMIT [--only TEXT]

The script trains a tiny network for each model and connectivity of tests/models_table.py and for
each training option, and runs `acn compress` on images and on texts: with this version of the
library and with the one at COMMIT, on the CPU with one thread. All losses, all scores by depth and
a hash of the weights must be equal; otherwise the differences are printed and the exit status is 1.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from checkout import ROOT, source_at

#: Training options by name of the case; each trains a Mixer.
OPTIONS: dict[str, dict[str, Any]] = {
    "anneal": {"path": "anneal"},
    "anneal-top": {"path": {"order": "top", "shape": "cosine"}},
    "live": {"live": {"tolerance": 0.5, "patience": 1}},
    "grow": {"grow": {}},
    "ema": {"ema": 0.9},
    "ema-live": {"ema": 0.9, "live": {"tolerance": 0.5, "patience": 1}},
    "ema-grow": {"ema": 0.9, "grow": {}, "path": "anneal"},
    "layer-drop": {"layer_drop": 0.5, "layer_drop_grows": True},
    "movement": {"prune": {"share": 0.5, "score": "movement"}},
    "magnitude": {"prune": {"share": 0.5, "score": "magnitude"}},
    "distil": {"distil": {}},
    "mediated": {"mediated": 0.5},
    "sgd": {"optimizer": "sgd", "lr": 0.05},
    "linear": {"schedule": "linear", "layer_decay": 0.8},
    "smoothing": {"label_smoothing": 0.0, "clip_norm": None, "warmup_epochs": 0},
}

#: Whole runs: the options of ``acn compress``.
RUNS = {
    "images": "--model.depth 3 --model.width 16 --fit.epochs 4 --fit.batch_size 32 --fit.lr 0.005",
    "texts": "--data.task text-classification --data.name {texts} --model.name encoder "
    "--model.depth 3 --model.width 16 --model.heads 2 --fit.epochs 6 "
    "--fit.batch_size 16 --fit.lr 0.005 "
    "--data.length 16 --data.vocabulary 60",
}


def digest(net: Any) -> str:
    """Return the SHA-256 of names, shapes and bytes of all parameters and buffers."""
    total = hashlib.sha256()
    for name, tensor in sorted(net.state_dict().items()):
        total.update(f"{name}{tuple(tensor.shape)}".encode())
        total.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return total.hexdigest()


def trainings() -> Iterator[tuple[str, Any]]:
    """Yield the name of every case, and a function that trains it and returns JSON."""
    import torch

    import autocompress as ac
    import models_table as table
    from autocompress import training

    def fit(model: str, rule: str, **options: Any) -> dict[str, Any]:
        net = table.make(model, rule, seed=3)
        x = table.inputs(model, batch=48, seed=5)
        y = torch.arange(len(x)) % 3
        if model.startswith("decoder"):
            y = torch.cat([x[:, 1:], x[:, :1]], 1)
        elif table.reads_tokens(model):
            y = torch.where(
                torch.rand(x.shape, generator=torch.Generator().manual_seed(1)) < 0.5,
                x,
                torch.full_like(x, -100),
            )
        config = {"epochs": 3, "batch_size": 16, "warmup_epochs": 1.0, **options}
        for key, kind in (
            ("path", ac.PathConfig),
            ("live", ac.LiveConfig),
            ("grow", ac.GrowConfig),
            ("prune", ac.PruneConfig),
            ("distil", ac.DistilConfig),
        ):
            if isinstance(config.get(key), dict):
                config[key] = kind(**config[key])
        path = config.pop("path", None)
        data = torch.utils.data.TensorDataset(x, y)
        run = training.fit(net, data, data, ac.FitConfig(**config), path=path, progress=False)
        history = [{k: v for k, v in row.items() if "second" not in k} for row in run.history]
        return {"history": history, "weights": digest(net)}

    rules = [*table.CONNECTIVITIES, *table.RIVALS]
    for model in table.MODELS:
        for rule in rules:
            yield f"{model} {rule}", lambda m=model, r=rule: fit(m, r)
    for name, options in OPTIONS.items():
        yield f"option {name}", lambda o=options: fit("mixer", "scheduled", **o)
    for name, words in RUNS.items():
        yield f"run {name}", lambda w=words: whole_run(w)


def whole_run(words: str) -> dict[str, Any]:
    """Return metrics, scores and weights of both networks, as ``acn compress`` writes them."""
    import autocompress as ac
    from autocompress.cli import main

    with tempfile.TemporaryDirectory() as folder:
        texts = Path(folder) / "texts"
        texts.mkdir()
        for split, count in (("train", 120), ("test", 40)):
            lines = [
                f"word{i % 7} {'good' if i % 2 else 'bad'} word{i % 5},{i % 2}"
                for i in range(count)
            ]
            (texts / f"{split}.csv").write_text("\n".join(["text,label", *lines]) + "\n")
        out = Path(folder) / "run"
        status = main(["compress", *words.format(texts=texts).split(), "--output", str(out)])
        assert status == 0, f"acn compress ended with status {status}"
        metrics = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
        report = json.loads((out / "report.json").read_text())
        scored = ("depths", "full", "small", "baseline", "shallow")
        return {
            "metrics": [{k: v for k, v in row.items() if "second" not in k} for row in metrics],
            "report": {key: accuracies(report.get(key)) for key in scored},
            "weights": {name: digest(ac.load(out / name)) for name in ("model", "small")},
        }


def accuracies(part: Any) -> Any:
    """Return the scores in a part of the report, without times."""
    if isinstance(part, list):
        return [accuracies(row) for row in part]
    if not isinstance(part, dict):
        return part
    return {
        k: v for k, v in part.items() if k in ("depth", "test", "validation", "accuracy", "loss")
    }


def write(out: Path, only: str) -> None:
    """Run every case and write its results."""
    sys.path.insert(0, str(ROOT / "tests"))
    import torch

    torch.set_num_threads(1)
    found = {}
    for name, run in trainings():
        if only in name:
            try:
                found[name] = run()
            except Exception as error:  # an equal error on both sides is an equal result
                found[name] = {"error": f"{type(error).__name__}: {error}"}
            print(".", end="", file=sys.stderr, flush=True)
    out.write_text(json.dumps(found))


def results(source: Path, only: str) -> dict[str, Any]:
    """Return the results of the library in the folder ``source``."""
    environment = {**os.environ, "PYTHONPATH": str(source), "OMP_NUM_THREADS": "1"}
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "results.json"
        words = [sys.executable, __file__, "--write", str(out), "--only", only]
        subprocess.run(words, check=True, env=environment, stdout=subprocess.DEVNULL)
        print(file=sys.stderr)
        found: dict[str, Any] = json.loads(out.read_text())
    return found


def compare(before: dict[str, Any], now: dict[str, Any]) -> int:
    """Print the differences; return the exit status."""
    differ = [name for name in sorted(before | now) if before.get(name) != now.get(name)]
    for name in differ:
        print(f"differs: {name}\n  before {str(before.get(name))[:600]}")
        print(f"  now    {str(now.get(name))[:600]}")
    failed = [name for name, result in now.items() if "error" in result]
    for name in failed:
        print(f"failed on both sides: {name}: {now[name]['error'][:300]}")
    print(f"{len(now) - len(set(failed))} results, {len(differ)} differ")
    return int(bool(differ or failed))


def main() -> int:
    """Parse the options and compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--against", help="commit to compare with")
    parser.add_argument("--only", default="", help="run only cases whose name contains this text")
    parser.add_argument("--write", type=Path, help=argparse.SUPPRESS)
    words = parser.parse_args()
    if words.write:
        write(words.write, words.only)
        return 0
    if not words.against:
        parser.error("--against COMMIT is needed")
    with source_at(words.against) as source:
        before = results(source, words.only)
    return compare(before, results(ROOT / "src", words.only))


if __name__ == "__main__":
    sys.exit(main())
