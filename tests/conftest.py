"""What all tests share."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

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
        arguments = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
        torch.library.define(f"torchvision::{name}", arguments)


_let_torchvision_import()

SHARED_DATA = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real data sets beside the checkout; they are never part of the repository."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"no data sets at {SHARED_DATA}")
    return SHARED_DATA


@pytest.fixture(autouse=True)
def _fresh_compiler() -> None:
    """Each test compiles for itself: the compiler counts recompilations over the process."""
    torch.compiler.reset()


@pytest.fixture(autouse=True)
def _own_signals() -> Iterator[None]:
    """Put back the signal handlers that a library has replaced: Ray's ends the process."""
    numbers = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
    before = {number: signal.getsignal(number) for number in numbers}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
