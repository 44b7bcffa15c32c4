"""Tell which of two columns of words holds the labels, where their contents make it plain."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["plain_labels"]

#: What labels look like: at most so many different ones, so many rows for each on average, and
#: so many characters.
_MOST, _ROWS, _LETTERS = 50, 5, 40


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
