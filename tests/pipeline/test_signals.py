"""Ctrl-C, SIGTERM and SIGHUP of the command, from the first import to the last write."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

import autocompress as ac
from autocompress import interrupts
from autocompress.cli import main
from autocompress.data import TensorSource
from autocompress.errors import InterruptedRunError
from autocompress.pipeline import RunConfig
from models_table import make
from toy import config, quiet_fit, source

#: A process by this name, to which a signal comes while it imports the command.
IMPORTS = """
import importlib.abc, signal, sys
class Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == sys.argv[3]:
            signal.raise_signal(int(sys.argv[2]))
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.meta_path.insert(0, Finder())
sys.argv[0] = sys.argv[1]
from autocompress.cli import main
sys.exit(main(["measure", "nothing"]))
"""
NUMBERS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]

pytestmark = pytest.mark.usefixtures("default_sigterm")


@pytest.mark.parametrize("number", NUMBERS)
def test_while_it_imports(number: signal.Signals) -> None:
    command = [
        sys.executable,
        "-c",
        IMPORTS,
        "/usr/bin/acn",
        str(int(number)),
        "autocompress.commands",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert done.returncode == 128 + number
    assert done.stderr == f"acn: stopped by {number.name}\n"


def test_while_its_verb_imports_torch() -> None:
    command = [sys.executable, "-c", IMPORTS, "/usr/bin/acn", str(int(signal.SIGTERM)), "torch"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert done.returncode == 128 + signal.SIGTERM
    assert done.stderr == "acn: error: stopped by SIGTERM; the same command begins again\n"


def test_a_program_that_imports_the_library_keeps_its_signals() -> None:
    command = [
        sys.executable,
        "-c",
        IMPORTS,
        "/usr/bin/program",
        str(int(signal.SIGTERM)),
        "autocompress.commands",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert (done.returncode, done.stderr) == (-signal.SIGTERM, "")


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("hidden", [False, True], ids=["raised", "made another error of"])
def test_while_data_are_loaded(
    number: signal.Signals,
    hidden: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def load(_: RunConfig) -> Any:
        try:
            signal.raise_signal(number)
        except KeyboardInterrupt as error:
            if hidden:  # as a library may that imports another in a try of its own
                raise ImportError("no such reader") from error
            raise

    monkeypatch.setattr("autocompress.pipeline.running.load_for", load)
    before = [signal.getsignal(n) for n in NUMBERS]
    assert main(["train", "--output", str(tmp_path / "run")]) == 128 + number
    assert [signal.getsignal(n) for n in NUMBERS] == before
    said = f"acn: error: stopped by {number.name}; the same command begins again\n"
    assert capsys.readouterr().err == said
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("verb", ["train", "stream"])
def test_while_it_trains(
    verb: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    steps = 0

    def step(self: Any, *words: Any, **more: Any) -> Any:
        nonlocal steps
        steps += 1
        if steps == 5:
            signal.raise_signal(signal.SIGTERM)
        return whole(self, *words, **more)

    whole = torch.optim.AdamW.step
    monkeypatch.setattr(torch.optim.AdamW, "step", step)
    words = ["--model.name", "mlp", "--model.depth", "1", "--model.width", "4", "--fit.epochs", "3"]
    folder = tmp_path / "run"
    assert main([verb, *words, "--data.train_limit", "300", "--output", str(folder)]) == 143
    errors = capsys.readouterr().err
    name = "stream.yaml" if verb == "stream" else "config.yaml"
    again = f"acn {verb} --config {folder / name} --output {folder} --resume"
    assert f"\nOn the command line: {again}\n" in errors
    assert "Traceback" not in errors
    assert list(folder.rglob("epoch-*-step-*"))
    assert main(again.split()[1:]) == 0


def test_a_step_that_takes_too_long_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Slow(TensorSource):
        def batches(self, batch_size, order=None):  # type: ignore[no-untyped-def]
            for batch in super().batches(batch_size, order):
                if (tmp_path / "checkpoints" / "epoch-0001").exists():
                    signal.raise_signal(signal.SIGTERM)
                    time.sleep(20)
                yield batch

        def to(self, device: object) -> Slow:
            return self

    monkeypatch.setattr(interrupts, "PATIENCE", 0.2)
    data, start = Slow(source().images, source().labels), time.monotonic()
    with pytest.raises(InterruptedRunError, match="epoch-0001 is saved"):
        quiet_fit(make("mlp", "acn"), data, None, config(), run=tmp_path)
    assert time.monotonic() - start < 15
    assert interrupts.pending() is None
    run = ac.fit(
        make("mlp", "acn"), source(), None, config(), run=tmp_path, resume=True, progress=False
    )
    assert len(run.history) == 3
