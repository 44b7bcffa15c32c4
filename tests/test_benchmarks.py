"""The benchmarks run and print what they promise; what is exact in them is asserted."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


def test_connectivity(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, BENCHMARKS / "connectivity.py", "--quick", "--json", tmp_path / "x.json"],
        check=True,
        capture_output=True,
        text=True,
    )
    found = json.loads(done.stdout.splitlines()[-1])
    assert found == json.loads((tmp_path / "x.json").read_text())
    (row,) = found["rows"]
    assert row["step_memory_ratio"] <= 1.02  # counted, so the same on every machine
    assert 0.2 < row["step_time_ratio"] < 5  # timed: held to its bound by hand, on a quiet machine
    assert 0.2 < row["probe_time_ratio"] < 5


def test_committed_results_are_of_the_committed_rows() -> None:
    """docs/blocks.md is made from these."""
    sys.path.insert(0, str(BENCHMARKS))
    try:
        from blocks import ROWS
    finally:
        sys.path.pop(0)
    for path in (BENCHMARKS / "results").glob("blocks.json"):
        rows = json.loads(path.read_text())["rows"]
        assert {row["row"] for row in rows} <= set(ROWS)
        assert all(len(row["test"]) == len(row["validation"]) for row in rows)
