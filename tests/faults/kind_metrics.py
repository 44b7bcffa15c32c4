"""Mutated metrics.jsonl of a finished run: damaged, and sealed again as a stranger can."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path

from autocompress.io.seal import seal
from faults.kind_config import altered
from faults.mutations import damaged, flipped
from faults.networks import finished_run

#: The run whose files are mutated.
RUN = (
    "train",
    *("--data.train_limit", "100", "--model.name", "mlp", "--model.depth", "1"),
    *("--model.width", "4", "--fit.epochs", "3"),
)


def _changed(text: str, rng: random.Random) -> str:
    """One record with other values, or lines in another order."""
    lines = text.splitlines()
    place = rng.randrange(len(lines))
    if rng.random() < 0.8:
        lines[place] = json.dumps(altered(json.loads(lines[place]), rng))
    else:
        rng.shuffle(lines)
        del lines[rng.randint(0, len(lines)) :]
    return "".join(f"{line}\n" for line in lines)


def trial(rng: random.Random, folder: Path) -> list[str]:
    """Write a mutated run into ``folder``; return the words of a command that reads it."""
    run = Path(shutil.copytree(finished_run(*RUN), folder / "run"))
    path = run / "metrics.jsonl"
    text, way = path.read_text(), rng.random()
    if way < 0.25:
        path.write_bytes(flipped(text.encode(), rng))
    elif way < 0.5:
        path.write_text(damaged(text, rng), encoding="utf-8", errors="surrogatepass")
    else:
        path.write_text(_changed(text, rng))
    if rng.random() < 0.7:
        seal(path)
    return ["train", "--config", str(run / "config.yaml"), "--output", str(run), "--resume", "true"]
