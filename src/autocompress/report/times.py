"""Times in words, with their spread, and ratios of times only where the machine was steady."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from autocompress.measurement.noise import is_noisy
from autocompress.report.units import MISSING, multiple

__all__ = ["NOISY", "spread_words", "time_ratio", "time_speedup"]

#: Text in place of a ratio that is less certain than what it would say.
NOISY = "noisy"


def time_ratio(before: Mapping[str, Any], after: Mapping[str, Any], batch: str) -> str:
    """Return how many times as long the other network takes, or "noisy".

    Args:
        before: A network or depth of a report, with ``latency_ms`` and what was measured of
            ``latency_ratio`` and ``latency_spread_ms``.
        after: The other one. Its ``latency_ratio`` is that to ``before``: the quartiles of the
            rounds' ratios around their median. Earlier reports lack it; then the ratio of the
            medians is given if the spreads leave no doubt about it.
        batch: The batch size, "1" or "256".

    Example:
        >>> full = {"latency_ms": {"1": 2.0}}
        >>> half = {"latency_ms": {"1": 1.0}, "latency_ratio": {"1": [0.48, 0.5, 0.53]}}
        >>> time_ratio(full, half, "1")
        '0.50 x'
        >>> half["latency_ratio"]["1"] = [0.02, 0.5, 1.9]
        >>> time_ratio(full, half, "1")
        'noisy'
    """
    known = _quartiles(before, after, batch)
    if known is None:
        return MISSING
    return NOISY if is_noisy(*known) else multiple(1.0, known[1])


def time_speedup(before: Mapping[str, Any], after: Mapping[str, Any], batch: str) -> float | None:
    """Return how many times faster the other network is; None if it is noisy or not known.

    The arguments are those of :func:`time_ratio`.

    Example:
        >>> time_speedup({"latency_ms": {"1": 3.0}}, {"latency_ms": {"1": 1.5}}, "1")
        2.0
    """
    known = _quartiles(before, after, batch)
    return None if known is None or is_noisy(*known) else round(1 / known[1], 2)


def _quartiles(
    before: Mapping[str, Any], after: Mapping[str, Any], batch: str
) -> tuple[float, float, float] | None:
    """Return the ratio of the times between the bounds that are known of it."""
    first, second = (one.get("latency_ms", {}).get(batch) for one in (before, after))
    if not first or not second:
        return None
    found = _spread(after, "latency_ratio", batch)
    if found is not None:
        return found[0], found[1], found[2]
    middle = second / first
    whole, part = (_spread(one, "latency_spread_ms", batch) for one in (before, after))
    if whole is None or part is None or not min(*whole, *part) > 0:
        return middle, middle, middle
    return part[0] / whole[1], middle, part[1] / whole[0]


def spread_words(network: Mapping[str, Any], batch: str) -> str:
    """Return the range of 8 passes in 10 in milliseconds, short enough for a column of a table.

    Example:
        >>> spread_words({"latency_spread_ms": {"1": [1.469, 46.27]}}, "1")
        '1.47-46.3'
        >>> spread_words({"latency_spread_ms": {"1": [802.0, 12345.6]}}, "1")
        '802-12346'
    """
    pair = _spread(network, "latency_spread_ms", batch)
    if pair is None:
        return MISSING
    return "-".join(map(_short, pair))


def _short(number: float) -> str:
    return f"{number:.0f}" if number >= 99.95 else f"{number:.{1 if number >= 9.995 else 2}f}"


def _spread(network: Mapping[str, Any], key: str, batch: str) -> Sequence[float] | None:
    found: Sequence[float] | None = (network.get(key) or {}).get(batch)
    return found
