"""Lay out the help of a verb, and read the short one from help.json, without importing the verb."""

from __future__ import annotations

import json
import shutil
import textwrap
from collections.abc import Iterable
from pathlib import Path
from typing import TypedDict

__all__ = ["STORED", "Listed", "Part", "laid_out", "short_help"]

#: The short help of every verb: its parts by the verb's name.
STORED = Path(__file__).with_name("help.json")

_INDENT = 26


class Listed(TypedDict):
    """A list of options.

    Attributes:
        title: Words above the list.
        rows: Options as a user types them, each with what explains it.
    """

    title: str
    rows: list[list[str]]


#: A paragraph, a list of options, or nothing.
Part = str | Listed | None


def short_help(name: str) -> str:
    """Return what ``acn NAME --help`` prints."""
    return laid_out(json.loads(STORED.read_text(encoding="utf-8"))[name])


def laid_out(parts: Iterable[Part]) -> str:
    """Return the parts as text that fits the terminal.

    Example:
        >>> print(laid_out(["Measure.", {"title": "options", "rows": [["--json", "As JSON."]]}]))
        Measure.
        <BLANKLINE>
        options:
          --json                  As JSON.
    """
    return "\n\n".join(part if isinstance(part, str) else _list(part) for part in parts if part)


def _list(block: Listed) -> str:
    return "\n".join([f"{block['title']}:", *(_row(*row) for row in block["rows"])])


def _row(head: str, words: str) -> str:
    width = min(max(shutil.get_terminal_size().columns, 60), 100)
    lines = textwrap.wrap(words, width - _INDENT, break_on_hyphens=False) or [""]
    head, gap = f"  {head}", " " * _INDENT
    if len(head) < _INDENT - 1:
        return "\n".join([f"{head:<{_INDENT}}{lines[0]}", *(gap + line for line in lines[1:])])
    return "\n".join([head, *(gap + line for line in lines)])
