"""Texts that a tiny network can learn from, as files."""

from __future__ import annotations

import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

GOOD = ["good", "great", "fine", "lovely"]
BAD = ["bad", "poor", "awful", "dull"]
OTHER = ["film", "actor", "plot", "scene", "story", "music", "light", "voice"]


def passages(count: int, seed: int = 0) -> list[str]:
    """Sentences in which adjectives keep to their kind."""
    draw = random.Random(seed)
    texts = []
    for _ in range(count):
        kind = draw.choice([GOOD, BAD])
        words = [w for _ in range(6) for w in (draw.choice(kind), draw.choice(OTHER), "and")]
        texts.append(" ".join(words[:-1]) + ".")
    return texts


def sentences(count: int, seed: int = 0) -> tuple[list[str], list[int]]:
    """A noun with an adjective, and 1 where it is a good one."""
    draw = random.Random(seed)
    labels = [i % 2 for i in range(count)]
    texts = [
        " ".join([draw.choice(OTHER), draw.choice(GOOD if label else BAD)] * draw.randint(1, 3))
        for label in labels
    ]
    return texts, labels


def write_corpus(folder: Path, train: int = 120) -> Path:
    """train, validation and test.parquet of passages."""
    folder.mkdir(parents=True, exist_ok=True)
    for seed, (split, count) in enumerate((("train", train), ("validation", 16), ("test", 16))):
        pq.write_table(pa.table({"text": passages(count, seed)}), folder / f"{split}.parquet")
    return folder


def write_sentences(folder: Path, train: int = 200) -> Path:
    """train and validation.parquet with labels, and a test.parquet whose labels are hidden."""
    folder.mkdir(parents=True, exist_ok=True)
    for seed, (split, count) in enumerate((("train", train), ("validation", 60), ("test", 10))):
        texts, labels = sentences(count, seed)
        hidden = [-1] * count if split == "test" else labels
        table = pa.table({"sentence": texts, "label": hidden})
        pq.write_table(table, folder / f"{split}.parquet")
    return folder
