"""Define the contract of a connectivity: the three calls made by the loop over depth.

Shapes: x is (batch, ..., width); a rule never looks inside it.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, Generic, Protocol, TypeVar

from torch import Tensor, nn

from autocompress.errors import ConfigError, DepthError

__all__ = ["BlockCall", "Connectivity", "Gate", "check_layers", "finite_strength"]

#: Strength of a connection: a float is a constant in the graph (0 and 1 cost nothing), while a
#: tensor may be learned or scheduled.
Gate = float | Tensor

S = TypeVar("S")


class BlockCall(Protocol):
    """A layer f_i as the rule sees it: a call with the strengths of its short connections."""

    def __call__(self, x: Tensor, short: Gate = 1.0, inner: Gate | None = None) -> Tensor: ...


class Connectivity(nn.Module, ABC, Generic[S]):
    """A rule that decides what each block receives and what the head reads.

    A rule is a module because its gates may be learned, but it stores nothing about a forward pass:
    everything is in the ``state`` that :meth:`begin` creates and :meth:`step` passes on. Two passes
    may therefore interleave, and a pass may stop at any depth.

    Subclasses implement five methods; a rule whose state counts the layers also overrides
    :meth:`skip`.
    """

    #: Number of layers that the rule covers.
    depth: int

    @abstractmethod
    def begin(self, x0: Tensor) -> S:
        """Return the state before the first block, given the stem's output."""

    @abstractmethod
    def step(self, state: S, index: int, block: BlockCall) -> S:
        """Call block ``index`` (from 0) exactly once and return the state after it."""

    def skip(self, state: S, index: int) -> S:
        """Return the state after skipping layer ``index`` (layer dropout): unchanged by default."""
        return state

    @abstractmethod
    def readout(self, state: S) -> Tensor:
        """Return what the head reads if the pass ends in ``state``, which is not modified."""

    @abstractmethod
    def cut(self, depth: int) -> Connectivity[S]:
        """Return a copy for the first ``depth`` layers, with the same readouts as this rule."""

    def only(self, layers: Sequence[int]) -> Connectivity[S]:
        """Return a copy for these layers (from 0, ascending), as if there had been no others.

        Parameters that are frozen here stay frozen in the copy, and each part keeps its mode.

        Args:
            layers: The layers that remain. The first k are a cut, which every rule allows.

        Raises:
            ConfigError: The layers are not ascending, or layers other than the last are missing and
                the rule is not residual.
            DepthError: There is no such layer.
        """
        check_layers(layers, self.depth)
        if list(layers) == list(range(len(layers))):
            return self._like_this(self.cut(len(layers)))
        if not self.is_residual():
            raise ConfigError(
                f"layers {list(layers)} leave out layers from the middle, which only a residual "
                "network allows; with other connections only the last layers can be removed: give "
                f"a depth (--depth {len(layers)}; in Python, cut(net, {len(layers)}))"
            )
        # the same for every layer, since it is residual
        return self._like_this(self.cut(len(layers)))

    def _like_this(self, rule: Connectivity[S]) -> Connectivity[S]:
        """Return ``rule``, cut from this one, after freezing what is frozen here.

        Raises:
            ConfigError: A parameter has other values than that of the same layers here.
        """
        own, parts = dict(self.named_parameters()), dict(self.named_modules())
        for name, parameter in rule.named_parameters():
            if name in own:
                parameter.requires_grad_(own[name].requires_grad)
                if not _copied(parameter, own[name]):
                    raise ConfigError(
                        f"{type(self).__name__}.cut({rule.depth}) changes the values of {name}, so "
                        "the cut network would compute something else; expected a copy of those "
                        "of the first layers"
                    )
        for name, module in rule.named_modules():
            module.training = parts.get(name, self).training
        return rule

    @abstractmethod
    def to_config(self) -> dict[str, Any]:
        """Return JSON from which :func:`autocompress.connectivity.make_rule` rebuilds the rule."""

    def settled(self) -> Connectivity[S]:
        """Return the rule with scheduled gates fixed at their current values."""
        return self

    def move(self, short: float | Sequence[float], long: float | Sequence[float]) -> None:
        """Move scheduled gates to a new point of the plane.

        Raises:
            ConfigError: The rule has no gates that can be moved.
        """
        raise ConfigError(
            f"{type(self).__name__} has no gates that can be moved: build the network with "
            "connectivity={'name': 'plane', 'gates': 'scheduled', ...}"
        )

    def can_move(self) -> bool:
        """Return whether scheduled gates may take this rule's place: it is a point of the plane."""
        return False

    def is_residual(self) -> bool:
        """Return whether this rule makes an ordinary residual network."""
        return False

    def gate_parameters(self) -> Iterator[nn.Parameter]:
        """Yield the learned connection strengths, which have their own learning rate.

        A rule's other parameters (averages, mixing matrices) use the rest of the network's rate.
        """
        yield from ()

    def check_depth(self, depth: int) -> int:
        """Return ``depth`` if the rule has it, else raise DepthError."""
        if not 0 <= depth <= self.depth:
            raise DepthError(depth, self.depth)
        return depth


def _copied(cut: Tensor, whole: Tensor) -> bool:
    """Return whether a cut rule's parameter has the first values of the whole rule's."""
    if cut.is_meta or whole.is_meta or cut.dim() != whole.dim():
        return True
    first = whole[tuple(map(slice, cut.shape))]
    if first.shape != cut.shape:
        return True
    return bool(((cut == first.to(cut.device)) | cut.isnan()).all())


def check_layers(layers: Sequence[int], depth: int) -> None:
    """Raise an error unless these layers (from 0) can be kept in their order.

    Args:
        layers: Indices of the layers.
        depth: Number of layers that there are.

    Raises:
        DepthError: There is no such layer.
        ConfigError: The layers are not ascending.
    """
    for index in layers:
        if not 0 <= index < depth:
            raise DepthError(index, depth - 1, "layer")
    if not all(a < b for a, b in pairwise(layers)):
        raise ConfigError(f"layers {list(layers)} must be in ascending order, each one once")


def finite_strength(name: str, value: Any) -> float:
    """Return the constant strength of a connection as a float.

    Args:
        name: Name of the option that gives it.
        value: A number.

    Raises:
        ConfigError: It is not a finite number.
    """
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise ConfigError(f"{name} {value!r} must be a finite number, e.g. 1")
    return number
