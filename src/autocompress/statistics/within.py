"""The comparison behind every tolerance: a score, against that of full depth."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["ROUNDING", "first_within", "least_within"]

#: Margin for rounding, as 1 - 0.995 is not 0.005 in binary.
ROUNDING = 1e-9


Score = TypeVar("Score", float, "Tensor")


def least_within(score: Score, slack: float) -> Score:
    """Return the lowest score that is at most ``slack`` below ``score``, or below each of several.

    Example:
        >>> 0.995 >= 1 - 0.005, 0.995 >= least_within(1.0, 0.005), 0.1 + 0.2 >= least_within(0.3, 0)
        (True, True, True)
    """
    return score - slack - ROUNDING


def first_within(scores: Sequence[float], slack: float) -> int:
    """Return the first place whose score is at most ``slack`` below the last one.

    With scores by depth, this is the shallowest depth within a tolerance of full depth.

    Example:
        >>> first_within([0.10, 0.90, 0.88, 0.905], 0.005), first_within([0.5, 0.7, 0.8], 0.0)
        (1, 2)
    """
    least = least_within(scores[-1], slack)
    return next(place for place, score in enumerate(scores) if score >= least)
