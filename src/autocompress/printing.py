"""Tables as text: for a terminal, and as Markdown for pages."""

from __future__ import annotations

import io
import shlex
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table

__all__ = [
    "as_text",
    "command_line",
    "constant_answer",
    "counted",
    "duration",
    "figures",
    "layer_words",
    "markdown",
]


def as_text(table: Table, width: int = 80, room: bool = False) -> str:
    """Return the table as text for a terminal of ``width`` columns.

    Args:
        table: The table.
        width: Columns that are there.
        room: Whether a table that needs more columns gets them, so that no cell is cut short.

    Example:
        >>> from rich.table import Table
        >>> table = Table("depth", "score")
        >>> table.add_row("1", "0.5")
        >>> "depth" in as_text(table)
        True
    """
    from rich.console import Console  # most of this module is used by commands that print no table

    file = io.StringIO()
    console = Console(file=file, width=width)
    if room:
        wide = console.options.update(max_width=1000)
        console = Console(file=file, width=max(width, console.measure(table, options=wide).maximum))
    console.print(table)
    return file.getvalue().rstrip()


def command_line(*words: object) -> str:
    """Return a command of ``acn`` that a shell takes as it stands.

    Example:
        >>> command_line("probe", "runs/my photos")
        "acn probe 'runs/my photos'"
    """
    return shlex.join(["acn", *map(str, words)])


def constant_answer(metric: str) -> str:
    """Return the best answer that ignores the input, in words that follow "better than".

    Example:
        >>> constant_answer("R^2")
        'always answering the mean'
    """
    words = {
        "accuracy": "always answering the most frequent class",
        "exact match": "always giving the most frequent labels",
        "R^2": "always answering the mean",
    }
    return words.get(metric, "the best constant answer")


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


def figures(number: float, digits: int = 3) -> str:
    """Return a number with so many significant digits, never with an exponent.

    Example:
        >>> figures(0.012345), figures(8043.6), figures(-1290, 2), figures(0.00000123)
        ('0.0123', '8,044', '-1,290', '0.00000123')
    """
    rounded = Decimal(f"{number:.{digits}g}")
    if abs(rounded) >= 10**digits:  # digits before the point are not rounded away
        return f"{number:,.0f}"
    return f"{rounded:,f}" if rounded.is_finite() else str(number)


def counted(number: int, thing: str) -> str:
    """Return a number of things in words.

    Example:
        >>> counted(1, "step"), counted(1200, "step")
        ('1 step', '1,200 steps')
    """
    return f"{number:,} {thing}" if number == 1 else f"{number:,} {thing}s"


def layer_words(number: int) -> str:
    """Return a number of layers in words.

    Example:
        >>> layer_words(0), layer_words(1), layer_words(2)
        ('0 layers', '1 layer', '2 layers')
    """
    return "1 layer" if number == 1 else f"{number} layers"


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
