"""A residual stream forward, an Auto-Compressing Network backward."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from autocompress.connectivity.base import BlockCall, Connectivity

__all__ = ["Detached"]

#: x_k, and the sum of the earlier x_i (None while there are none)
_State = tuple[Tensor, Tensor | None]


class Detached(Connectivity[_State]):
    """Layers read the whole stream, but only its newest part carries a gradient.

    With sg(.) the identity that stops gradients and f_i a layer without its last skip,

        x_i = f_i(x_{i-1} + sg(x_0 + ... + x_{i-2}))
        y_k = x_0 + ... + x_k                          what the head reads at depth k

    For layers of one branch the numbers of a forward pass are a residual network's, where x_i is
    what layer i adds. The gradient with respect to x_i takes an ACN's two ways only: the long
    connection to the head, and layer i + 1; none of a residual network's short cuts through later
    layers. So a layer need not relay what came before it, as in a residual network, and is still
    trained to be read directly, as in an ACN. In a layer of several branches the stream receives
    what the last one computes; with ``inner`` 1 that branch reads the sum of the stream and the
    others. Two live tensors at any depth.

    Args:
        depth: Number of layers.
        inner: Skip strength of all but the last branch of a layer.

    Example:
        >>> Detached(depth=3, inner=1.0).to_config()
        {'name': 'detached', 'inner': 1.0}
    """

    def __init__(self, depth: int, *, inner: float = 0.0) -> None:
        super().__init__()
        self.depth, self.inner = depth, float(inner)

    def begin(self, x0: Tensor) -> _State:
        return x0, None

    def step(self, state: _State, index: int, block: BlockCall) -> _State:
        x, earlier = state
        stream = x if earlier is None else x + earlier.detach()
        return block(stream, 0.0, self.inner), self.readout(state)

    def readout(self, state: _State) -> Tensor:
        x, earlier = state
        return x if earlier is None else x + earlier

    def cut(self, depth: int) -> Detached:
        return Detached(self.check_depth(depth), inner=self.inner)

    def to_config(self) -> dict[str, Any]:
        return {"name": "detached", "inner": self.inner}
