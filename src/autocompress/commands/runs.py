"""``acn runs``: list all runs of a folder in a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from autocompress.commands.common import Answer, Common, place
from autocompress.errors import ConfigError
from autocompress.pipeline.overview import COLUMNS, condition, overview, runs_in
from autocompress.printing import as_text, figures

__all__ = ["Options", "cell", "run", "table"]


@dataclass(frozen=True, kw_only=True)
class Options(Common):
    """Options of ``acn runs``.

    Args:
        where: Condition for the runs to show, e.g. 'test > 0.9 and model = vit'. The columns
            are those of the JSON; scores are fractions.
        sort: Column to sort by, largest first.
    """

    folder: str = place("Folder of runs.", default="runs")
    where: str | None = None
    sort: str | None = None


def run(args: Options) -> Answer:
    """Read every run of the folder; the answer lists those that ``where`` allows."""
    allowed = condition(args.where)
    if args.sort is not None and args.sort not in COLUMNS:
        raise ConfigError(f"{args.sort!r} is not a column of a run; they are {', '.join(COLUMNS)}")
    rows = [row for path in runs_in(Path(args.folder)) if allowed(row := overview(path))]
    if args.sort is not None:
        column = args.sort
        known = [row for row in rows if row[column] is not None]
        rest = [row for row in rows if row[column] is None]
        rows = sorted(known, key=lambda row: row[column], reverse=True) + rest
    text = table(
        [name.replace("_", " ") for name in COLUMNS],
        [[row[name] for name in COLUMNS] for row in rows],
    )
    return Answer(text if rows else f"no such run in {args.folder}", rows)


def table(headings: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Return a table as text, without empty columns."""
    shown = [n for n in range(len(headings)) if any(row[n] is not None for row in rows)]
    made = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for n in shown:
        made.add_column(Text(headings[n]), overflow="fold")
    for row in rows:
        made.add_row(*(Text(cell(row[n])) for n in shown))
    return as_text(made, width=140)


def cell(value: Any) -> str:
    """Return the text of a value in a table."""
    if value is None:
        return ""
    if isinstance(value, float):
        return figures(value, 4)
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {cell(each)}" for key, each in value.items())
    return str(value)
