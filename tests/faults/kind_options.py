"""Options of a run with values at their edges: data are loaded, the network is built and tried.

``--select.layers`` asks for more layers than any network has, which is found out before training.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_origin

from autocompress.pipeline import RunConfig
from autocompress.pipeline.values import arms, hints_of, section_of

TINY = (
    *("--data.train_limit", "100", "--model.depth", "1", "--model.width", "8"),
    *("--fit.epochs", "1", "--select.layers", "1000000"),
)
MODELS = ["mlp", "mixer", "vit"]

#: Numbers at the edges of what options take.
WHOLE = [0, -1, 1, 2, 3, 4, 7, 8, 100, 10**6, 10**9, 10**12, 2**63 - 1, -(2**63)]
REAL = ["0", "-1", "1", "0.5", "2", "-0.5", "1e-300", "1e30", "1e300", "-1e30"]

#: They name files, sets and networks, and are tried elsewhere.
OTHER = ("data.name", "model.source", "model.init", "control_init", "data.tokenizer", "model.name")


def leaves(config: type, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the dotted options that take a value, with their types."""
    for name, hint in hints_of(config).items():
        section = section_of(hint)
        if section is None:
            yield f"{prefix}{name}", hint
        else:
            yield from leaves(section, f"{prefix}{name}.")


KEYS = {key: hint for key, hint in leaves(RunConfig) if not key.startswith((*OTHER, "select"))}
CLOSE = [key for key in KEYS if key.startswith(("data.", "model."))]


def value(hint: Any, rng: random.Random) -> str:
    """Return a value that the type allows, as a word."""
    hint = rng.choice(arms(hint))
    items = get_args(hint)
    if hint is type(None):
        return "null"
    if hint is bool:
        return rng.choice(["true", "false"])
    if hint is int:
        return str(rng.choice(WHOLE))
    if hint is float:
        return rng.choice(REAL)
    if get_origin(hint) in (list, tuple):
        many = rng.randint(0, 4) if items[1:] in ((), (...,)) else len(items)
        return f"[{', '.join(value(items[0], rng) for _ in range(many))}]"
    if get_origin(hint) is dict:
        return rng.choice(["{}", "{1: 0.5}", "{9: 2.0}", "{x: 1}"])
    return rng.choice([str(item) for item in items] or ["x", "learned", "acn", "tied", "fixed"])


def trial(rng: random.Random, folder: Path) -> list[str]:
    """Return the words of a run with one to three odd options; it never trains."""
    words = ["compress", *TINY, "--output", str(folder / "out")]
    words += ["--model.name", rng.choice(MODELS)]
    for key in rng.choices(CLOSE if rng.random() < 0.8 else list(KEYS), k=rng.randint(1, 3)):
        words += [f"--{key}={value(KEYS[key], rng)}"]
    return words
