"""The contract of a connectivity: three calls that the one loop over depth makes.

Shapes: x is (batch, ..., width); a rule never looks inside it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, Generic, Protocol, TypeVar

from torch import Tensor, nn

from autocompress.errors import ConfigError, DepthError

__all__ = ["BlockCall", "Connectivity", "Gate"]

#: Strength of a connection. A float is a constant of the graph (0 and 1 cost nothing),
#: a tensor is a value that may be learned or scheduled.
Gate = float | Tensor

S = TypeVar("S")


class BlockCall(Protocol):
    """One layer f_i as the rule sees it: a call with the strength of its short connections."""

    def __call__(self, x: Tensor, short: Gate = 1.0, inner: Gate | None = None) -> Tensor: ...


class Connectivity(nn.Module, ABC, Generic[S]):
    """What a block receives and what the head reads.

    A rule is a module because its gates may be learned, but it keeps nothing of a forward pass:
    all of that is in the ``state`` that :meth:`begin` makes and :meth:`step` hands on. So two
    passes may interleave, and a pass may stop at any depth.

    Subclasses implement five methods; a rule whose state counts the layers overrides :meth:`skip`
    as well.
    """

    #: Number of layers that the rule has gates for.
    depth: int

    @abstractmethod
    def begin(self, x0: Tensor) -> S:
        """The state before the first block, from the stem's output."""

    @abstractmethod
    def step(self, state: S, index: int, block: BlockCall) -> S:
        """The state after block ``index`` (from 0), which is called once."""

    def skip(self, state: S, index: int) -> S:
        """The state where layer ``index`` is left out (layer dropout): as it was."""
        return state

    @abstractmethod
    def readout(self, state: S) -> Tensor:
        """What the head reads when the pass ends in ``state``. Changes nothing."""

    @abstractmethod
    def cut(self, depth: int) -> Connectivity[S]:
        """The rule of the first ``depth`` layers: a copy whose readouts equal this one's."""

    @abstractmethod
    def to_config(self) -> dict[str, Any]:
        """JSON that :func:`autocompress.connectivity.resolve` makes the same rule from."""

    def settled(self) -> Connectivity[S]:
        """Return the rule with gates that a schedule has moved fixed where they are."""
        return self

    def move(self, short: float | Sequence[float], long: float | Sequence[float]) -> None:
        """Put scheduled gates at a new point of the plane.

        Raises:
            ConfigError: the rule has no gates that can be moved.
        """
        raise ConfigError(
            f"{type(self).__name__} has no gates that can be moved: build the network with "
            "connectivity={'name': 'plane', 'gates': 'scheduled', ...}"
        )

    def is_residual(self) -> bool:
        """Return whether the network is an ordinary residual one."""
        return False

    def gate_parameters(self) -> Iterator[nn.Parameter]:
        """Yield the learned strengths of connections, which learn at a rate of their own.

        What else a rule learns (averages, mixing matrices) learns as the rest of the network.
        """
        yield from ()

    def check_depth(self, depth: int) -> int:
        """``depth`` if the rule has it. Raises DepthError."""
        if not 0 <= depth <= self.depth:
            raise DepthError(depth, self.depth)
        return depth
