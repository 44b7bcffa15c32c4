"""Mutated config.json of saved networks: damaged, edited, and forged with hashes that are right."""

from __future__ import annotations

import copy
import functools
import json
import random
import shutil
import tempfile
import warnings
from pathlib import Path
from typing import Any

import autocompress as ac
from faults.mutations import damaged, flipped, odd
from folders import as_format_1, forge
from hosts import host
from models_table import make

#: Networks whose folders are mutated.
NETWORKS = (
    "mlp",
    "mixer",
    "vit-authors",
    "branched",
    "encoder",
    "decoder",
    "bert",
    "llama",
    "timm",
)

#: Values that a stranger may put anywhere.
VALUES: list[Any] = [
    *(None, True, False, 0, 1, -1, 2, 3, 7, 64, 10**5, 10**7, 10**9, 10**30, -(10**9)),
    *(0.0, 0.5, -1.5, 1e30, 1e-30, "", "x", "acn", "residual", "mixer", "hf:BertModel"),
    *("hf:user/name", "timm:hf_hub:user/name", "../..", "eager", "kernels-community/x"),
    *([], [1], [0.5, 0.5, 0.5, 0.5], ["x"], {}, {"name": "hyper", "streams": 9}, {"a": {"b": []}}),
    *({"name": "dense", "channels": 10**6}, {"trust_remote_code": True}, {"pad": 0}),
    *([[[[[[[[[[]]]]]]]]]], {"scale": 0}, {"modules": {"head": {"class": "Identity"}}}),
]

KEYS = ("trust_remote_code", "auto_map", "pretrained", "num_labels", "format", "model", "changes")


@functools.cache
def originals() -> dict[str, Path]:
    """A folder of each network, made once."""
    home = Path(tempfile.mkdtemp(prefix="acn-faults-"))
    options = {"img_size": 16, "patch_size": 4, "embed_dim": 16, "depth": 2, "num_heads": 2}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in NETWORKS:
            if name == "timm":
                net: ac.Network = ac.convert("timm:vit_tiny_patch16_224", "acn", arguments=options)
            elif name in ("bert", "llama"):
                net = ac.cut(ac.convert(host(f"hf-{name}"), "acn"), 2)
            else:
                net = make(name, "learned")
            ac.save(net, home / name)
    return {name: home / name for name in NETWORKS}


def places(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a value of JSON, by the keys that lead there."""
    found = [at] if at else []
    pairs = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in pairs:
        found += places(inner, (*at, key)) if isinstance(inner, (dict, list)) else [(*at, key)]
    return found


def altered(config: dict[str, Any], rng: random.Random) -> dict[str, Any]:
    """A config with one to three values changed, taken away or added."""
    changed = copy.deepcopy(config)
    for _ in range(rng.randint(1, 3)):
        *path, key = rng.choice(places(changed))
        holder = functools.reduce(lambda inner, one: inner[one], path, changed)
        way = rng.random()
        if way < 0.15 and isinstance(holder, dict):
            holder[rng.choice([*KEYS, odd(rng)])] = copy.deepcopy(rng.choice(VALUES))
        elif way < 0.3:
            del holder[key]
        elif way < 0.5 and type(holder[key]) in (int, float):
            holder[key] = rng.choice([holder[key] + 1, holder[key] * 1000, -holder[key]])
        else:
            holder[key] = copy.deepcopy(rng.choice(VALUES))
        if not places(changed):
            break
    return changed


def trial(rng: random.Random, folder: Path) -> list[str]:
    """Write a mutated folder into ``folder``; return the words of a command that reads it."""
    name = rng.choice(NETWORKS)
    net = Path(shutil.copytree(originals()[name], folder / "net"))
    path = net / "config.json"
    if rng.random() < 0.25:
        as_format_1(net)
    way, text = rng.random(), path.read_text()
    if way < 0.15:
        path.write_bytes(flipped(text.encode(), rng))
    elif way < 0.3:
        path.write_text(damaged(text, rng), encoding="utf-8", errors="surrogatepass")
    else:
        config = altered(json.loads(text), rng)
        path.write_text(json.dumps(config))
        if way > 0.5:
            forge(net)
    more = rng.choice([["measure"], ["cut", "--depth", "1", "--output", str(folder / "out")]])
    return [more[0], str(net), *more[1:]]
