"""Detect files with equal content, which must not be in two splits."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from pathlib import Path

import torch
from torch import Tensor

from autocompress.data.listing import some
from autocompress.errors import DataError

__all__ = ["check_apart", "contents", "loosened", "repeated", "same_content", "told_apart"]

_AT_A_TIME = 2**20


def contents(splits: Mapping[str, Sequence[Path]]) -> dict[str, list[bytes]]:
    """Return a key for every file that is equal for files with the same bytes.

    A file is read only if another one has the same size.

    Args:
        splits: Files by split.

    Raises:
        DataError: A file cannot be read.
    """
    try:
        sizes = {role: [file.stat().st_size for file in files] for role, files in splits.items()}
        common = Counter(size for some_sizes in sizes.values() for size in some_sizes)
        return {
            role: [
                size.to_bytes(8, "big") + (_digest(file) if common[size] > 1 else b"")
                for file, size in zip(files, sizes[role], strict=True)
            ]
            for role, files in splits.items()
        }
    except OSError as error:
        raise DataError(f"{error.filename} cannot be read: {error.strerror}") from None


def _digest(file: Path) -> bytes:
    digest = hashlib.blake2b(digest_size=20)
    with file.open("rb") as stream:
        while chunk := stream.read(_AT_A_TIME):
            digest.update(chunk)
    return digest.digest()


def check_apart(
    keys: Mapping[str, Sequence[bytes]], names: Mapping[str, Sequence[str]], where: str
) -> None:
    """Check that no content is in two splits.

    Args:
        keys: Keys of :func:`contents`, by split.
        names: Names of the same files.
        where: Name of the set, for the message.

    Raises:
        DataError: Some content is in two splits; the message names it.
    """
    for role, other in combinations(keys, 2):
        first = dict(zip(keys[role], names[role], strict=True))
        pairs = [
            f"{name} = {first[key]}"
            for key, name in zip(keys[other], names[other], strict=True)
            if key in first
        ]
        if pairs:
            raise DataError(
                f"{where}: {len(pairs)} of {len(keys[other])} files of {other} are also in {role}, "
                f"byte for byte ({some(pairs, 5)}); a score on them would say nothing. Remove them "
                f"from one of the two"
            )


def same_content(keys: Sequence[bytes]) -> Tensor:
    """Return for each file the index of the first one with its content, int64 (n,)."""
    first: dict[bytes, int] = {}
    return torch.tensor([first.setdefault(key, n) for n, key in enumerate(keys)], dtype=torch.long)


def loosened(
    copies: Tensor, labels: Tensor, parts: int, classes: Sequence[str]
) -> tuple[Tensor, list[str]]:
    """Let copies of one image go to several splits where a class has too few different images.

    A class of 20 files that all hold the same image cannot be divided without copies on both
    sides. It is divided by file all the same, and a remark says what its scores are worth.

    Args:
        copies: Result of :func:`same_content`, (n,).
        labels: Labels of the same files, int64 (n,).
        parts: Number of splits that these files are divided into.
        classes: Class names by label.

    Returns:
        The numbers, in which each file of such a class has one of its own, and the remarks.

    Example:
        >>> loosened(torch.tensor([0, 0, 0, 3, 4]), torch.tensor([0, 0, 0, 1, 1]), 2, ["a", "b"])[0]
        tensor([0, 1, 2, 3, 4])
    """
    result, remarks = copies.clone(), []
    for label in torch.unique(labels).tolist():
        rows = (labels == label).nonzero()[:, 0]
        different = len(torch.unique(copies[rows]))
        if different < min(parts, len(rows)):
            result[rows] = rows
            images = "1 different image" if different == 1 else f"{different} different images"
            remarks.append(
                f"class {classes[label]!r} has {images} in {len(rows)} files: copies of one image "
                "are in several splits, so its scores say nothing about new images"
            )
    return result, remarks


def repeated(rows: Mapping[str, Iterable[bytes]], things: str) -> list[str]:
    """Return remarks on splits that contain examples of train.

    Args:
        rows: Content of each example, by split, train first.
        things: Word for the examples.

    Example:
        >>> repeated({"train": [b"a", b"b"], "test": [b"b", b"c", b"b"]}, "images")
        ['2 of 3 images of test are also in train, e.g. number 0']
    """
    said = []
    known: set[int] = set()
    for role, some_rows in rows.items():
        hashes = [hash(row) for row in some_rows]
        if role == "train":
            known = set(hashes)
            continue
        found = [number for number, key in enumerate(hashes) if key in known]
        if found:
            said.append(
                f"{len(found)} of {len(hashes)} {things} of {role} are also in train, e.g. number "
                f"{found[0]}"
            )
    return said


def told_apart(copies: Tensor, labels: Sequence[int], names: Sequence[str]) -> list[str]:
    """Return pairs of files with equal content and different classes, as ``one = other``.

    Args:
        copies: Result of :func:`same_content`, (n,).
        labels: Labels of the same files.
        names: Names of the same files.
    """
    firsts = enumerate(copies.tolist())
    return [f"{names[n]} = {names[k]}" for n, k in firsts if labels[n] != labels[k]]
