"""Tell whether a ratio of times is certain enough to be shown."""

from __future__ import annotations

__all__ = ["is_noisy"]


def is_noisy(low: float, median: float, high: float) -> bool:
    """Return whether a ratio differs from 1 by less than its own spread, beyond 10 %.

    A ratio and its inverse are as noisy as each other: what is below 1 is turned round first.

    Args:
        low: Lower quartile of the ratio.
        median: Median.
        high: Upper quartile.

    Example:
        >>> is_noisy(0.9, 1.2, 1.5), is_noisy(1.0, 1.02, 1.04)
        (True, False)
        >>> is_noisy(0.02, 0.03, 0.9), is_noisy(0.47, 0.48, 0.52)
        (True, False)
    """
    if median < 1:
        low, median, high = 1 / high, 1 / median, 1 / low
    return high - low > max(abs(median - 1), 0.1)
