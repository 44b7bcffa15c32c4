"""The command's threads: they sleep while they wait, and a busy neighbour costs what it takes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

#: Says how OpenMP's threads shall wait when torch is imported, and ends there.
ASKED = """
import importlib.abc, os, sys
class Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == "torch":
            print(os.environ.get("OMP_WAIT_POLICY"))
            sys.stdout.flush()
            os._exit(0)
sys.meta_path.insert(0, Finder())
from autocompress.cli import main
main(["train", "--output", "nothing"])
"""

WORDS = ["train", "--model.name", "mixer", "--model.depth", "2", "--model.width", "48"]
WORDS += ["--fit.epochs", "2", "--fit.evaluate_every", "2"]


def environment(**own: str) -> dict[str, str]:
    """The variables of this process, without what it says of threads, and some of its own."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("OMP_")}
    return {**kept, **own}


@pytest.mark.parametrize("said", [None, "ACTIVE"])
def test_threads_sleep_unless_the_user_says_otherwise(said: str | None) -> None:
    """It has to be said before torch is imported, with which OpenMP is loaded."""
    own = {} if said is None else {"OMP_WAIT_POLICY": said}
    command = [sys.executable, "-c", ASKED]
    done = subprocess.run(
        command, env=environment(**own), capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == (said or "PASSIVE")


@contextmanager
def busy() -> Iterator[None]:
    """A process that computes all the time."""
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        process.kill()
        process.wait()


def seconds(folder: Path, **own: str) -> float:
    """The seconds that training takes, by the command's own record."""
    command = [sys.executable, "-m", "autocompress.cli", *WORDS, "--output", str(folder)]
    subprocess.run(command, env=environment(**own), check=True, capture_output=True)
    last = (folder / "metrics.jsonl").read_text().splitlines()[-1]
    return float(json.loads(last)["seconds"])


@pytest.mark.slow
def test_beside_a_busy_process_the_default_is_near_one_thread(tmp_path: Path) -> None:
    """Threads that spin take the processor from each other (docs/training.md has a measurement)."""
    with busy():
        pairs = [
            (seconds(tmp_path / f"{i}"), seconds(tmp_path / f"{i}-one", OMP_NUM_THREADS="1"))
            for i in range(2)
        ]
    assert min(default / one for default, one in pairs) < 2.5, pairs
