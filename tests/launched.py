"""Run a script as several CPU processes that are really several, and get back what each says."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

SECONDS = 300  # on a busy machine; a test that hangs takes as long

#: What every script of a worker may use; it ends with `say(...)`, once.
_BEGINS = """
import json, os, sys
from pathlib import Path
sys.path[:0] = [os.environ.get("TESTS", ".")]
RANK, WORLD = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
import torch
import autocompress as ac
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset
from models_table import make
from toy import config, quiet_fit, source
OUT = globals().get("OUT") or Path(sys.argv[1])

def say(**what):
    Path(OUT, f"says-{WORLD}-{RANK}.json").write_text(json.dumps(what))
"""


def environment(rank: int, world: int, port: int) -> dict[str, str]:
    """The variables that a launcher sets."""
    own = {
        "OMP_NUM_THREADS": "1",
        "OMP_WAIT_POLICY": "PASSIVE",
        "TESTS": str(Path(__file__).parent),
    }
    if world == 1:
        return {**os.environ, **own}
    ranks = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": world, "LOCAL_WORLD_SIZE": world}
    there = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, **ranks}
    return {**os.environ, **own, **{key: str(value) for key, value in there.items()}}


def started(command: Sequence[object], world: int) -> list[subprocess.Popen[str]]:
    """``world`` processes of a command, as a launcher starts them, which do not end each other."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    return [
        subprocess.Popen(
            [sys.executable, *map(str, command)],
            env=environment(rank, world, port),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(world)
    ]


def ended(processes: Sequence[subprocess.Popen[str]]) -> list[tuple[int, str, str]]:
    """(status, stdout, stderr) of each; those that hang are killed and fail the test."""
    try:
        texts = [process.communicate(timeout=SECONDS) for process in processes]
    finally:
        for process in processes:
            if process.poll() is None:
                process.kill()
                process.wait()
    return [(p.returncode, *text) for p, text in zip(processes, texts, strict=True)]


def run(script: str, folder: Path, world: int) -> list[dict[str, Any]]:
    """What each of ``world`` processes of a script says; it fails where one of them fails.

    One alone is this process, which saves the time of a start.
    """
    if world == 1:
        exec(_BEGINS + script, {"OUT": folder})
        return [json.loads((folder / "says-1-0.json").read_text())]
    file = folder / "worker.py"
    file.write_text(_BEGINS + script)
    for status, _, errors in ended(started([file, folder], world)):
        assert status == 0, errors[-5000:]
    return [json.loads((folder / f"says-{world}-{r}.json").read_text()) for r in range(world)]


def run_torchrun(words: Sequence[object], world: int) -> subprocess.CompletedProcess[str]:
    """A module of ours under torch's own launcher."""
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", world]
    return subprocess.run(
        [sys.executable, *map(str, [*launcher, "-m", *words])],
        env=environment(0, 1, 0),
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
