"""One writer at a time: another process, another thread, and what a killed one leaves."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from autocompress.errors import AutoCompressError, LockedError, OutputError
from autocompress.io.lock import locked

HOLDS = """
import sys
from autocompress.io.lock import locked
with locked(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_another_process_is_told_who_writes(tmp_path: Path) -> None:
    run = tmp_path / "run"
    command = [sys.executable, "-c", HOLDS, str(run)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        for _ in range(2):  # to ask does not take it away
            said = f"process {holder.pid} on .* since 20"
            with pytest.raises(LockedError, match=said), locked(run):
                pytest.fail("two writers")
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        assert json.loads((run / "lock").read_text())["process"] == holder.pid
    with locked(run):
        assert json.loads((run / "lock").read_text())["process"] == os.getpid()
    assert list(run.iterdir()) == []


def test_the_same_thread_enters_again_and_another_does_not(tmp_path: Path) -> None:
    told: list[AutoCompressError] = []

    def enter() -> None:
        try:
            with locked(tmp_path):
                pass
        except AutoCompressError as error:
            told.append(error)

    with locked(tmp_path), locked(str(tmp_path)):
        thread = threading.Thread(target=enter)
        thread.start()
        thread.join()
    assert [type(error) for error in told] == [LockedError]
    enter()
    assert len(told) == 1
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_locked(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot write"), locked(tmp_path / "file" / "run"):
        pytest.fail("there is no such folder")
    with locked(None):
        pass
