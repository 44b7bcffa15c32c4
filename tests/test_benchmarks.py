"""The benchmarks run and print what they promise; what is exact in them is asserted."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.mark.parametrize("name", sorted(path.stem for path in BENCHMARKS.glob("*.py")))
def test_every_script_can_be_imported(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The scripts are run by hand, so a name that has moved would be missed until then."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    importlib.import_module(name)


@pytest.mark.slow
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


@pytest.mark.slow
def test_conversion(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, BENCHMARKS / "conversion.py", "--quick", "--json", tmp_path / "x.json"],
        check=True,
        capture_output=True,
        text=True,
    )
    (row,) = json.loads(done.stdout.splitlines()[-1])["rows"]
    assert row.keys() == {"network", "step_ms", "again", "(1,0)", "(0,1)"}
