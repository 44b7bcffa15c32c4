"""The digits are scikit-learn's own, read with and without its import."""

from __future__ import annotations

import importlib.util
import sys
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_digits

from autocompress.data import digits


@pytest.mark.parametrize("where", ["file", "archive"])
def test_the_digits_are_those_of_scikit_learn(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    raw: Any = load_digits()
    if where == "archive":  # the file is not found, so scikit-learn reads it
        monkeypatch.setattr(digits, "find_spec", lambda _: None)
    else:
        assert importlib.util.find_spec("sklearn") is not None
        monkeypatch.setitem(sys.modules, "sklearn.datasets", None)  # an import would fail
    images, labels = digits.read_digits()
    assert np.array_equal(images, raw.images)
    assert np.array_equal(labels, raw.target)
    assert images.dtype == raw.images.dtype
    assert labels.dtype == np.int64
