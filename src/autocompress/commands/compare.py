"""``acn compare``: compare two or more runs side by side."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from autocompress.commands.common import Answer, Common, place
from autocompress.commands.runs import table
from autocompress.pipeline.differing import differences
from autocompress.pipeline.overview import COLUMNS, overview

__all__ = ["Options", "run"]


@dataclass(frozen=True, kw_only=True)
class Options(Common):
    """Options of ``acn compare``."""

    first: str = place("Run folder.")
    second: str = place("Another run folder.")


def run(args: Options) -> Answer:
    """Compare settings and results; the answer lists the differences and all results."""
    runs = [Path(args.first), Path(args.second)]
    settings = differences(runs)
    rows = [overview(path) for path in runs]
    results = [(name, [row[name] for row in rows]) for name in COLUMNS if name != "run"]
    headings = ["", *map(str, runs)]
    parts = [
        "Settings that differ:" if settings else "All settings are the same.",
        *([table(headings, [[key, *values] for key, values in settings])] if settings else []),
        "\nResults:",
        table(
            headings,
            [[name, *values] for name, values in results if any(v is not None for v in values)],
        ),
    ]
    found = {"runs": rows, "settings": dict(settings)}
    return Answer("\n".join(parts), found)
