"""A folder of tables: find its files, and the split of each by its name."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path

from autocompress.data.folders import SPLITS, role_of, split_word
from autocompress.data.listing import some
from autocompress.errors import DataError

__all__ = ["by_split", "tables_of"]

#: Suffix of files that are a corpus where nothing else is, and otherwise notes.
_PLAIN = ".txt"


def tables_of(path: Path, suffixes: Collection[str]) -> list[Path]:
    """Return a folder's tables, or those of its folder ``data`` as on the hub, of the first kind.

    Args:
        path: The folder.
        suffixes: Suffixes of tables, those that come first before the others.

    Raises:
        DataError: The splits are of several kinds, of which some would be lost.
    """
    by_suffix: dict[str, list[Path]] = {}
    for suffix in suffixes:
        found = next(filter(None, _tables(path, suffix)), None)
        if found:
            by_suffix[suffix] = found
    kinds = [k for k, found in by_suffix.items() if k != _PLAIN and any(map(_role, found))]
    if len(kinds) > 1:
        names = [file.name for kind in kinds for file in by_suffix[kind] if _role(file)]
        raise DataError(
            f"the folder {path} has splits of several kinds ({some(names)}); keep those of one"
        )
    return next((by_suffix[kind] for kind in [*kinds, *by_suffix]), [])


def by_split(
    name: str, path: Path, tables: list[Path], suffixes: Collection[str]
) -> tuple[dict[str, list[Path]], list[str]]:
    """Return tables by split, train first, and remarks on those that are in none.

    Plain texts whose names give no split all belong to train.

    Args:
        name: Name that the user gave, for messages.
        path: The folder.
        tables: Its tables, as :func:`tables_of` returns them.
        suffixes: Suffixes of tables.

    Raises:
        DataError: There is no train split, or the name of a table is like a split's and is none.
    """
    by_role = {role: [f for f in tables if _role(f) == role] for role in SPLITS}
    suffix = tables[0].suffix.lower()
    if not by_role["train"]:
        if suffix != _PLAIN or any(by_role.values()):
            raise DataError(
                f"the folder {name} has no train{suffix} or train-*{suffix}, but "
                f"{', '.join(f.name for f in tables[:10])}"
            )
        by_role["train"] = tables
    used = {file for shards in by_role.values() for file in shards}
    every = [file for kind in suffixes for found in _tables(path, kind) for file in found]
    remarks = _left_out(name, path, [file for file in every if file not in used], suffix)
    return {role: shards for role, shards in by_role.items() if shards}, remarks


def _left_out(name: str, path: Path, rest: list[Path], suffix: str) -> list[str]:
    """Return a remark on tables that are in no split, beside others with this suffix."""
    notes = [] if suffix == _PLAIN else [_PLAIN]
    names = {str(f.relative_to(path)): f.suffix.lower() not in notes and f.stem for f in rest}
    like = [shown for shown, stem in names.items() if stem and split_word(stem)]
    twice = [str(f.relative_to(path)) for f in rest if f.parent != path and _role(f)]
    if twice:
        raise DataError(
            f"{name} has tables both in it and in its folder data ({some(twice)}): keep one"
        )
    if like:
        raise DataError(
            f"{name}: {some(like)} would be left out, although its name is like that of a split; "
            f"begin the name with train, validation or test (test-2{suffix}), or move it out"
        )
    return [f"left out, in no split: {some(list(names))}"] if names else []


def _tables(path: Path, suffix: str) -> list[list[Path]]:
    """Return the tables of this kind in a folder, and in its folder ``data``."""
    places = [place for place in (path, path / "data") if place.is_dir()]
    return [sorted(f for f in place.iterdir() if _is_table(f, suffix)) for place in places]


def _is_table(file: Path, suffix: str) -> bool:
    return file.suffix.lower() == suffix and file.is_file() and not file.name.startswith(".")


def _role(file: Path) -> str | None:
    """Return the split named by a file, as in train.csv or test-00000-of-00002.parquet."""
    return role_of(re.split(r"[-_.]", file.stem)[0])
