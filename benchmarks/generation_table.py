"""Generate the tables of docs/generation.md from the results of benchmarks/generation.py."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from autocompress_studies.page import between

__all__ = ["GROUPS", "RESULT", "marked", "table", "write_tables"]

RESULT = Path(__file__).parent / "results" / "generation.json"
PAGE = Path(__file__).parents[1] / "docs" / "generation.md"
GROUPS = ("narrow", "wide", "gpt2")


def marked(page: str) -> str:
    """Return the page with the table of every group between its marks."""
    networks = json.loads(RESULT.read_text())["networks"]
    for group in GROUPS:
        rows = [network for network in networks if network["group"] == group]
        page = between(page, group, table(rows))
    return page


def write_tables() -> None:
    """Write the tables into the page."""
    PAGE.write_text(marked(PAGE.read_text()))


def table(networks: list[dict[str, Any]]) -> str:
    """Return the speed of each way relative to plain decoding, a column per network."""
    names = [network["network"] for network in networks]
    lines = ["| way | " + " | ".join(names) + " |", "|" + "---|" * (len(names) + 1)]
    for rows in zip(*(network["rows"] for network in networks), strict=True):
        cells = [_cell(row, network["losses"]) for row, network in zip(rows, networks, strict=True)]
        lines.append("| " + " | ".join([rows[0]["way"], *cells]) + " |")
    return "\n".join(lines)


def _cell(row: dict[str, Any], losses: list[float] | None) -> str:
    """Return the gain of a way; if it generates another text, also that text's loss."""
    told = [f"{row['ratio']:.2f} x"]
    if row["way"] == "plain":
        told = [f"{row['tokens_per_second']:.0f} tokens/s"]
    if row["accepted"] is not None:
        told.append(f"{100 * row['accepted']:.0f} % accepted")
    cut = re.fullmatch(r"cut at (\d+)", row["way"])
    if losses and (cut or row["way"] == "plain"):
        told.append(f"{losses[int(cut[1]) if cut else -1]:.2f} nats")
    return ", ".join(told)


if __name__ == "__main__":
    write_tables()
