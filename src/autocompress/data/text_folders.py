"""A folder of texts by class: ``CLASS/*.txt``, or ``train/CLASS/*.txt``, ``test/CLASS/*.txt``."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from autocompress.data.files import PICTURES, TEXTS
from autocompress.data.folders import class_folder
from autocompress.data.listing import some
from autocompress.errors import DataError

__all__ = ["has_classes_of_texts", "read_text_folder"]

#: Number of files of a folder that are looked at to tell what it holds.
_LOOKED_AT = 200

#: Largest size of a text in bytes.
_MOST_BYTES = 2**24


def has_classes_of_texts(root: Path) -> bool:
    """Return whether a folder holds texts by class: more folders of texts than of pictures."""
    try:
        folders = [inner for outer in _folders(root) for inner in (outer, *_folders(outer))]
        texts = sum(map(_holds_texts, folders))
        return texts > 0 and texts > sum(map(_holds_pictures, folders))
    except OSError:
        return False


def _holds_texts(folder: Path) -> bool:
    files = _files(folder)
    return any(map(TEXTS.holds, files)) and all(
        file.suffix.lower() in ("", TEXTS.suffix, ".md") for file in files
    )


def _holds_pictures(folder: Path) -> bool:
    return any(file.suffix.lower() in PICTURES for file in _files(folder))


def _files(folder: Path) -> list[Path]:
    first = islice(folder.iterdir(), _LOOKED_AT)
    return [file for file in first if not file.name.startswith(".") and file.is_file()]


def _folders(path: Path) -> list[Path]:
    return sorted(f for f in path.iterdir() if f.is_dir() and not f.name.startswith("."))


def read_text_folder(root: Path, name: str) -> tuple[dict[str, Any], list[str]]:
    """Return the texts of a folder by split, and remarks on what is left out.

    A split is a ``datasets.Dataset`` with columns text and label. Splits and classes are found as
    in a folder of images; see :mod:`autocompress.data.folders`.

    Args:
        root: The folder.
        name: Name that the user gave, for messages.

    Raises:
        DataError: As for :func:`autocompress.data.folders.class_folder`, or a file is not UTF-8 or
            too large.
    """
    found = class_folder(root, name, TEXTS)
    splits = {role: _read(items, found.classes) for role, items in found.splits.items()}
    return splits, found.left_out


def _read(items: Sequence[tuple[Path, int]], classes: Sequence[str]) -> Any:
    """Return the texts of one split, sorted by class and then by path."""
    import datasets

    items = sorted(items, key=lambda item: (item[1], item[0]))
    paths = [path for path, _ in items]
    texts, faults = [], []
    for path in paths:
        try:
            texts.append(_text(path))
        except (DataError, OSError, UnicodeDecodeError) as error:
            said = "is not UTF-8" if isinstance(error, UnicodeDecodeError) else str(error)
            faults.append(f"{path} {said}")
    if faults:
        raise DataError(
            f"{len(faults)} of {len(paths)} texts cannot be read; convert them, e.g. by iconv -f "
            f"latin1 -t utf-8, or take them out: {some(faults, 10)}"
        )
    labels = [classes[number] for _, number in items]
    rows = datasets.Dataset.from_dict({"text": texts, "label": labels})
    rows.lines = [str(path) for path in paths].__getitem__
    return rows


def _text(path: Path) -> str:
    if path.stat().st_size > _MOST_BYTES:
        raise DataError(f"is larger than {_MOST_BYTES >> 20} MiB")
    return path.read_text(encoding="utf-8-sig")
