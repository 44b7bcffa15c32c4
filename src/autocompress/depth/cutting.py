"""``cut``: the network of the first k blocks."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import SupportsIndex, TypeVar

from autocompress.checks import check_network
from autocompress.network import Network

__all__ = ["cut"]

N = TypeVar("N", bound=Network)


def cut(net: N, depth: SupportsIndex | Sequence[int]) -> N:
    """Return an ordinary smaller network: the stem, the first ``depth`` blocks and the head.

    Its output equals ``net``'s readout at that depth bit for bit, because both are the same loop
    stopped at the same place. The weights are copied and ``net`` is unchanged.

    Args:
        net: Any network of this library.
        depth: Number of blocks to keep, 0..L; an int or the result of :meth:`DepthCurve.select`.
            For a residual network also the indices of the blocks to keep (from 0, ascending), e.g.
            ``[0, 2, 4]`` or the result of :func:`choose_layers`. Its output is then that of the
            same network without the other blocks.

    Raises:
        DepthError: ``depth`` is not in 0..L, or there is no such block.
        ConfigError: ``net`` is not a network of this library, or blocks before the last are left
            out of one that is not residual: later blocks would miss their input.

    Example:
        >>> import autocompress as ac
        >>> ac.cut(ac.models.MLP(depth=6, width=8), 2).depth
        2
    """
    check_network(net, "cut")
    if isinstance(depth, Sequence) and not isinstance(depth, str):
        return net.cut([operator.index(layer) for layer in depth])
    return net.cut(operator.index(depth))
