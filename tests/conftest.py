"""What all tests share."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from autocompress.convert.extras import let_torchvision_import

sys.path.insert(0, str(Path(__file__).parent))  # tests import models_table by its name

let_torchvision_import()  # tests import timm and transformers themselves

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
