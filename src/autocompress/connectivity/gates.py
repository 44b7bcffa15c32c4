"""The plane's (short, long) strengths: constant, scheduled or learned."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from autocompress.connectivity.base import Gate, finite_strength
from autocompress.errors import ConfigError

__all__ = ["GATES", "FixedGates", "Gates", "LearnedGates", "ScheduledGates", "TiedGates"]
__all__ += ["per_layer"]


class Gates(nn.Module, ABC):
    """One pair of strengths (s_i, g_i) per layer.

    s_i scales the skip added to the body's output in block i; g_i scales how much of that block's
    *input* x_{i-1} the head reads (see the equation in plane.py).

    Args:
        short: The strengths s, one per layer.
        long: The strengths g, one per layer.
        channels: Number of channels (the last dimension of x) that get their own gates, starting
            at these values; for learned gates only.
    """

    kind: str
    learn = False

    def __init__(
        self, short: Sequence[float], long: Sequence[float], channels: int | None = None
    ) -> None:
        super().__init__()
        if channels is not None and not self.learn:
            raise ConfigError(f"{self.kind} gates are one per layer; channels are for learned ones")
        if channels is not None and channels < 1:
            raise ConfigError(f"channels {channels} must be at least 1: the last dimension of x")
        self.channels = channels
        if len(short) != len(long):
            raise ConfigError(
                f"{len(short)} short gates but {len(long)} long ones: give one pair per layer"
            )

    @abstractmethod
    def at(self, index: int) -> tuple[Gate, Gate]:
        """Return (s, g) of layer ``index``, from 0."""

    @abstractmethod
    def values(self) -> tuple[list[float], list[float]]:
        """Return all s and all g as numbers, averaging per-channel gates within each layer."""

    def cut(self, depth: int) -> Gates:
        """Return gates of the same kind and values for the first ``depth`` layers."""
        twin = copy.deepcopy(self)
        for name, gate in self.named_parameters():
            twin.register_parameter(name, nn.Parameter(gate.detach()[:depth].clone()))
        for name, buffer in self.named_buffers():
            twin.register_buffer(name, buffer[:depth].clone())
        return twin


class FixedGates(Gates):
    """Constant gates; the compiler sees literal 0s and 1s and emits no multiplication."""

    kind = "fixed"

    def __init__(
        self, short: Sequence[float], long: Sequence[float], channels: int | None = None
    ) -> None:
        super().__init__(short, long, channels)
        self.short, self.long = tuple(map(float, short)), tuple(map(float, long))

    def at(self, index: int) -> tuple[Gate, Gate]:
        return self.short[index], self.long[index]

    def values(self) -> tuple[list[float], list[float]]:
        return list(self.short), list(self.long)

    def cut(self, depth: int) -> FixedGates:
        return FixedGates(self.short[:depth], self.long[:depth])


class _TensorGates(Gates):
    """Gates stored as two tensors of shape (depth,) or (depth, channels)."""

    short: Tensor
    long: Tensor

    def at(self, index: int) -> tuple[Gate, Gate]:
        return self.short[index], self.long[index]

    def values(self) -> tuple[list[float], list[float]]:
        return _by_layer(self.short), _by_layer(self.long)


class ScheduledGates(_TensorGates):
    """Gates in buffers that training moves; saved with the weights and never recompiled."""

    kind = "scheduled"

    def __init__(
        self, short: Sequence[float], long: Sequence[float], channels: int | None = None
    ) -> None:
        super().__init__(short, long, channels)
        self.register_buffer("short", torch.tensor(short, dtype=torch.float32))
        self.register_buffer("long", torch.tensor(long, dtype=torch.float32))

    @torch.no_grad()
    def move(self, short: float | Sequence[float], long: float | Sequence[float]) -> None:
        """Set the gates in place: one number for all layers, or one per layer."""
        depth = len(self.short)
        shorts, longs = per_layer("short", short, depth), per_layer("long", long, depth)
        _fill(self.short, shorts)
        _fill(self.long, longs)


class LearnedGates(_TensorGates):
    """Gates learned as two free parameters per layer, or per layer and channel."""

    kind, learn = "learned", True

    def __init__(
        self, short: Sequence[float], long: Sequence[float], channels: int | None = None
    ) -> None:
        super().__init__(short, long, channels)
        self.short, self.long = _parameter(short, channels), _parameter(long, channels)


class TiedGates(Gates):
    """Gates learned as one a_i per layer, or per layer and channel: s_i = a_i, g_i = 1 - a_i.

    Hybrid ACNs learn along this line from ACN (a = 0) to residual (a = 1) (H-ACN, OpenReview
    ORSclmXC6X).
    """

    kind, learn = "tied", True

    def __init__(
        self, short: Sequence[float], long: Sequence[float], channels: int | None = None
    ) -> None:
        super().__init__(short, long, channels)
        if any(abs(s + g - 1) > 1e-6 for s, g in zip(short, long, strict=True)):
            raise ConfigError(
                f"tied gates need long = 1 - short in every layer, not short={list(short)} with "
                f"long={list(long)}; use gates='learned' for two free gates"
            )
        self.share = _parameter(short, channels)

    def at(self, index: int) -> tuple[Gate, Gate]:
        share = self.share[index]
        return share, 1 - share

    def values(self) -> tuple[list[float], list[float]]:
        share = _by_layer(self.share.detach())
        return share, _by_layer(1 - self.share.detach()) if _known(self.share) else [1.0] * len(
            share
        )


def per_layer(name: str, value: float | Sequence[float], depth: int) -> list[float]:
    """Return a strength of each layer, given one number for all of them or one per layer.

    Raises:
        ConfigError: One is not a finite number, or their number is not ``depth``.
    """
    if hasattr(value, "tolist"):  # an array or a tensor
        value = value.tolist()
    if isinstance(value, Sequence) and not isinstance(value, str):
        if len(value) != depth:
            raise ConfigError(
                f"{name} has {len(value)} values for {depth} layer{'' if depth == 1 else 's'}: "
                "give one number, or one per layer"
            )
        return [finite_strength(name, v) for v in value]
    return [finite_strength(name, value)] * depth


def _fill(gates: Tensor, numbers: Sequence[float]) -> None:
    """Write numbers into gates without a host-to-device copy, which would synchronise."""
    if len(set(numbers)) == 1:
        gates.fill_(numbers[0])
        return
    for gate, number in zip(gates, numbers, strict=True):
        gate.fill_(number)


def _parameter(values: Sequence[float], channels: int | None) -> nn.Parameter:
    gates = torch.tensor(values, dtype=torch.float32)
    return nn.Parameter(gates if channels is None else gates[:, None].repeat(1, channels))


def _known(gates: Tensor) -> bool:
    """Return whether the gates hold numbers: not before a network's weights are loaded."""
    return not gates.is_meta


def _by_layer(gates: Tensor) -> list[float]:
    if not _known(gates):
        return [0.0] * len(gates)
    return (gates if gates.ndim == 1 else gates.mean(1)).tolist()


GATES: dict[str, type[Gates]] = {
    gates.kind: gates for gates in (FixedGates, ScheduledGates, LearnedGates, TiedGates)
}
