"""Mutated report.json of a run of ``acn compress``: damaged, and sealed again as a stranger can."""

from __future__ import annotations

import functools
import json
import random
import shutil
import tempfile
from pathlib import Path

from autocompress.io.seal import seal
from faults.kind_config import altered
from faults.mutations import damaged, flipped
from faults.watch import watched

TINY = (
    *("--data.train_limit", "100", "--model.name", "mlp", "--model.depth", "2"),
    *("--model.width", "4", "--fit.epochs", "1", "--select.layers", "1"),
)


@functools.cache
def _original() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="acn-faults-")) / "run"
    outcome = watched(["compress", *TINY, "--output", str(folder)])
    assert outcome.status == 0, outcome.said
    return folder


def trial(rng: random.Random, folder: Path) -> list[str]:
    """Write a mutated run into ``folder``; return the words of a command that reads it."""
    (folder / "run").mkdir()
    for name in ("report.json", "config.yaml", "sealed.json"):
        shutil.copy(_original() / name, folder / "run")
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
