"""What all tests share."""

from __future__ import annotations

import contextlib
import copy
import functools
import importlib.metadata
import importlib.util
import os
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))  # tests import models_table by its name
sys.path.append(str(Path(__file__).parents[1]))  # new processes find classes of tests by theirs


def _let_torchvision_import() -> None:
    """The wheel on PyPI is built for CUDA and does not import beside a CPU build of torch.

    Only timm and transformers import it, for operators that no test calls.
    """
    if importlib.util.find_spec("torchvision") is None or torch.version.cuda is not None:
        return
    if "+cpu" in importlib.metadata.version("torchvision"):
        return
    for name in ("nms", "qnms"):
        if hasattr(torch.ops.torchvision, name):  # this module was imported under another name
            continue
        arguments = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
        torch.library.define(f"torchvision::{name}", arguments)


_let_torchvision_import()

#: Under load a few lines of arithmetic may take longer than hypothesis' 200 ms.
hypothesis.settings.register_profile("no deadline", deadline=None)
hypothesis.settings.load_profile("no deadline")

_PROCESS = os.getpid()


def _end(number: int, frame: object) -> None:
    """End the session by name; the library would turn the signal into one failed test."""
    if os.getpid() != _PROCESS:  # a forked worker ends as ever
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
        return
    pytest.exit(f"stopped by {signal.Signals(number).name}", returncode=128 + number)


def pytest_configure() -> None:
    """A SIGTERM, as ``timeout`` sends it, ends the session and not the test that runs."""
    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _end)


SHARED_DATA = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real data sets beside the checkout; they are never part of the repository."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"no data sets at {SHARED_DATA}")
    return SHARED_DATA


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Every connection, and every question for an address, is noted and refused."""
    asked: list[Any] = []

    def refuse(*arguments: Any, **_: Any) -> Any:
        asked.append(arguments)
        raise OSError("no network in this test")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket.socket, "connect_ex", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", False)
    return asked


@pytest.fixture(autouse=True)
def _fresh_compiler() -> None:
    """Each test compiles for itself: the compiler counts recompilations over the process."""
    torch.compiler.reset()


@pytest.fixture(scope="session", autouse=True)
def _one_table_of_operators() -> Iterator[None]:
    """Read torch's table of ONNX operators once: it is a third of the time of a small export."""
    table: Any = None
    if importlib.util.find_spec("onnxscript") is not None:
        with contextlib.suppress(ImportError):  # torch's own business, which may move
            from torch.onnx._internal.exporter import _registration

            table = getattr(_registration, "ONNXRegistry", None)
    if not hasattr(table, "from_torchlib"):
        yield
        return
    read = functools.cache(table.from_torchlib)

    def copied(**options: Any) -> Any:
        found = copy.copy(read(**options))
        found.functions = {name: [*known] for name, known in found.functions.items()}
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(table, "from_torchlib", staticmethod(copied))
        yield


@pytest.fixture
def no_onnx(monkeypatch: pytest.MonkeyPatch) -> None:
    """No extra ``onnx``, for tests of runs that do not look at what is exported."""
    from toy import remove_onnx

    remove_onnx(monkeypatch)


@pytest.fixture(autouse=True)
def _own_signals() -> Iterator[None]:
    """Put back the signal handlers that a library has replaced: Ray's ends the process."""
    numbers = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as in a job behind a shell's &
        signal.signal(signal.SIGINT, signal.default_int_handler)
    before = {number: signal.getsignal(number) for number in numbers}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def default_sigterm(_own_signals: None) -> None:
    """SIGTERM as in a process of its own, for tests that send it to themselves."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
