"""Scalar linear networks in closed form: table 1 of the paper.

Layer i is f_i(x) = w_i x. The output of a network and the gradient of a layer are then explicit:

    feed-forward  y = x0 prod w_k
    residual      y = x0 prod (1 + w_k)
    ACN           y = x0 (1 + sum_i prod_{k<=i} w_k)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from autocompress.errors import DepthError, UnknownNameError

__all__ = ["ScalarNet"]

Kind = Literal["ffn", "residual", "acn"]


@dataclass(frozen=True)
class ScalarNet:
    """A network of L layers that each multiply by a number.

    Layers are counted from 1, as in the paper.

    Args:
        kind: Connectivity: ``ffn``, ``residual`` or ``acn``.
        weights: Weights w_1 .. w_L.
        x0: The stem's output.

    Raises:
        UnknownNameError: There is no such kind.

    Example:
        >>> net = ScalarNet("acn", [2.0, 3.0])
        >>> net.output  # 1 + 2 + 2 * 3
        9.0
        >>> [net.gradient(i) for i in (1, 2)]  # 1 + 3; 2
        [4.0, 2.0]
        >>> [net.paths(i) for i in (1, 2)]
        [2, 1]
    """

    kind: Kind
    weights: Sequence[float]
    x0: float = 1.0

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise UnknownNameError("scalar network", self.kind, get_args(Kind))

    @property
    def depth(self) -> int:
        """Return L, the number of layers."""
        return len(self.weights)

    @property
    def output(self) -> float:
        """Return y at full depth."""
        if self.kind == "acn":
            prefixes = (math.prod(self.weights[:i]) for i in range(self.depth + 1))
            return self.x0 * sum(prefixes)
        return self.x0 * math.prod(self._factors(self.weights))

    def gradient(self, layer: int) -> float:
        """Return the full gradient dy / dw_i: the gradient at layer i's output times its input.

        Raises:
            DepthError: There is no such layer.
        """
        return self._given(layer) * self._back(layer)

    def direct(self, layer: int) -> float:
        """Return the part of the gradient that passes through no later layer's own map.

        It is the "1" of table 1: the long connection of layer i in an ACN, the skips in a residual
        network. In a feed-forward network only the last layer has it.
        """
        straight = self.kind != "ffn" or self._index(layer) == self.depth - 1
        return self._given(layer) * float(straight)

    def mediated(self, layer: int) -> float:
        """Return the part of the gradient that passes through the maps of later layers."""
        return self.gradient(layer) - self.direct(layer)

    def paths(self, layer: int) -> int:
        """Return the number of paths that the gradient takes back: 1, 2^(L - i) or L - i + 1."""
        later = self.depth - 1 - self._index(layer)
        ways: dict[str, int] = {"ffn": 1, "residual": 2**later, "acn": later + 1}
        return ways[self.kind]

    def _given(self, layer: int) -> float:
        """Return the input of layer i."""
        before = self.weights[: self._index(layer)]
        return self.x0 * math.prod(before if self.kind == "acn" else self._factors(before))

    def _back(self, layer: int) -> float:
        """Return the derivative of y with respect to the output of layer i."""
        after = self.weights[self._index(layer) + 1 :]
        if self.kind == "acn":
            return float(sum(math.prod(after[:n]) for n in range(len(after) + 1)))
        return float(math.prod(self._factors(after)))

    def _factors(self, weights: Sequence[float]) -> list[float]:
        return [w + (self.kind == "residual") for w in weights]

    def _index(self, layer: int) -> int:
        if not 1 <= layer <= self.depth:
            raise DepthError(layer, self.depth)
        return layer - 1
