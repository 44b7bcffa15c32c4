"""Find all examples of a set that cannot be used: to name them together, or to leave them out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import groupby
from typing import Any

from autocompress.data.decode import ImageDecoder, UnlikeError
from autocompress.data.listing import some
from autocompress.errors import DataError

__all__ = [
    "all_named",
    "check_rows",
    "fitting_decoder",
    "is_blank",
    "place_of",
    "unreadable",
    "without",
]

#: Number of broken examples that a message names, and of those that only differ from the first.
_NAMED, _ALIKE = 10, 3


def fitting_decoder(
    cells: Any, count: int, channels: int | None, image_size: int | None
) -> ImageDecoder:
    """Return the decoder for a set: the one for the first image that can be read.

    Args:
        cells: Encoded images of train, indexed by lists of ints.
        count: Their number.
        channels: Number of channels, or None.
        image_size: Side of the squares, or None.

    Raises:
        DataError: No image can be read; the message is about the first.
    """
    first: DataError | None = None
    for row in range(count):
        try:
            return ImageDecoder.like(cells[[row]][0], channels, image_size, f"image {row} of train")
        except DataError as error:
            first = first or error
    raise first or DataError("the train split is empty")


def unreadable(cells: Any, count: int, decoder: ImageDecoder, split: str) -> dict[int, str]:
    """Return the rows of images that cannot be decoded, each with the reason.

    An image of another size or colour than the first is readable.
    """
    return {
        row: said
        for row, said, readable in _faults(cells, range(count), decoder, split)
        if not readable
    }


def _faults(
    cells: Any, rows: Sequence[int], decoder: ImageDecoder, split: str
) -> Iterator[tuple[int, str, bool]]:
    """Yield the row, the reason and whether the image is readable, for images that do not fit."""
    for row in rows:
        try:
            decoder.batch(cells[[row]], [row], split)
        except DataError as error:
            yield row, str(error), isinstance(error, UnlikeError)


@contextmanager
def all_named(sources: Mapping[str, Any]) -> Iterator[None]:
    """Decode images inside the context; an error about one of them becomes one about all.

    Args:
        sources: Sources by split, of which those that decode on demand are searched.
    """
    try:
        yield
    except DataError as error:
        parts = [source.encoded() for source in sources.values() if hasattr(source, "encoded")]
        parts.sort(key=lambda part: part[3])  # parts of one split are named in its order
        found = [
            fault
            for _, group in groupby(parts, key=lambda part: part[3])
            for fault in sorted(fault for part in group for fault in _faults(*part))
        ]
        if not found:
            raise
        total = sum(len(source) for source in sources.values())
        raise DataError(_told(found, total) + _odd_one(parts, found, total)) from error


def _odd_one(
    parts: Sequence[tuple[Any, ...]], found: Sequence[tuple[int, str, bool]], total: int
) -> str:
    """Return a line about the image that all are compared with, if most differ from it."""
    if 2 * sum(fits for _, _, fits in found) <= total:
        return ""
    cells = next((part[0] for part in parts if part[3] == "train"), None)
    if cells is None:
        return ""
    bad = {row for row, _, _ in found}
    row = next((row for row in range(len(bad) + 1) if row not in bad), 0)
    name = (cells[[row]][0] or {}).get("path")
    return (
        f"\nMost images differ from the first, image {row} of train{f' ({name})' if name else ''}: "
        "if it is the odd one, leave it out"
    )


def _told(found: Sequence[tuple[int, str, bool]], total: int) -> str:
    readable = all(each[2] for each in found)
    hint = "" if readable else "; --data.skip_broken true leaves out those that cannot be read"
    if len(found) == 1:
        return found[0][1] + hint
    groups = (
        ("cannot be read", [said for _, said, fits in found if not fits], _NAMED),
        ("have another size or colour", [said for _, said, fits in found if fits], _ALIKE),
    )
    lines = []
    for what, those, most in groups:
        if those:
            lines += [f"{len(those)} {what}:", *(f"  {said}" for said in those[:most])]
            lines += [f"  and {len(those) - most} more"] if len(those) > most else []
    return "\n".join([f"{len(found)} of {total} images cannot be used{hint}", *lines])


def without(rows: Mapping[str, Mapping[int, Any]], names: Mapping[str, Sequence[str]]) -> list[str]:
    """Return a remark on what was left out of each split; none if nothing was.

    Args:
        rows: Reasons why examples are left out, by split and row.
        names: Names of all examples, by split.
    """
    return [
        f"{len(bad)} of {len(names[role])} examples of {role} left out (data.skip_broken): "
        f"{some([names[role][row] for row in bad], _NAMED)}"
        for role, bad in rows.items()
        if bad
    ]


def is_blank(cell: Any) -> bool:
    """Return whether a cell of a table holds nothing."""
    return cell is None or (isinstance(cell, str) and not cell.strip())


def place_of(rows: Any, row: int, split: str) -> str:
    """Return where a row is: the file and its line where known, otherwise its number."""
    lines = getattr(rows, "lines", None)
    return f"row {row} of {split}" if lines is None else str(lines(row))


def check_rows(found: Mapping[str, Any], bad: Mapping[str, Mapping[int, str]]) -> None:
    """Raise one DataError about all rows of a table that cannot be used; nothing if there are none.

    Args:
        found: The ``datasets.Dataset`` of each split.
        bad: Words for the fault of each bad row, by split.
    """
    said = [
        (f"{place_of(found[role], row, role)} has ", rows[row])
        for role, rows in bad.items()
        for row in sorted(rows)
    ]
    if not said:
        return
    total = sum(len(rows) for rows in found.values())
    hint = "leave such rows out by --data.skip_broken true"
    if len(said) == 1:
        raise DataError(f"{''.join(said[0])}; fill the cell or remove the row, or {hint}")
    lines = [f"  {place}{reason}" for place, reason in said[:_NAMED]]
    lines += [f"  and {len(said) - _NAMED} more"] if len(said) > _NAMED else []
    raise DataError(
        "\n".join(
            [
                f"{len(said)} of {total} rows cannot be used; fill the cells or remove the rows, "
                f"or {hint}",
                *lines,
            ]
        )
    )
