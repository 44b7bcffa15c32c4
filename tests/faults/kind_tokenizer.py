"""Mutated tokenizer.json of a saved network: damaged, and forged with hashes that are right."""

from __future__ import annotations

import functools
import hashlib
import json
import random
import shutil
import tempfile
from pathlib import Path
from typing import Any

import autocompress as ac
from autocompress.data import Tokenizer
from autocompress.data.tokenizer import train_tokenizer
from faults.kind_config import altered
from faults.mutations import damaged, flipped
from folders import forge

TEXTS = ["the cat sat on the mat", "a dog ate the cat", "on the mat a dog sat"] * 5


@functools.cache
def _original() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="acn-faults-")) / "net"
    tokenizer: Tokenizer = train_tokenizer(TEXTS, 60)
    net = ac.models.Decoder(depth=2, width=8, vocabulary=tokenizer.size, length=12, heads=2)
    net.tokenizer = tokenizer.text
    ac.save(net, folder)
    return folder


def _forge(net: Path, data: bytes) -> None:
    (net / "tokenizer.json").write_bytes(data)
    forge(net, tokenizer_sha256=hashlib.sha256(data).hexdigest())


def trial(rng: random.Random, folder: Path) -> list[str]:
    """Write a mutated folder into ``folder``; return the words of a command that reads it."""
    net = Path(shutil.copytree(_original(), folder / "net"))
    text = (net / "tokenizer.json").read_text()
    way = rng.random()
    if way < 0.3:
        data = flipped(text.encode(), rng)
    elif way < 0.5:
        data = damaged(text, rng).encode("utf-8", "surrogatepass")
    else:
        said: Any = altered(json.loads(text), rng)
        data = json.dumps(said).encode()
    if rng.random() < 0.3:
        (net / "tokenizer.json").write_bytes(data)
    else:
        _forge(net, data)
    prompt = rng.choice(["the cat", "", "[SEP] \u2028 xyz", "a" * 500])
    return ["generate", str(net), "--prompt", prompt, "--new", "3"]
