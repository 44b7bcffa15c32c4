"""A residual stream forward, an Auto-Compressing Network backward."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from autocompress.connectivity.base import BlockCall, Connectivity, finite_strength

__all__ = ["Detached"]

#: (x_k, sum of the earlier x_i; None while there are none)
_State = tuple[Tensor, Tensor | None]


class Detached(Connectivity[_State]):
    """A rule whose layers read the whole residual stream, with a gradient only to its newest part.

    With sg(.) the identity that stops gradients and f_i a layer without its last skip,

        x_i = f_i(x_{i-1} + sg(x_0 + ... + x_{i-2}))
        y_k = x_0 + ... + x_k                          what the head reads at depth k

    For layers of one branch the forward pass equals that of a residual network, where x_i is what
    layer i adds. The gradient reaches x_i only in the two ways of an ACN, through the long
    connection to the head and through layer i + 1, and not through a residual network's shortcuts
    past later layers. A layer therefore need not relay its input, as in a residual network, and is
    still trained to be read directly, as in an ACN. In a layer of several branches the stream
    receives the output of the last one; with ``inner`` 1 that branch reads the sum of the stream
    and the other branches. Two tensors are live at any depth.

    Args:
        depth: Number of layers.
        inner: Skip strength of all but the last branch of a layer.

    Raises:
        ConfigError: The strength is not a finite number.

    Example:
        >>> Detached(depth=3, inner=1.0).to_config()
        {'name': 'detached', 'inner': 1.0}
    """

    def __init__(self, depth: int, *, inner: float = 0.0) -> None:
        super().__init__()
        self.depth, self.inner = depth, finite_strength("inner", inner)

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
