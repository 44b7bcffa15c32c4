"""The tables of docs/language.md, from the committed results of benchmarks/language.py.

python benchmarks/language_table.py writes them into the page.
"""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pages import between

__all__ = ["marked", "tables"]

RESULT = Path(__file__).parent / "results" / "language.json"
PAGE = Path(__file__).parents[1] / "docs" / "language.md"
NAMES = {
    "ACN": "ACN",
    "annealed": "annealed to an ACN",
    "residual": "residual",
    "shallow": "residual, as many layers as the annealed one keeps",
}


def marked(page: str) -> str:
    """The page with the tables between their marks; without results as it is."""
    if not RESULT.exists():
        return page
    return between(page, "language", tables(json.loads(RESULT.read_text())))


def tables(record: dict[str, Any]) -> str:
    """Words by depth, the task by depth, and what the networks cost, as Markdown."""
    return "\n\n".join((_words(record), _by_depth(record), _summary(record)))


def _runs(record: dict[str, Any], name: str) -> list[dict[str, Any]]:
    return [row for row in record["rows"] if row["network"] == name]


def _words(record: dict[str, Any]) -> str:
    """Perplexity of masked words at every depth of the pretrained networks."""
    depth = _runs(record, "ACN")[0]["depth"]
    lines = _head(["masked words: perplexity at depth", *map(str, range(depth + 1))])
    for name, words in NAMES.items():
        losses = record["pretrained"][name]["losses"]
        lines.append(_line([words, *(f"{math.exp(nats):.0f}" for nats in losses)], depth + 2))
    return "\n".join(lines)


def _by_depth(record: dict[str, Any]) -> str:
    depth = _runs(record, "ACN")[0]["depth"]
    lines = _head(["SST-2: test accuracy at depth, %", *map(str, range(depth + 1))])
    for name, words in NAMES.items():
        scores = zip(*(run["test"] for run in _runs(record, name)), strict=True)
        cells = [f"{100 * statistics.mean(score):.1f}" for score in scores]
        lines.append(_line([words, *cells], depth + 2))
    return "\n".join(lines)


def _summary(record: dict[str, Any]) -> str:
    lines = _head(
        ["network", "layers", "SST-2 test, %", "parameters", "file", "batch 1", "batch 256"]
    )
    for name, words in NAMES.items():
        runs = _runs(record, name)
        full = [run["test"][-1] for run in runs]
        lines.append(_row(words, [runs[0]["depth"]], full, record["costs"][name]))
        if name == "shallow":
            continue
        kept = [run["selected"] for run in runs]
        cut = [run["test"][run["selected"]] for run in runs]
        costs = record["costs"][f"{name} cut"]
        lines.append(_row(f"{words}, cut by the rule", kept, cut, costs))
    return "\n".join(lines)


def _row(words: str, layers: Sequence[int], scores: Sequence[float], cost: dict[str, Any]) -> str:
    spread = f"{100 * statistics.mean(scores):.1f} ± {100 * statistics.stdev(scores):.1f}"
    cells = [words, ", ".join(map(str, layers)), spread]
    times = [f"{cost['latency_ms'][batch]:.2f} ms" for batch in ("1", "256")]
    size = f"{cost['bytes'] / 1e6:.2f} MB"
    return _line([*cells, f"{cost['parameters']:,}", size, *times], 7)


def _head(cells: Sequence[str]) -> list[str]:
    return [_line(cells, len(cells)), "|" + "---|" * len(cells)]


def _line(cells: Sequence[str], width: int) -> str:
    return "| " + " | ".join([*cells, *[""] * (width - len(cells))]) + " |"


if __name__ == "__main__":
    PAGE.write_text(marked(PAGE.read_text()))
