"""Whether a training was still improving when it ended.

A network that is still learning uses all of its layers, whatever its connections are, so a depth
that is chosen then says little.
"""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["LAST", "late_gain"]

#: Share of the epochs at the end of a run in which a converged network gains next to nothing.
LAST = 0.25


def late_gain(by_epoch: Sequence[float]) -> float | None:
    """Return by how much the last quarter of the epochs, rounded down, raised the best score.

    Args:
        by_epoch: Validation score after each epoch.

    Returns:
        The gain, negative if the last epochs were worse; None for fewer than four epochs, which do
        not tell.

    Example:
        >>> late_gain([0.5, 0.75, 0.75, 1.0]), late_gain([0.5, 1.0, 0.75, 0.5]), late_gain([0.5])
        (0.25, -0.5, None)
    """
    if len(by_epoch) < round(1 / LAST):
        return None
    late = int(LAST * len(by_epoch))
    return max(by_epoch[-late:]) - max(by_epoch[:-late])
