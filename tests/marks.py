"""Marks for parameters: the few that `make test` tries, the rest for `make thorough`."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

import pytest


def slow_but(every: Iterable[Any], few: Collection[Any]) -> list[Any]:
    """All of ``every`` as parameters of a test, marked slow unless they are among the ``few``."""
    return [one if one in few else _slow(one) for one in every]


def _slow(one: Any) -> Any:
    values = one if isinstance(one, tuple) else (one,)
    return pytest.param(*values, marks=pytest.mark.slow)
