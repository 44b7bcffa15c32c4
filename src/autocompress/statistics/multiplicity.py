"""Holm's correction for testing many statements at once."""

from __future__ import annotations

from collections.abc import Sequence

from autocompress.errors import ConfigError

__all__ = ["LEVEL", "holm"]

#: Largest probability that any true null hypothesis of a family is rejected.
LEVEL = 0.05


def holm(values: Sequence[float | None]) -> list[float | None]:
    """Return the p-values of one family of tests, adjusted by Holm's step-down procedure.

    The smallest of m p-values is multiplied by m, the next one by m - 1, and so on; none becomes
    smaller than one before it, or larger than 1. Statements whose adjusted value is at most 0.05
    are decided, and the probability that any of these decisions is wrong is at most 5 %, however
    the tests depend on each other.

    Args:
        values: P-values; None for a statement that could not be tested, which does not count.

    Raises:
        ConfigError: A value is no probability.

    Example:
        >>> holm([0.01, 0.04, None, 0.03])
        [0.03, 0.06, None, 0.06]
    """
    for p in values:
        if p is not None and not 0 <= p <= 1:
            raise ConfigError(
                f"p-value {p} must be from 0 to 1, or None for a statement that was not tested"
            )
    order = sorted((p, place) for place, p in enumerate(values) if p is not None)
    adjusted: list[float | None] = [None] * len(values)
    highest = 0.0
    for rank, (p, place) in enumerate(order):
        highest = min(1.0, max(highest, (len(order) - rank) * p))
        adjusted[place] = highest
    return adjusted
