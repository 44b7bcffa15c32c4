"""Convert the labels of a table, in any form that people write, to class numbers.

A ClassLabel keeps its numbers and names. Words, booleans and whole numbers become classes in the
order of the words or numbers and under those names, whatever gaps there are between them.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from autocompress.data.broken import place_of, without
from autocompress.data.listing import some
from autocompress.errors import DataError

__all__ = [
    "Labels",
    "can_be_labels",
    "check_labels",
    "check_taught",
    "encode_labels",
    "kept_rows",
    "unlabelled",
]

#: A whole number; one of more digits than Python reads as a number stays a word.
_WHOLE = re.compile(r"[+-]?(0|[1-9]\d{0,599})(\.0*)?")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")

#: Number of classes accepted without question, however few examples each of them has.
_FEW = 100


@dataclass(frozen=True)
class Labels:
    """Labels by split.

    Args:
        numbers: Class numbers of every split that has labels, int64 (n,).
        classes: Class names by number.
        notes: A sentence for each split whose labels are hidden.
        remarks: Further remarks.
    """

    numbers: dict[str, Tensor]
    classes: list[str]
    notes: dict[str, str] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)


def can_be_labels(feature: Any) -> bool:
    """Return whether a column of this type can hold classes."""
    kind = str(getattr(feature, "dtype", ""))
    words = kind in ("string", "large_string", "bool", "bool_") or kind.startswith("float")
    return _holds_integers(feature) or (type(feature).__name__ == "Value" and words)


def _holds_integers(feature: Any) -> bool:
    """Return whether a column of this type holds a ClassLabel or integers."""
    if hasattr(feature, "names"):
        return True
    dtype = str(getattr(feature, "dtype", ""))
    return type(feature).__name__ == "Value" and dtype.startswith(("int", "uint"))


def check_labels(labels: Tensor, split: str, classes: Sequence[str]) -> None:
    """Raise DataError for a label that is not the number of a class of train."""
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= len(classes):
        raise DataError(
            f"{split} labels run from {low} to {high}; the {len(classes)} classes of train are "
            f"0..{len(classes) - 1}"
        )


def check_taught(labels: Mapping[str, Tensor], classes: Sequence[str]) -> list[str]:
    """Check that train has an example of every class that another split has.

    Args:
        labels: Class numbers by split, train first.
        classes: Class names by number.

    Returns:
        A remark for each split that lacks classes of train.

    Raises:
        DataError: Train has no example of a class, as its few examples went to other splits.
    """
    present = {role: set(numbers.tolist()) for role, numbers in labels.items()}
    untaught = sorted(set().union(*present.values()) - present["train"])
    if untaught:
        names = [classes[label] for label in untaught]
        raise DataError(
            f"train has no example of {some(names)}, only other splits have: too few to be split; "
            "add examples, or remove the class"
        )
    return [
        f"{role} has no example of {some([classes[n] for n in sorted(present['train'] - own)])}"
        for role, own in present.items()
        if present["train"] - own
    ]


def encode_labels(found: Mapping[str, Any], column: str) -> Labels:
    """Return the labels of every split that has any.

    A split other than train hides its labels if the column is missing or empty, or holds a single
    negative number throughout that train lacks.

    Args:
        found: The ``datasets.Dataset`` of each split, train first.
        column: Name of the label column.

    Raises:
        DataError: A cell has no label, a class is in one split only, labels are fractions, there
            are as many classes as examples, or fewer than two.
    """
    features = {role: rows.features.get(column) for role, rows in found.items()}
    cells = {role: _cells(rows, column) for role, rows in found.items()}
    shown, notes = _shown(cells)
    _check_filled(shown, column, found)
    if hasattr(features["train"], "names"):
        return _named(shown, {role: features[role] for role in shown}, notes)
    return _encoded(shown, column, notes)


def _cells(rows: Any, column: str) -> list[Any] | None:
    """Return the cells as numbers, or as stripped words; None if the column is missing or empty."""
    if column not in rows.features:
        return None
    if str(getattr(rows.features[column], "dtype", "")) == "null":
        return [None] * len(rows)
    if not can_be_labels(rows.features[column]):
        raise DataError(f"label column {column!r} holds {rows.features[column]}, no labels")
    cells = rows.with_format("arrow")[:].column(column).to_pylist()
    return [_cell(cell) for cell in cells]


def _cell(cell: Any) -> Any:
    if isinstance(cell, str):
        return cell.strip() or None
    if isinstance(cell, bool):
        return str(cell)
    if isinstance(cell, float):
        if math.isnan(cell):
            return None
        return int(cell) if cell.is_integer() else cell
    return cell


def _shown(
    cells: Mapping[str, list[Any] | None],
) -> tuple[dict[str, list[Any]], dict[str, str]]:
    """Return the splits that have labels, and a note on each of the others."""
    shown, notes = {}, {}
    ours = set(cells["train"] or [])
    for role, column in cells.items():
        values = set(column or [None])
        if role == "train" or (values - {None} and not _is_hidden(values, ours)):
            shown[role] = column or []
        else:
            word = "no labels" if values == {None} else str(min(values))
            notes[role] = f"the set's {role} split is unlabelled ({word})"
    return shown, notes


def _is_hidden(values: set[Any], ours: set[Any]) -> bool:
    """Return whether labels are hidden as on the hub: all of them -1, which train does not have."""
    (value, *more) = values
    return not more and isinstance(value, int) and value < 0 and not values & ours


def _check_filled(
    cells: Mapping[str, Sequence[Any]], column: str, found: Mapping[str, Any]
) -> None:
    for role, values in cells.items():
        rows = [n for n, value in enumerate(values) if value is None]
        if not rows:
            continue
        which, has = some([str(n) for n in rows]), "has" if len(rows) == 1 else "have"
        which = f"row{'' if len(rows) == 1 else 's'} {which} of {role}"
        counted = ", counted from 0"
        if hasattr(found[role], "lines"):  # where an editor shows them
            which, counted = some([found[role].lines(n) for n in rows[:8]]), ""
            which += f" and {len(rows) - 8} more" if len(rows) > 8 else ""
        raise DataError(
            f"{which} {has} no label in column {column!r} ({len(rows)} of {len(values)}{counted}); "
            "fill the cell or remove the row, or leave such rows out by --data.skip_broken true"
        )


def unlabelled(rows: Any, column: str) -> dict[int, str]:
    """Return the rows without a label; none if the split hides all its labels."""
    cells = _cells(rows, column)
    empty = [n for n, cell in enumerate(cells or []) if cell is None]
    said = f"no label in column {column!r}"
    return {} if len(empty) == len(rows) else dict.fromkeys(empty, said)


def kept_rows(
    found: Mapping[str, Any], bad: Mapping[str, Mapping[int, Any]]
) -> tuple[dict[str, Any], list[str]]:
    """Return the splits without their bad rows, and remarks on these.

    Args:
        found: The ``datasets.Dataset`` of each split.
        bad: Rows to leave out, by split.

    Raises:
        DataError: A split has no other rows.
    """
    kept, names = dict(found), {}
    for role, rows in found.items():
        out = bad.get(role, {})
        names[role] = [place_of(rows, n, role) if n in out else "" for n in range(len(rows))]
        if out:
            numbers = [n for n in range(len(rows)) if n not in out]
            if not numbers:
                raise DataError(f"the {role} split has no row that can be used")
            kept[role] = rows.select(numbers)
            if hasattr(rows, "lines"):
                kept[role].lines = lambda n, of=rows.lines, at=numbers: of(at[n])
    return kept, without(bad, names)


def _named(
    cells: Mapping[str, Sequence[int]], features: Mapping[str, Any], notes: dict[str, str]
) -> Labels:
    """Return labels by the names that train declares; other splits may order them differently."""
    names = list(features["train"].names)
    numbers = {}
    for role, values in cells.items():
        own = list(getattr(features[role], "names", names))
        wrong = [value for value in values if not 0 <= int(value) < len(own)]
        if wrong:
            raise DataError(
                f"{role} has a label {wrong[0]}; expected 0..{len(own) - 1} ({len(own)} named "
                "classes)"
            )
        strange = sorted({own[value] for value in values} - set(names))
        if strange:
            raise DataError(f"classes that train does not name, in {role}: {some(strange)}")
        order = torch.tensor([names.index(n) if n in names else -1 for n in own])
        numbers[role] = order[torch.tensor(values, dtype=torch.long)]
    taught = set(numbers["train"].tolist())
    for role, labels in numbers.items():
        untaught = [names[label] for label in sorted(set(labels.tolist()) - taught)]
        if untaught:
            raise DataError(f"classes without an example in train, but in {role}: {some(untaught)}")
    idle = [name for label, name in enumerate(names) if label not in taught]
    said = [f"classes without an example, which nothing teaches: {some(idle)}"] if idle else []
    return Labels(numbers, names, notes, said)


def _encoded(cells: Mapping[str, Sequence[Any]], column: str, notes: dict[str, str]) -> Labels:
    """Return the labels of words and numbers, in their order."""
    cells = _as_numbers(cells, column)
    classes = sorted(set(cells["train"]))
    _check_classes(cells, column, len(classes))
    numbers = {value: number for number, value in enumerate(classes)}
    encoded = {
        role: torch.tensor([numbers[value] for value in values], dtype=torch.long)
        for role, values in cells.items()
    }
    return Labels(encoded, [str(value) for value in classes], notes)


def _as_numbers(cells: Mapping[str, Sequence[Any]], column: str) -> Mapping[str, Sequence[Any]]:
    """Return numbers if all cells are numbers, including those read as words; else the words."""
    words = {str(value) for values in cells.values() for value in values}
    if all(_NUMBER.fullmatch(word) for word in words) and any("." in w for w in words):
        broken = sorted(word for word in words if not float(word).is_integer())
        if broken:
            raise DataError(
                f"label column {column!r} holds fractions ({some(broken)}): numbers to predict, "
                "not classes; make words or whole numbers of them"
            )
    if all(_WHOLE.fullmatch(word) for word in words):
        return {role: [int(str(v).split(".")[0]) for v in vs] for role, vs in cells.items()}
    return {role: [str(value) for value in values] for role, values in cells.items()}


def _check_classes(cells: Mapping[str, Sequence[Any]], column: str, classes: int) -> None:
    """Raise DataError for labels that are not classes, or not the same ones in all splits."""
    train = cells["train"]
    if classes > _FEW and 2 * classes > len(train):
        raise DataError(
            f"label column {column!r} holds {classes} different values in {len(train)} rows of "
            "train: these are not classes; name another column by data.label_column"
        )
    counts = {role: Counter(values) for role, values in cells.items()}
    lists = []
    for role, own in counts.items():
        others = [set(other) for name, other in counts.items() if name != role]
        lonely = sorted(set(own).difference(*others)) if others else []
        if lonely:
            lists.append(f"only in {role}: {some([f'{v} ({own[v]} rows)' for v in lonely])}")
    everywhere: set[Any] = set().union(*counts.values())
    strange = sorted(everywhere - set(counts["train"]))
    if strange and not lists:
        lists = [f"not in train: {some([str(value) for value in strange])}"]
    if lists:
        raise DataError(
            f"column {column!r} has classes {'; '.join(lists)}. Every class needs examples in "
            "train and in what it is judged by: add them, write the same class the same way, or "
            "remove the rows"
        )
    if classes < 2:
        raise DataError(
            f"all {len(train)} labels of train are {train[0]!r} (column {column!r}); at least two "
            "classes are needed"
        )
