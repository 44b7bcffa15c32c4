"""Images in a folder for each class, as sources that decode on demand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from autocompress.data.broken import fitting_decoder, unreadable, without
from autocompress.data.config import DataConfig
from autocompress.data.copies import check_apart, contents, same_content, told_apart
from autocompress.data.files import IMAGES
from autocompress.data.folders import class_folder
from autocompress.data.listing import some
from autocompress.data.registry import RawSplits
from autocompress.data.sources import StreamSource
from autocompress.errors import ConfigError, DataError

__all__ = ["raw_splits", "read_image_folder"]


def raw_splits(sources: dict[str, StreamSource], **more: Any) -> RawSplits:
    """Return sources by split as a set with the given other attributes."""
    others = sources.get("validation"), sources.get("test")
    return RawSplits(sources["train"], validation=others[0], test=others[1], **more)


def read_image_folder(path: Path, config: DataConfig) -> RawSplits:
    """Return the images of a folder, each once; see :mod:`autocompress.data.folders`."""
    if config.image_column or config.label_column:
        raise ConfigError(
            f"data.image_column and data.label_column are for tables; {config.name} is a folder of "
            "images, whose folders are the classes"
        )
    found = class_folder(path, config.name, IMAGES)
    files = {role: [file for file, _ in items] for role, items in found.splits.items()}
    numbers = {role: [number for _, number in items] for role, items in found.splits.items()}
    names = {role: [str(f.relative_to(path)) for f in those] for role, those in files.items()}
    cells = {role: _Files(those) for role, those in files.items()}
    decoder = fitting_decoder(
        cells["train"], len(files["train"]), config.channels, config.image_size
    )
    left_out: list[str] = []
    if config.skip_broken:
        bad = {r: unreadable(cells[r], len(those), decoder, r) for r, those in files.items()}
        left_out = without(bad, names)
        kept = {r: [n for n in range(len(those)) if n not in bad[r]] for r, those in files.items()}
        files = {r: [those[n] for n in kept[r]] for r, those in files.items()}
        names = {r: [those[n] for n in kept[r]] for r, those in names.items()}
        numbers = {r: [those[n] for n in kept[r]] for r, those in numbers.items()}
        _check_left(numbers["train"], found.classes, config.name)
        cells = {role: _Files(those) for role, those in files.items()}
    keys = contents(files)
    check_apart(keys, names, config.name)
    copies = same_content(keys["train"])
    twice = told_apart(copies, numbers["train"], names["train"])
    remarks = (
        found.left_out
        + left_out
        + (
            [f"{len(twice)} images of train have two classes, byte for byte: {some(twice, 5)}"]
            if twice
            else []
        )
    )
    sources = {
        role: StreamSource(cells[role], torch.tensor(numbers[role]), decoder, role)
        for role in files
    }
    return raw_splits(sources, classes=found.classes, copies=copies, remarks=remarks)


def _check_left(numbers: list[int], classes: list[str], name: str) -> None:
    """Raise DataError for a class that has no image left."""
    empty = [label for number, label in enumerate(classes) if number not in set(numbers)]
    if empty:
        raise DataError(
            f"{name}: no image of {some(empty)} can be read, so nothing teaches this class: "
            "put images there or remove it"
        )


class _Files:
    """Images in files, as cells like those of a table."""

    def __init__(self, files: list[Path]) -> None:
        self._files = files

    def __getitem__(self, indices: list[int]) -> list[dict[str, Any]]:
        return [{"bytes": None, "path": str(self._files[index])} for index in indices]
