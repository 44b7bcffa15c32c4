"""Tables of rich as text, for what prints itself."""

from __future__ import annotations

import io

from rich.console import Console
from rich.table import Table

__all__ = ["as_text"]


def as_text(table: Table, width: int = 80) -> str:
    """The table as a terminal of so many columns shows it.

    Example:
        >>> table = Table("depth", "score")
        >>> table.add_row("1", "0.5")
        >>> "depth" in as_text(table)
        True
    """
    file = io.StringIO()
    Console(file=file, width=width).print(table)
    return file.getvalue().rstrip()
