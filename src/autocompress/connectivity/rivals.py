"""Rival inter-layer rules for comparison: DenseFormer, hyper-connections and dense connections.

Unlike the plane they keep all earlier outputs, or several streams, in memory.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from autocompress.connectivity.base import BlockCall, Connectivity, Gate, finite_strength
from autocompress.errors import ConfigError, ShapeError

__all__ = ["Dense", "DenseFormer", "HyperConnections"]


class DenseFormer(Connectivity[tuple[Tensor, tuple[Tensor, ...]]]):
    """Depth-weighted averages after residual blocks (Pagliardini et al., DenseFormer, 2024).

        x_i = f_i(y_{i-1})              f_i a residual block
        y_i = sum_{j<=i} a_ij x_j       a_ii = 1 and a_ij = 0 at the start: a residual network

    Args:
        depth: Number of layers.
    """

    def __init__(self, depth: int) -> None:
        super().__init__()
        self.depth = depth
        self.weights = nn.Parameter(torch.eye(depth, depth + 1).roll(1, dims=1))

    def begin(self, x0: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        return x0, (x0,)

    def step(
        self, state: tuple[Tensor, tuple[Tensor, ...]], index: int, block: BlockCall
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        y, outputs = state
        outputs = (*outputs, block(y))
        weights = self.weights[index, : len(outputs)]
        return torch.stack(outputs, dim=-1) @ weights, outputs

    def skip(
        self, state: tuple[Tensor, tuple[Tensor, ...]], index: int
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        return self.step(state, index, _identity)  # the averages count every layer

    def readout(self, state: tuple[Tensor, tuple[Tensor, ...]]) -> Tensor:
        return state[0]

    def cut(self, depth: int) -> DenseFormer:
        twin = DenseFormer(self.check_depth(depth))
        twin.weights = nn.Parameter(self.weights.detach()[:depth, : depth + 1].clone())
        return twin

    def to_config(self) -> dict[str, Any]:
        return {"name": "denseformer"}


class HyperConnections(Connectivity[Tensor]):
    """Several residual streams, mixed with learned weights (Zhu et al., ICLR 2025).

    With H the n streams, each layer reads h = H a, and H becomes H R + (f(h) - h) b^T, the static
    form of the paper's equation. Initially a cycles through the unit vectors, R is the identity and
    b is all ones, so every stream is that of a residual network. The head reads the streams' mean.

    Args:
        depth: Number of layers.
        streams: The number of streams n.
    """

    def __init__(self, depth: int, *, streams: int = 4) -> None:
        super().__init__()
        if streams < 1:
            raise ConfigError(f"streams {streams} must be at least 1")
        self.depth, self.streams = depth, streams
        turns = torch.arange(depth) % streams
        self.read = nn.Parameter(torch.eye(streams)[turns])
        self.mix = nn.Parameter(torch.eye(streams).repeat(depth, 1, 1))
        self.write = nn.Parameter(torch.ones(depth, streams))

    def begin(self, x0: Tensor) -> Tensor:
        return x0.unsqueeze(-1).expand(*x0.shape, self.streams)

    def step(self, state: Tensor, index: int, block: BlockCall) -> Tensor:
        h = state @ self.read[index]
        added = (block(h) - h).unsqueeze(-1) * self.write[index]
        return state @ self.mix[index] + added

    def readout(self, state: Tensor) -> Tensor:
        return state.mean(-1)

    def cut(self, depth: int) -> HyperConnections:
        twin = HyperConnections(self.check_depth(depth), streams=self.streams)
        for name, parameter in self.named_parameters():
            setattr(twin, name, nn.Parameter(parameter.detach()[:depth].clone()))
        return twin

    def to_config(self) -> dict[str, Any]:
        return {"name": "hyper", "streams": self.streams}


class Dense(Connectivity[tuple[Tensor, ...]]):
    """A rule that feeds all earlier outputs to every layer (Huang et al., DenseNet, CVPR 2017).

    x_i = f_i(W_i [x_0, .. x_{i-1}]), where f_i has no last skip and the linear map W_i reduces the
    concatenated channels to the width of one output (DenseNet's 1x1 bottleneck). The head reads
    x_k.

    Args:
        depth: Number of layers.
        channels: Size of the last dimension of x.
        inner: Skip strength of all but the last branch of a layer.

    Raises:
        ConfigError: The strength is not a finite number, or there are no channels.
    """

    def __init__(self, depth: int, *, channels: int, inner: float = 0.0) -> None:
        super().__init__()
        if channels < 1:
            raise ConfigError(f"channels {channels} must be at least 1: the last dimension of x")
        self.depth, self.channels, self.inner = depth, channels, finite_strength("inner", inner)
        self.maps = nn.ModuleList(
            nn.Linear(channels * (index + 1), channels, bias=False) for index in range(depth)
        )

    def begin(self, x0: Tensor) -> tuple[Tensor, ...]:
        if x0.shape[-1] != self.channels:
            raise ShapeError(f"a dense rule of {self.channels} channels, but x has {x0.shape[-1]}")
        return (x0,)

    def step(self, state: tuple[Tensor, ...], index: int, block: BlockCall) -> tuple[Tensor, ...]:
        x = self.maps[index](torch.cat(state, dim=-1))
        return (*state, block(x, 0.0, self.inner))

    def skip(self, state: tuple[Tensor, ...], index: int) -> tuple[Tensor, ...]:
        return self.step(state, index, _identity)  # the maps count every layer

    def readout(self, state: tuple[Tensor, ...]) -> Tensor:
        return state[-1]

    def cut(self, depth: int) -> Dense:
        twin = Dense(0, channels=self.channels, inner=self.inner)
        twin.depth = self.check_depth(depth)
        twin.maps = nn.ModuleList(self.maps[:depth])
        return twin

    def to_config(self) -> dict[str, Any]:
        return {"name": "dense", "channels": self.channels, "inner": self.inner}


def _identity(x: Tensor, short: Gate = 1.0, inner: Gate | None = None) -> Tensor:
    """Return the input, in place of a skipped layer."""
    return x
