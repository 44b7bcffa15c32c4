"""Mutated recipes, and mutated config.yaml of a run. Nothing here gets as far as training."""

from __future__ import annotations

import random
from pathlib import Path

from faults.mutations import damaged, flipped
from faults.networks import tiny_run

RECIPES = sorted((Path(__file__).parents[2] / "recipes").glob("*.yaml"))

FULL = """\
data: {name: digits, validation: 0.2, classes: [0, 1, 2], seed: 0}
augment: {flip: false, mixup: 0.0}
model:
  name: mlp
  depth: 2
  width: 8
  arguments: {a: 1e-3, b: [1, {c: null}], d: "off"}
fit: &fit
  epochs: 1
  lr: 1e-3
  compile: off
  betas: [0.9, 0.999]
  path: {start: 0.2, stop: 0.7, inner: 1.0}
  distil: {at: {1: 0.5}, teacher: labels}
control: {<<: *fit, epochs: 3}
select: {tolerance: 0.005}
rivals: no
"""


def trial(rng: random.Random, folder: Path) -> list[str]:
    """Write a mutated file into ``folder``; return the words of a command that reads it."""
    reader = rng.choice(["train", "compress", "stream", "probe", "report"])
    if reader in ("probe", "report"):
        file = tiny_run(folder) / "config.yaml"
        text = file.read_text()
        words = [reader, str(folder / "run")]
    else:
        file = folder / "recipe.yaml"
        text = rng.choice([FULL, *(path.read_text() for path in RECIPES)])
        words = [reader, "--config", str(file), "--output", str(folder / "out"), "--print_config"]
    if rng.random() < 0.3:
        file.write_bytes(flipped(text.encode(), rng))
    else:
        file.write_text(damaged(text, rng), encoding="utf-8", errors="surrogatepass")
    return words
