"""Recognise the data of a run: data.json keeps a digest of every split and the class names."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from autocompress.data import SequenceSource, Splits, StreamSource, TensorSource
from autocompress.data.listing import some
from autocompress.data.tokens import MaskedSource, NextTokenSource, TextSource
from autocompress.errors import CheckpointError
from autocompress.io.header import read_json

__all__ = ["DATA", "changes_since", "description_of"]

#: Name of the file in a run folder.
DATA = "data.json"

#: Bytes of a split that are hashed whole; of a larger one, rows at equal distances are.
_MOST_BYTES = 2**28

#: Pictures of a table that are read for a digest, at equal distances.
_MOST_PICTURES = 1000

#: Cells that are read from a table at a time.
_AT_A_TIME = 100


def description_of(data: Splits) -> dict[str, Any]:
    """Return data.json: what the data are, with the class names and a digest of every split."""
    digests = {split: _digest(getattr(data, split)) for split in data.sizes}
    names = list(data.classes)
    return {"name": data.name, **data.description, "class_names": names, "digests": digests}


def changes_since(run: Path, data: Splits) -> list[str]:
    """Return in words how the data differ from those that a run began with.

    Args:
        run: Run folder; one without data.json tells nothing, one of an earlier version the sizes.
        data: The data as they are now, loaded with the settings of the run.

    Raises:
        CheckpointError: data.json is damaged.
    """
    file = run / DATA
    held = read_json(file) if file.is_file() else {}
    if not isinstance(held, dict):
        raise CheckpointError(f"{file} is truncated or damaged: it is no mapping")
    counts, digests = held.get("counts"), held.get("digests")
    for key, value in (("counts", counts), ("digests", digests)):
        if value is not None and not isinstance(value, dict):
            raise CheckpointError(f"{file} is truncated or damaged: {key} is no mapping")
    now = {} if digests is None else description_of(data)
    changed = []
    if now and held.get("class_names") != now["class_names"]:
        before = some([str(name) for name in held.get("class_names") or ()])
        changed.append(f"classes {before} -> {some(now['class_names'])}")
    for split, size in data.sizes.items():
        was = (counts or {}).get(split, size)
        if was != size:
            changed.append(f"{split} {was} -> {size} examples")
        elif digests is not None and digests.get(split) != now["digests"][split]:
            changed.append(f"{split}: other examples, or another order")
    return changed


def _digest(source: Any) -> str:
    """Return a short hash of a split: its size, its labels, and what :func:`_content` yields."""
    found = hashlib.sha256(str(len(source)).encode())
    if isinstance(labels := getattr(source, "labels", None), Tensor):
        found.update(_bytes(labels))
    for part in _content(source):
        found.update(part)
    return found.hexdigest()[:16]


def _content(source: Any) -> Iterator[bytes | memoryview]:
    """Yield what the examples of a source hold; nothing for one that is drawn anew."""
    if isinstance(source, StreamSource):
        yield from _encoded(source)
    elif isinstance(source, TextSource):  # without padding, which depends on other texts
        yield from source.rows()
    elif isinstance(source, TensorSource):
        yield _bytes(source.images)
    elif isinstance(source, SequenceSource):
        yield _bytes(source.drawn.ids)
    elif isinstance(source, (MaskedSource, NextTokenSource)):
        yield _bytes(source.rows.rows)


def _bytes(rows: Tensor) -> memoryview:
    rows = rows[:: -(-rows.nbytes // _MOST_BYTES) or 1]
    return rows.cpu().contiguous().flatten().view(torch.uint8).numpy().data


def _encoded(source: StreamSource) -> Iterator[bytes]:
    """Yield the names and sizes of picture files, or some of the pictures in a table, undecoded."""
    items, rows, _, _ = source.encoded()
    if rows and _stored(items[rows[:1]][0]) is not None:
        rows = rows[:: -(-len(rows) // _MOST_PICTURES)]
    for start in range(0, len(rows), _AT_A_TIME):
        for cell in items[rows[start : start + _AT_A_TIME]]:
            yield _stored(cell) or _named((cell or {}).get("path"))


def _stored(cell: Any) -> bytes | None:
    """Return the encoded picture in a cell; None if the cell only names its file."""
    return (cell or {}).get("bytes")


def _named(path: str | None) -> bytes:
    """Return name, folder and size of a file; not the whole path, as the set may have moved."""
    if path is None or not os.path.isfile(path):
        return f"\0{path}".encode()
    return f"\0{'/'.join(Path(path).parts[-2:])} {os.path.getsize(path)}".encode()
