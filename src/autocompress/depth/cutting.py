"""``cut``: the network of the first k blocks."""

from __future__ import annotations

import operator
from typing import SupportsIndex, TypeVar

from autocompress.checks import check_network
from autocompress.network import Network

__all__ = ["cut"]

N = TypeVar("N", bound=Network)


def cut(net: N, depth: SupportsIndex) -> N:
    """Return an ordinary smaller network: the stem, the first ``depth`` blocks and the head.

    Its output equals ``net``'s readout at that depth bit for bit, because both are the same loop
    stopped at the same place. The weights are copied and ``net`` is unchanged.

    Args:
        net: Any network of this library.
        depth: Number of blocks to keep, 0..L; an int or the result of :meth:`DepthCurve.select`.

    Raises:
        DepthError: ``depth`` is not in 0..L.
        ConfigError: ``net`` is not a network of this library.

    Example:
        >>> import autocompress as ac
        >>> ac.cut(ac.models.MLP(depth=6, width=8), 2).depth
        2
    """
    check_network(net, "cut")
    return net.cut(operator.index(depth))
