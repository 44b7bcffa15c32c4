"""The short form of kills.py: a few SIGKILLs over train, stream and compress."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.mark.slow
def test_killed_runs_end_as_one_that_nobody_killed(tmp_path: Path) -> None:
    words = ["--kills", "5", "--a_round", "2", "--quick", "--seed", "3"]
    command = [sys.executable, str(HERE / "kills.py"), *words, "--out", str(tmp_path / "found")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads((tmp_path / "found").read_text())
    assert (found["kills"], found["faults"]) == (5, 0)
    assert set(found["by_verb"]) == {"train", "stream", "compress"}
    assert found["inside_a_write"] > 1


def test_the_page_says_what_the_results_say() -> None:
    command = [sys.executable, str(HERE / "page.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
