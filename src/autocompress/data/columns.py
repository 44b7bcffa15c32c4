"""Find the columns that hold the images or texts, and the labels."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from autocompress.data.labels import can_be_labels
from autocompress.errors import DataError, nearest

__all__ = [
    "image_column",
    "label_column",
    "plain_labels",
    "text_columns",
    "usual_label_column",
    "word_columns",
]

_USUAL_TEXTS = ("text", "sentence", "review", "content", "comment", "tweet", "message", "document")

_USUAL = (
    *("label", "labels", "fine_label", "target", "targets", "class", "y", "class_name"),
    *("category", "sentiment", "stars", "rating", "polarity", "intent", "topic", "emotion"),
    *("genre", "species", "diagnosis"),
)

#: Names of columns that number the rows.
_NUMBERS = (
    "id",
    "idx",
    "index",
    "row",
    "unnamed: 0",
    "column 1",
    "uid",
    "guid",
    "__index_level_0__",
)

#: What labels look like: at most so many different ones, so many rows for each on average, and
#: so many characters.
_MOST, _ROWS, _LETTERS = 50, 5, 40


def image_column(features: Any, wanted: str | None) -> str:
    """Return the name of the image column.

    Args:
        features: Features of a ``datasets.Dataset``.
        wanted: Column named by the user, if any.

    Raises:
        DataError: The named column does not exist; or none is named and there is none, or several.
    """
    found: list[str] = [name for name in features if _holds_images(features[name])]
    if wanted is not None:
        _check_holds(features, wanted, "image", found)
        return wanted
    if len(found) == 1:
        return found[0]
    if found:
        raise DataError(
            f"several columns hold images ({', '.join(found)}): choose one with data.image_column"
        )
    raise DataError(f"no column holds images; {_listing(features)}")


def text_columns(
    features: Any, wanted: str | None, second: str | None, label: str | None = None
) -> list[str]:
    """Return the names of the text column and, if one is named, of the second sentences' column.

    Args:
        features: Features of a ``datasets.Dataset``.
        wanted: Column named by the user, if any.
        second: Column of the second sentences named by the user, if any.
        label: Column that holds the labels, if known.

    Raises:
        DataError: A named column does not exist; or none is named and none holds texts, or several.
    """
    found: list[str] = [name for name in features if _holds_texts(features[name])]
    for name in (wanted, second):
        if name is not None:
            _check_holds(features, name, "text", found)
    if wanted is None:
        rest = [name for name in found if name not in (second, label)]
        usual = _usual(rest, _USUAL_TEXTS)
        if not rest:
            raise DataError(f"no column holds texts; {_listing(features)}")
        if len(rest) > 1 and not usual:
            raise DataError(
                f"several columns hold texts ({', '.join(rest)}): choose one with "
                "data.text_column, the second sentence of a pair with data.second_column, and the "
                f"labels with data.label_column{_headless(rest)}"
            )
        wanted = (usual or rest)[0]
    return [wanted] if second is None else [wanted, second]


def word_columns(features: Any) -> list[str]:
    """Return the names of the columns that hold words, those that number the rows left out."""
    return [n for n in features if _holds_texts(features[n]) and n.lower() not in _NUMBERS]


def usual_label_column(features: Any, wanted: str | None) -> str | None:
    """Return the column named by the user, or one whose type or name shows that it holds labels.

    A ClassLabel takes precedence over a usual name.

    Args:
        features: Features of a ``datasets.Dataset``.
        wanted: Column named by the user, if any.

    Raises:
        DataError: The named column does not exist or cannot hold labels, or there are several
            ClassLabels of which none has a usual name.
    """
    if wanted is not None:
        _check_exists(features, wanted, "label")
        if not can_be_labels(features[wanted]):
            raise DataError(
                f"label column {wanted!r} holds {_type(features[wanted])}; expected words, whole "
                "numbers, booleans or a ClassLabel, one in each row"
            )
        return wanted
    named: list[str] = [name for name in features if hasattr(features[name], "names")]
    found = named or [name for name in features if can_be_labels(features[name])]
    usual = _usual(found, _USUAL)
    if len(named) > 1 and not usual:
        raise DataError(
            f"several columns hold labels ({', '.join(named)}): choose one with data.label_column"
        )
    return next(iter(usual or named), None)


def label_column(features: Any, wanted: str | None, inputs: Sequence[str] = ()) -> str:
    """Return the label column: as :func:`usual_label_column`, or the only remaining column.

    Args:
        features: Features of a ``datasets.Dataset``.
        wanted: Column named by the user, if any.
        inputs: Columns that hold the images or the texts.

    Raises:
        DataError: As in :func:`usual_label_column`; or none is named and there is none, or several.
    """
    free = {name: f for name, f in features.items() if wanted is not None or name not in inputs}
    found = usual_label_column(free, wanted)
    if found is not None:
        return found
    left: list[str] = [
        name
        for name in features
        if name not in inputs and name.lower() not in _NUMBERS and can_be_labels(features[name])
    ]
    if len(left) == 1:
        return left[0]
    hint = f"; choose one of {', '.join(left)} with data.label_column" if left else ""
    raise DataError(
        f"no column holds labels (a ClassLabel, or words or whole numbers under a name like "
        f"{', '.join(_USUAL[:7])}){hint}; {_listing(features)}"
    )


def plain_labels(columns: dict[str, Sequence[str | None]]) -> str | None:
    """Return the column that plainly holds labels: a few short words, each of them in many rows.

    There must be one other column, whose texts hardly repeat. If the column's name is one of its
    own words, the table has no line of names and its first row was taken for one: nothing is plain.

    Args:
        columns: The cells of each column of words, by its name.

    Returns:
        The column's name; None if it is not plain.

    Example:
        >>> plain_labels({"subject": [f"mail {n}" for n in range(20)], "box": ["in", "out"] * 10})
        'box'
        >>> plain_labels({"one": ["a", "b"] * 10, "other": ["c", "d"] * 10}) is None
        True
    """
    if len(columns) != 2:
        return None
    kinds = {name: set(cells) for name, cells in columns.items()}
    label, text = sorted(columns, key=lambda name: len(kinds[name]))
    words, rows = kinds[label], len(columns[label])
    few = 2 <= len(words) <= _MOST and rows >= _ROWS * len(words)
    short = all(len(word or "") <= _LETTERS for word in words)
    headless = label.strip() in {(word or "").strip() for word in words}
    return label if few and short and not headless and 2 * len(kinds[text]) > rows else None


def _usual(names: Sequence[str], usual: Sequence[str]) -> list[str]:
    """Return the usual names among ``names``, ignoring case, the most usual first."""
    by_word = {name.strip().lower(): name for name in reversed(names)}
    return [by_word[word] for word in usual if word in by_word]


def _holds_images(feature: Any) -> bool:
    """Return whether this is an Image or its storage: bytes, or a struct of bytes and path."""
    if isinstance(feature, dict):
        return set(feature) == {"bytes", "path"}
    kind = type(feature).__name__
    return kind == "Image" or getattr(feature, "dtype", None) in ("binary", "large_binary")


def _holds_texts(feature: Any) -> bool:
    return getattr(feature, "dtype", None) in ("string", "large_string")


def _check_exists(features: Any, name: str, kind: str) -> None:
    if name not in features:
        raise DataError(f"no {kind} column {name!r}{nearest(name, features)}; {_listing(features)}")


def _check_holds(features: Any, name: str, kind: str, found: Sequence[str]) -> None:
    """Raise DataError for a column that does not exist, or is not among those of its kind."""
    _check_exists(features, name, kind)
    if name not in found:
        held = _type(features[name])
        raise DataError(f"column {name!r} holds {held}, not {kind}s; {_listing(features)}")


def _type(feature: Any) -> str:
    dtype = getattr(feature, "dtype", None)
    return type(feature).__name__ if type(feature).__name__ != "Value" else str(dtype)


def _listing(features: Any) -> str:
    names = ", ".join(f"{name} ({_type(kind)})" for name, kind in features.items())
    return f"the columns are {names}{_headless(features)}"


def _headless(names: Iterable[str]) -> str:
    """Return a hint if the names of columns look like the cells of a row."""
    if any(" " in name.strip() or not name.strip() for name in names):
        return "; the first line of a table has to name its columns, e.g. text,label"
    return ""
