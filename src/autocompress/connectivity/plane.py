"""Define the plane of connectivities, spanned by the short and the long connection's strengths.

With s_i the strength of the short connection in layer i and g_i that of the long one,

    x_i = f_i(x_{i-1}; s_i)              each branch computes post(s_i * x + body(x))
    y_k = x_k + sum_{i<k} g_{i+1} x_i    what the head reads at depth k

Feed-forward is (0, 0), a residual network (1, 0) and an Auto-Compressing Network (0, 1). In an ACN
y_k = sum_{i<=k} x_i, equation 1 of the paper (arXiv 2506.09714). Points in between are hybrids.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from torch import Tensor, nn

from autocompress.connectivity.base import BlockCall, Connectivity, Gate, finite_strength
from autocompress.connectivity.gates import GATES, Gates, ScheduledGates, per_layer
from autocompress.errors import ConfigError, ShapeError, UnknownNameError

__all__ = ["NAMED_POINTS", "Plane"]

#: The named corners of the plane.
NAMED_POINTS = {"ffn": (0.0, 0.0), "residual": (1.0, 0.0), "acn": (0.0, 1.0)}

#: (x_k, sum of the earlier x_i times their gates; None while that sum is empty)
_State = tuple[Tensor, Tensor | None]


class Plane(Connectivity[_State]):
    """A point of the plane; only two tensors are live, however deep the network.

    Args:
        depth: Number of layers.
        short: The strength s, one number or one per layer.
        long: The strength g, one number or one per layer.
        inner: Skip strength of all but the last branch of a layer, if it differs from s. At 1 the
            attention (or token mixing) skip stays while the layer's last skip is removed (the
            authors' "skipattn").
        gates: ``"fixed"`` constants, ``"scheduled"`` buffers that training moves, ``"learned"``
            parameters, or ``"tied"`` parameters with g = 1 - s (H-ACN).
        channels: Size of the last dimension of x, for learned or tied gates per channel; None
            uses one gate per layer.

    Raises:
        ConfigError: A strength is not a finite number, or the gates do not fit the depth.

    Example:
        >>> Plane(depth=3, short=0.0, long=1.0).name
        'acn'
    """

    def __init__(
        self,
        depth: int,
        short: float | Sequence[float] = 0.0,
        long: float | Sequence[float] = 1.0,
        *,
        inner: float | None = None,
        gates: str = "fixed",
        channels: int | None = None,
    ) -> None:
        super().__init__()
        if gates not in GATES:
            raise UnknownNameError("gates", gates, GATES)
        self.depth = depth
        self.inner = None if inner is None else finite_strength("inner", inner)
        self.gates: Gates = GATES[gates](
            per_layer("short", short, depth), per_layer("long", long, depth), channels
        )

    @property
    def name(self) -> str:
        """Return ``acn``, ``residual`` or ``ffn`` at the corners, else ``plane``."""
        if self.gates.kind == "fixed":
            short, long = self.gates.values()
            for name, (s, g) in NAMED_POINTS.items():
                if all(v == s for v in short) and all(v == g for v in long):
                    return name
        return "plane"

    def begin(self, x0: Tensor) -> _State:
        parts: dict[str, Any] = self._modules  # ``self.gates`` would show in small batches
        channels = parts["gates"].channels
        if channels is not None and x0.shape[-1] != channels:
            raise ShapeError(f"gates of {channels} channels, but x has {x0.shape[-1]}")
        return x0, None

    def step(self, state: _State, index: int, block: BlockCall) -> _State:
        x, earlier = state
        parts: dict[str, Any] = self._modules
        short, long = parts["gates"].at(index)
        inner = short if self.inner is None else self.inner
        return block(x, short, inner), _add(earlier, long, x)

    def readout(self, state: _State) -> Tensor:
        x, earlier = state
        return x if earlier is None else x + earlier

    def cut(self, depth: int) -> Plane:
        self.check_depth(depth)
        rule = Plane(0, inner=self.inner)
        rule.depth, rule.gates = depth, self.gates.cut(depth)
        return rule

    def move(self, short: float | Sequence[float], long: float | Sequence[float]) -> None:
        """Move scheduled gates to a new point of the plane.

        Raises:
            ConfigError: The gates are not scheduled, a strength is not a finite number, or there is
                not one for each layer.
        """
        if not isinstance(self.gates, ScheduledGates):
            raise ConfigError(
                f"{self.gates.kind} gates cannot be moved: build the network with "
                "connectivity={'name': 'plane', 'gates': 'scheduled', ...}"
            )
        self.gates.move(short, long)

    def settled(self) -> Plane:
        """Return the same point with fixed gates if they are scheduled, else this rule."""
        if not isinstance(self.gates, ScheduledGates):
            return self
        short, long = self.gates.values()
        return Plane(self.depth, short, long, inner=self.inner)

    def can_move(self) -> bool:
        return not self.gates.learn  # what has been learned would be lost

    def is_residual(self) -> bool:
        short, long = self.gates.values()
        return set(short) <= {1.0} and set(long) <= {0.0} and self.inner in (None, 1.0)

    def gate_parameters(self) -> Iterator[nn.Parameter]:
        yield from self.gates.parameters()

    def to_config(self) -> dict[str, Any]:
        config: dict[str, Any] = {"name": self.name}
        if config["name"] == "plane":
            short, long = self.gates.values()
            config |= {"short": short, "long": long, "gates": self.gates.kind}
        if self.gates.channels is not None:
            config["channels"] = self.gates.channels
        if self.inner is not None:
            config["inner"] = self.inner
        return config

    def extra_repr(self) -> str:
        return ", ".join(f"{key}={value!r}" for key, value in self.to_config().items())


def _add(total: Tensor | None, gate: Gate, x: Tensor) -> Tensor | None:
    """Return total + gate * x, without multiplying if the gate is the constant 0 or 1."""
    if isinstance(gate, float):
        if gate == 0.0:
            return total
        term = x if gate == 1.0 else gate * x
    else:
        term = gate * x
    return term if total is None else total + term
