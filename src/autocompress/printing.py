"""Tables as text: for a terminal, and as Markdown for pages."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table

__all__ = ["as_text", "duration", "markdown"]


def as_text(table: Table, width: int = 80) -> str:
    """Return the table as text for a terminal of ``width`` columns.

    Example:
        >>> table = Table("depth", "score")
        >>> table.add_row("1", "0.5")
        >>> "depth" in as_text(table)
        True
    """
    file = io.StringIO()
    Console(file=file, width=width).print(table)
    return file.getvalue().rstrip()


def duration(seconds: float) -> str:
    """Return a time in words, as exact as an estimate can be.

    Example:
        >>> duration(0.4), duration(75), duration(190), duration(7900), duration(200_000)
        ('1 s', '75 s', '3 min', '2 h 12 min', '2 days 8 h')
    """
    whole = max(1, round(seconds))
    if whole < 120:
        return f"{whole} s"
    minutes = round(whole / 60)
    if minutes < 120:
        return f"{minutes} min"
    hours = round(minutes / 60)
    if hours < 48:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{hours // 24} days {hours % 24} h"


def markdown(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    r"""Return a table as Markdown; short rows are padded with empty cells.

    Example:
        >>> markdown(["a", "b"], [["1", "2"], ["3"]])
        '| a | b |\n|---|---|\n| 1 | 2 |\n| 3 |  |'
    """
    lines = [
        "| " + " | ".join([*cells, *[""] * (len(headings) - len(cells))]) + " |"
        for cells in (headings, *rows)
    ]
    return "\n".join([lines[0], "|" + "---|" * len(headings), *lines[1:]])
