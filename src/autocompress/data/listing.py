"""Lists of names in messages: the first few, and the number of the others."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["some"]


def some(names: Sequence[str], most: int = 8) -> str:
    """Return the names separated by commas, with those after the first ``most`` as a count.

    Example:
        >>> some(["a", "b", "c", "d"], most=2)
        'a, b and 2 more'
    """
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
