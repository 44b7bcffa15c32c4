"""A rule of the plane whose layers read the network's input as well as the previous layer."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, cast

from torch import Tensor

from autocompress.connectivity.base import BlockCall, Connectivity, Gate, finite_strength
from autocompress.connectivity.plane import Plane

__all__ = ["InputFed"]

#: (x_0, (x_k, sum of the earlier x_i times their gates))
_State = tuple[Tensor, tuple[Tensor, Tensor | None]]


class InputFed(Connectivity[_State]):
    """A rule by which every layer after the first reads x_0 beside the previous layer's output.

    With s_i and g_i the strengths of the plane (plane.py) and c the strength of the input,

        x_1 = f_1(x_0; s_1)
        x_i = f_i(x_{i-1} + c x_0; s_i)      i > 1
        y_k = x_k + sum_{i<k} g_{i+1} x_i    what the head reads at depth k

    An ACN's layer passes on only what it computes, so all earlier layers must relay whatever a
    later layer needs of the input. With this rule they need not. The strengths are constants; the
    default is an ACN. Three tensors are live at any depth.

    Args:
        depth: Number of layers.
        input: The input's strength c; at 0 the rule equals the plane's.
        short: The strength s, one number or one per layer.
        long: The strength g, one number or one per layer.
        inner: Skip strength of all but the last branch of a layer, if it differs from s.

    Raises:
        ConfigError: A strength is not a finite number, or the strengths do not fit the depth.

    Example:
        >>> InputFed(depth=3, inner=1.0).to_config()
        {'name': 'input_fed', 'input': 1.0, 'inner': 1.0}
    """

    def __init__(
        self,
        depth: int,
        *,
        input: float = 1.0,
        short: float | Sequence[float] = 0.0,
        long: float | Sequence[float] = 1.0,
        inner: float | None = None,
    ) -> None:
        super().__init__()
        self.depth, self.input = depth, finite_strength("input", input)
        self.plane = Plane(depth, short, long, inner=inner)

    def begin(self, x0: Tensor) -> _State:
        return x0, self.plane.begin(x0)

    def step(self, state: _State, index: int, block: BlockCall) -> _State:
        x0, inside = state
        if index > 0 and self.input != 0.0:
            fed = x0 if self.input == 1.0 else self.input * x0
            block = cast(BlockCall, partial(_call_fed, block, fed))
        return x0, self.plane.step(inside, index, block)

    def readout(self, state: _State) -> Tensor:
        return self.plane.readout(state[1])

    def cut(self, depth: int) -> InputFed:
        rule = InputFed(0, input=self.input)
        rule.depth, rule.plane = self.check_depth(depth), self.plane.cut(depth)
        return rule

    def is_residual(self) -> bool:
        return self.input == 0.0 and self.plane.is_residual()

    def to_config(self) -> dict[str, Any]:
        config: dict[str, Any] = {"name": "input_fed", "input": self.input}
        if self.plane.name != "acn":
            config["short"], config["long"] = self.plane.gates.values()
        if self.plane.inner is not None:
            config["inner"] = self.plane.inner
        return config

    def extra_repr(self) -> str:
        return f"input={self.input!r}"


def _call_fed(
    block: BlockCall, fed: Tensor, x: Tensor, short: Gate = 1.0, inner: Gate | None = None
) -> Tensor:
    return block(x + fed, short, inner)
