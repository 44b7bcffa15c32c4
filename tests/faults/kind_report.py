"""Mutated report.json of a run of ``acn compress``: damaged, and sealed again as a stranger can."""

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
    "compress",
    *("--data.train_limit", "100", "--model.name", "mlp", "--model.depth", "2"),
    *("--model.width", "4", "--fit.epochs", "1", "--select.layers", "1"),
)


def trial(rng: random.Random, folder: Path) -> list[str]:
    """Write a mutated run into ``folder``; return the words of a command that reads it."""
    (folder / "run").mkdir()
    for name in ("report.json", "config.yaml", "sealed.json"):
        shutil.copy(finished_run(*RUN) / name, folder / "run")
    path = folder / "run" / "report.json"
    text, way = path.read_text(), rng.random()
    if way < 0.2:
        path.write_bytes(flipped(text.encode(), rng))
    elif way < 0.4:
        path.write_text(damaged(text, rng), encoding="utf-8", errors="surrogatepass")
    else:
        path.write_text(json.dumps(altered(json.loads(text), rng)))
    if rng.random() < 0.7:
        seal(path)
    return ["report", str(folder / "run")]
