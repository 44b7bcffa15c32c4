"""The command of a benchmark whose rows are measured one by one, and kept as soon as they are."""

from __future__ import annotations

import argparse
import json
import platform
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from checkout import ROOT

__all__ = ["measure_rows"]


def measure_rows(
    doc: str | None,
    result: Path,
    page: Path,
    marked: Callable[[str], str],
    rows: Callable[[int], Iterable[tuple[str, Callable[[], dict[str, Any]]]]],
    rounds: int,
) -> None:
    """Measure the rows that are missing, and write each at once.

    Args:
        doc: Description of the command.
        result: The JSON file of the rows, by name.
        page: The page whose tables ``--table`` writes.
        marked: Function that returns the page with the tables of the committed results.
        rows: Function that returns names and measurements, given the number of rounds.
        rounds: The number of rounds if none is given.
    """
    parser = argparse.ArgumentParser(description=doc)
    parser.add_argument("--rounds", type=int, default=rounds)
    parser.add_argument("--only", default="", help="part of the names of the rows to measure")
    parser.add_argument("--table", action="store_true")
    words = parser.parse_args()
    if words.table:
        page.write_text(marked(page.read_text()))
        return
    import torch

    sys.path.insert(0, str(ROOT / "tests"))
    import conftest  # noqa: F401  (torchvision and transformers import, as in the tests)

    torch.set_num_threads(1)
    found: dict[str, Any] = {"rows": {}}
    if result.exists():
        found = json.loads(result.read_text())
    found["machine"] = {"processor": platform.machine(), "threads": 1, "torch": torch.__version__}
    for name, measure in rows(words.rounds):
        if name in found["rows"] or words.only not in name:
            continue
        found["rows"][name] = measure()
        print(f"{name}: {json.dumps(found['rows'][name])}", flush=True)
        part = Path(f"{result}.part")
        part.write_text(json.dumps(found, indent=1) + "\n")
        part.replace(result)
