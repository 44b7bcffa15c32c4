"""A folder of texts by class: ``CLASS/*.txt``, or ``train/CLASS/*.txt``, ``test/CLASS/*.txt``."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from autocompress.data.folders import SPLITS, role_of
from autocompress.data.listing import some
from autocompress.errors import DataError

__all__ = ["has_classes_of_texts", "read_text_folder"]

_SUFFIX = ".txt"

#: Number of files of a folder that are looked at to tell what it holds.
_LOOKED_AT = 200

#: Largest size of a text in bytes.
_MOST_BYTES = 2**24


def has_classes_of_texts(root: Path) -> bool:
    """Return whether a folder holds texts by class and nothing else that could be examples."""
    try:
        folders = _folders(root)
        return len(folders) > 0 and any(
            _holds_texts(folder) or any(map(_holds_texts, _folders(folder))) for folder in folders
        )
    except OSError:
        return False


def _holds_texts(folder: Path) -> bool:
    first = [f for f in islice(folder.iterdir(), _LOOKED_AT) if not f.name.startswith(".")]
    return any(_is_text(file) for file in first) and all(
        file.suffix.lower() in ("", _SUFFIX, ".md") for file in first if file.is_file()
    )


def _is_text(path: Path) -> bool:
    return path.suffix.lower() == _SUFFIX and path.is_file() and not path.name.startswith(".")


def _folders(path: Path) -> list[Path]:
    return sorted(f for f in path.iterdir() if f.is_dir() and not f.name.startswith("."))


def read_text_folder(root: Path, name: str) -> dict[str, Any]:
    """Return the texts of a folder by split, as ``datasets.Dataset`` with columns text and label.

    The outermost folders are splits if all of them have the name of one and hold folders;
    otherwise they are classes. A class has the texts in its folder and below.

    Args:
        root: The folder.
        name: Name that the user gave, for messages.

    Raises:
        DataError: Texts are outside a class, a folder is neither a split nor a class, a file is
            not UTF-8 or too large, or there are fewer than two classes.
    """
    folders = [folder for folder in _folders(root) if any(folder.rglob(f"*{_SUFFIX}"))]
    splits = {folder: role_of(folder.name) for folder in folders}
    named = [folder.name for folder, role in splits.items() if role]
    inner = all(_folders(folder) for folder in folders)
    if named and inner and len(named) < len(folders):
        others = [folder.name for folder in folders if folder.name not in named]
        raise DataError(
            f"{name}: {some(named)} looks like a split beside {some(others)}; if it is one, move "
            "the others out, otherwise put its texts directly into it"
        )
    by_role: dict[str, Path] = {"train": root}
    if named and inner:
        by_role = {}
        for folder, role in splits.items():
            if role in by_role:
                raise DataError(f"{name} has two folders for {role}; keep one")
            by_role[str(role)] = folder
        if "train" not in by_role:
            raise DataError(f"{name} has no train split, but {some(named)}")
    return {role: _read(by_role[role], name) for role in SPLITS if role in by_role}


def _read(root: Path, name: str) -> Any:
    """Return the texts of one split."""
    import datasets

    outside = [file.name for file in sorted(root.iterdir()) if _is_text(file)]
    if outside:
        raise DataError(
            f"{name}: {len(outside)} texts ({some(outside)}) lie beside the class folders of "
            f"{root.name}, in none of them; move each into the folder of its class, or out of the "
            "set"
        )
    files = {folder.name: _texts(folder) for folder in _folders(root)}
    files = {label: found for label, found in files.items() if found}
    if len(files) < 2:
        raise DataError(f"{name} has texts of one class, {some(list(files))}; two are needed")
    paths = [path for found in files.values() for path in found]
    labels = [label for label, found in files.items() for _ in found]
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
    rows = datasets.Dataset.from_dict({"text": texts, "label": labels})
    rows.lines = [str(path) for path in paths].__getitem__
    return rows


def _texts(folder: Path) -> Sequence[Path]:
    return sorted(path for path in folder.rglob(f"*{_SUFFIX}") if _is_text(path))


def _text(path: Path) -> str:
    if path.stat().st_size > _MOST_BYTES:
        raise DataError(f"is larger than {_MOST_BYTES >> 20} MiB")
    return path.read_text(encoding="utf-8-sig")
