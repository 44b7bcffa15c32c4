"""Which column holds the images and which the labels, and whether the labels can be used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from autocompress.errors import DataError, nearest

__all__ = [
    "check_labels",
    "class_names",
    "image_column",
    "label_column",
    "read_labels",
    "shown_labels",
    "text_columns",
]

_USUAL_TEXTS = ("text", "sentence")
_USUAL = ("label", "labels", "fine_label", "target", "targets", "class", "y")


def image_column(features: Any, wanted: str | None) -> str:
    """Name of the image column.

    Args:
        features: of a ``datasets.Dataset``.
        wanted: the column the user named, if any.

    Raises:
        DataError: no such column, none, or several and none named.
    """
    found: list[str] = [name for name in features if _holds_images(features[name])]
    if wanted is not None:
        _check_exists(features, wanted, "image")
        if wanted not in found:
            raise DataError(
                f"column {wanted!r} holds {_type(features[wanted])}, not images; "
                f"{_listing(features)}"
            )
        return wanted
    if len(found) == 1:
        return found[0]
    if found:
        raise DataError(
            f"several columns hold images ({', '.join(found)}): say which by data.image_column"
        )
    raise DataError(f"no column holds images; {_listing(features)}")


def text_columns(features: Any, wanted: str | None, second: str | None) -> list[str]:
    """Names of the text column, and of that of second sentences where one is named.

    Args:
        features: of a ``datasets.Dataset``.
        wanted: the column the user named, if any.
        second: the same for the second sentences.

    Raises:
        DataError: no such column, none that holds texts, or several and none named.
    """
    found: list[str] = [name for name in features if _holds_texts(features[name])]
    for name in (wanted, second):
        if name is not None:
            _check_exists(features, name, "text")
            if name not in found:
                raise DataError(
                    f"column {name!r} holds {_type(features[name])}, not texts; "
                    f"{_listing(features)}"
                )
    if wanted is None:
        rest = [name for name in found if name != second]
        usual = [name for name in _USUAL_TEXTS if name in rest]
        if not rest:
            raise DataError(f"no column holds texts; {_listing(features)}")
        if len(rest) > 1 and not usual:
            raise DataError(
                f"several columns hold texts ({', '.join(rest)}): say which by data.text_column, "
                "and by data.second_column the second sentence of a pair"
            )
        wanted = (usual or rest)[0]
    return [wanted] if second is None else [wanted, second]


def label_column(features: Any, wanted: str | None) -> str:
    """Name of the label column: a ClassLabel, or integers under a usual name.

    Args:
        features: of a ``datasets.Dataset``.
        wanted: the column the user named, if any.

    Raises:
        DataError: no such column, not integers, none, or several and none named.
    """
    if wanted is not None:
        _check_exists(features, wanted, "label")
        if not _holds_integers(features[wanted]):
            raise DataError(
                f"label column {wanted!r} holds {_type(features[wanted])}; expected integers or "
                f"ClassLabel: datasets' class_encode_column({wanted!r}) makes them"
            )
        return wanted
    found: list[str] = [name for name in features if hasattr(features[name], "names")]
    found = found or [n for n in _USUAL if n in features and _holds_integers(features[n])]
    if len(found) == 1:
        return found[0]
    usual = [name for name in _USUAL if name in found]
    if usual:
        return usual[0]
    if found:
        raise DataError(
            f"several columns hold labels ({', '.join(found)}): say which by data.label_column"
        )
    raise DataError(
        "no column holds labels (a ClassLabel, or integers named "
        f"{', '.join(_USUAL)}); {_listing(features)}"
    )


def read_labels(rows: Any, column: str, split: str) -> Tensor:
    """The labels of a ``datasets.Dataset`` as int64 (n,).

    Raises:
        DataError: empty cells, or something else than integers.
    """
    feature = rows.features[column]
    if not _holds_integers(feature):
        raise DataError(f"label column {column!r} of {split} holds {_type(feature)}, not integers")
    cells = rows.with_format("arrow")[:].column(column)
    if cells.null_count:
        raise DataError(f"{cells.null_count} of {len(cells)} labels of {split} are empty")
    return torch.from_numpy(cells.to_numpy().astype(np.int64))


def shown_labels(found: Mapping[str, Any], column: str) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The labels of every split that has any, int64 (n,), and a note on each that hides them.

    Args:
        found: the ``datasets.Dataset`` of each split.
        column: of the labels.

    Raises:
        DataError: as :func:`read_labels`.
    """
    labels, notes = {}, {}
    for split, rows in found.items():
        numbers = read_labels(rows, column, split)
        if split != "train" and bool((numbers < 0).all()):  # the hub's way to hide labels
            notes[split] = f"the set's {split} split is unlabelled ({int(numbers[0])})"
        else:
            labels[split] = numbers
    return labels, notes


def check_labels(labels: Tensor, split: str, classes: Sequence[str]) -> None:
    """Raises DataError for a label that is no number of one of train's classes."""
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= len(classes):
        raise DataError(
            f"{split} labels run from {low} to {high}; the {len(classes)} classes of train are "
            f"0..{len(classes) - 1}"
        )


def class_names(feature: Any, labels: Tensor) -> list[str]:
    """Names of the classes: the ClassLabel's, else the numbers 0..largest.

    Raises:
        DataError: a label that is negative, beyond the names, or cannot be a class number.
    """
    low, high = int(labels.min()), int(labels.max())
    names = list(getattr(feature, "names", None) or [])
    most = len(names) or max(1000, len(labels))
    if low < 0 or high >= most:
        worst = low if low < 0 else high
        known = f"{len(names)} named classes" if names else "class numbers"
        raise DataError(f"train has a label {worst}; expected 0..{most - 1} ({known})")
    return names or [str(i) for i in range(high + 1)]


def _holds_images(feature: Any) -> bool:
    """An Image, or its storage when the file lost the metadata: bytes, or a bytes-path struct."""
    if isinstance(feature, dict):
        return set(feature) == {"bytes", "path"}
    kind = type(feature).__name__
    return kind == "Image" or getattr(feature, "dtype", None) in ("binary", "large_binary")


def _holds_texts(feature: Any) -> bool:
    return getattr(feature, "dtype", None) in ("string", "large_string")


def _holds_integers(feature: Any) -> bool:
    if hasattr(feature, "names"):
        return True
    dtype = str(getattr(feature, "dtype", ""))
    return type(feature).__name__ == "Value" and dtype.startswith(("int", "uint"))


def _check_exists(features: Any, name: str, kind: str) -> None:
    if name not in features:
        raise DataError(f"no {kind} column {name!r}{nearest(name, features)}; {_listing(features)}")


def _type(feature: Any) -> str:
    dtype = getattr(feature, "dtype", None)
    return type(feature).__name__ if type(feature).__name__ != "Value" else str(dtype)


def _listing(features: Any) -> str:
    return "the columns are " + ", ".join(f"{n} ({_type(f)})" for n, f in features.items())
