"""Compare the time of loading and training with that at another commit.

    python benchmarks/cost.py --against COMMIT [--rounds 9] [--json RESULT]

One process per commit holds its own networks and does the same work on request: it loads a saved
network or trains a few epochs. The two processes take turns, on one thread each. A ratio compares
the smallest processor times; the median of the rounds' ratios is shown beside it as a check.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from checkout import ROOT, source_at

BERT = {
    "vocab_size": 2000,
    "hidden_size": 64,
    "num_hidden_layers": 6,
    "num_attention_heads": 4,
    "intermediate_size": 128,
}


def networks() -> dict[str, Callable[[], Any]]:
    """Return functions that build a network, by name."""
    import autocompress as ac

    models = ac.models
    image = {"classes": 10, "image_size": 32, "channels": 3}
    return {
        "MLP, 4 x 32": lambda: models.MLP(depth=4, width=32, classes=10, image_size=8, channels=1),
        "ViT, 12 x 192": lambda: models.ViT(depth=12, width=192, heads=3, patch_size=4, **image),
        "timm vit_tiny": lambda: ac.convert("timm:vit_tiny_patch16_224", "acn"),
        "transformers BERT, 6 x 64": lambda: ac.convert("hf:BertModel", "acn", arguments=BERT),
    }


def trainings() -> dict[str, Callable[[], Any]]:
    """Return functions that train a new network, by name."""
    import torch
    from torch.utils.data import TensorDataset

    import autocompress as ac

    generator = torch.Generator().manual_seed(0)
    digits = ac.load_data()
    images = TensorDataset(torch.randn(256, 3, 32, 32, generator=generator), torch.arange(256) % 10)
    image = {"classes": 10, "image_size": 32, "channels": 3}

    def fit(net: Any, data: Any, validation: Any, epochs: int) -> None:
        config = ac.FitConfig(epochs=epochs, batch_size=64, warmup_epochs=0)
        ac.fit(net, data, validation, config, progress=False)

    def mlp() -> Any:
        return ac.models.MLP(depth=8, width=64, classes=10, image_size=8, channels=1)

    def mixer() -> Any:
        return ac.models.Mixer(depth=6, width=64, patch_size=8, **image)

    def vit() -> Any:
        options = {"img_size": 32, "patch_size": 8, "embed_dim": 96, "depth": 6, "num_heads": 3}
        options |= {"num_classes": 10}
        return ac.convert("timm:vit_tiny_patch16_224", "acn", arguments=options)

    return {
        "MLP on the digits": lambda: fit(mlp(), digits.train, digits.validation, 8),
        "Mixer": lambda: fit(mixer(), images, images, 2),
        "timm ViT, converted": lambda: fit(vit(), images, images, 2),
    }


def serve() -> None:
    """Do the work that each line of stdin names, and print its processor time as a line."""
    import torch

    sys.path.insert(0, str(ROOT / "tests"))
    import autocompress as ac
    import conftest  # noqa: F401  (transformers imports, as in the tests)

    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    answers, sys.stdout = sys.stdout, sys.stderr
    with tempfile.TemporaryDirectory() as folder:
        work: dict[str, Callable[[], Any]] = {}
        for name, build in networks().items():
            torch.manual_seed(0)
            ac.save(build(), Path(folder) / name)
            work[f"load {name}"] = lambda path=Path(folder) / name: ac.load(path)
        for name, train in trainings().items():
            work[f"train {name}"] = train
        print(json.dumps(list(work)), file=answers, flush=True)
        for line in sys.stdin:
            do = work[json.loads(line)]
            start = time.process_time()
            do()
            print(time.process_time() - start, file=answers, flush=True)


class Side:
    """A process that uses the library in the folder ``source``."""

    def __init__(self, source: Path) -> None:
        environment = {**os.environ, "PYTHONPATH": str(source), "OMP_NUM_THREADS": "1"}
        words = [sys.executable, __file__, "--serve"]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        self.process = subprocess.Popen(words, env=environment, text=True, **pipes)  # type: ignore[call-overload]
        self.work: list[str] = json.loads(self.process.stdout.readline())

    def seconds(self, work: str) -> float:
        self.process.stdin.write(json.dumps(work) + "\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline())

    def end(self) -> None:
        self.process.stdin.close()
        self.process.wait()


def compare(before: Side, now: Side, rounds: int) -> list[dict[str, Any]]:
    """Return the times of all work on both sides, and their ratios."""
    rows = []
    for work in now.work:
        times: list[tuple[float, float]] = []
        before.seconds(work), now.seconds(work)  # the first time imports modules
        for number in range(rounds * (3 if work.startswith("load") else 1)):
            if number % 2:
                late = now.seconds(work)
                times.append((before.seconds(work), late))
            else:
                early = before.seconds(work)
                times.append((early, now.seconds(work)))
        least = [min(side) for side in zip(*times, strict=True)]
        middle = statistics.median(late / early for early, late in times)
        rows.append(
            {
                "work": work,
                "before_ms": round(1000 * least[0], 2),
                "now_ms": round(1000 * least[1], 2),
                "ratio": round(least[1] / least[0], 3),
                "median_ratio": round(middle, 3),
            }
        )
        print(f"{work:34} {rows[-1]}", file=sys.stderr, flush=True)
    return rows


def main() -> None:
    """Parse the options, compare, and print the result as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--against", help="commit to compare with")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--json", type=Path, help="file for the result")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    words = parser.parse_args()
    if words.serve:
        serve()
        return
    if not words.against:
        parser.error("--against COMMIT is needed")
    with source_at(words.against) as source:
        before, now = Side(source), Side(ROOT / "src")
        found = {"against": words.against, "rounds": words.rounds}
        found["rows"] = compare(before, now, words.rounds)
        before.end(), now.end()
    text = json.dumps(found, indent=1)
    print(text)
    if words.json:
        words.json.write_text(text + "\n")


if __name__ == "__main__":
    main()
