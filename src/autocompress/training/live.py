"""Depth that changes while training: top layers that are redundant go, or layers join."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from autocompress.errors import ConfigError
from autocompress.network import Network

__all__ = ["GrowConfig", "LiveConfig", "carry_over", "dropped_layers", "layer_drop"]


@dataclass(frozen=True, kw_only=True)
class LiveConfig:
    """Drop top layers while training, once validation has shown them redundant for long enough.

    The rule: at each evaluation, the depth that would do is the shallowest one within
    ``tolerance`` of full depth's score. When each of the last ``patience`` evaluations says that
    fewer layers would do, all above the deepest of these depths plus ``spare`` are dropped.

    Args:
        tolerance: a fraction of examples; 0.002 is 0.2 points.
        patience: evaluations in a row that must agree, all of the present depth.
        start: share of all epochs before which nothing is dropped. On a path, layers are judged
            best when the gates have arrived.
        spare: layers that are kept above the deepest of these depths.
    """

    tolerance: float = 0.002
    patience: int = 3
    start: float = 0.5
    spare: int = 1

    def __post_init__(self) -> None:
        if not (0 <= self.tolerance < 1 and 0 <= self.start <= 1):
            raise ConfigError(f"live.tolerance {self.tolerance} and start {self.start} are shares")
        if self.patience < 1 or self.spare < 0:
            raise ConfigError(f"live.patience {self.patience}, live.spare {self.spare}: too small")

    def depth(self, history: Sequence[dict[str, Any]], epochs: int) -> int | None:
        """The depth to go on with, or None to leave it as it is.

        >>> seen = [{"epoch": 8, "depths": [0.1, 0.9, 0.9, 0.9]}]
        >>> LiveConfig(patience=1, spare=0).depth(seen, epochs=10)
        1
        """
        seen = [record["depths"] for record in history if "depths" in record][-self.patience :]
        if len(seen) < self.patience or history[-1]["epoch"] < self.start * epochs:
            return None
        if len({len(scores) for scores in seen}) > 1 or "depths" not in history[-1]:
            return None
        would_do = [
            next(k for k, score in enumerate(scores) if score >= scores[-1] - self.tolerance)
            for scores in seen
        ]
        depth = max(1, max(would_do) + self.spare)
        return depth if depth < len(seen[-1]) - 1 else None


@dataclass(frozen=True, kw_only=True)
class GrowConfig:
    """Train the first few layers first; the others join one after the other, or together.

    Args:
        layers: how many run at the start.
        until: share of all steps after which all of them run.
        together: all others join at ``until``, none before.
        copy: layers that join begin as copies of those that have run, the first of them as the
            first; else with their weights of the start.
    """

    layers: int = 2
    until: float = 0.5
    together: bool = False
    copy: bool = False

    def __post_init__(self) -> None:
        if self.layers < 1 or not 0 < self.until <= 1:
            raise ConfigError(f"grow.layers {self.layers} or grow.until {self.until} is no start")

    def depth(self, progress: float, layers: int) -> int:
        """How many of the layers run when the share ``progress`` of the run is over.

        >>> [GrowConfig(layers=2, until=0.5).depth(p, 4) for p in (0.0, 0.2, 0.4, 0.6)]
        [2, 3, 4, 4]
        """
        first = min(self.layers, layers)
        if self.together:
            return layers if progress >= self.until else first
        joined = int((layers - first + 1) * min(1.0, progress / self.until))
        return min(layers, first + joined)

    def fill(self, net: Network, before: float, progress: float) -> None:
        """Let layers that join now begin as copies, where that is asked for.

        Args:
            net: the network, changed in place.
            before: share of the run that was over at the last step.
            progress: share that is over now.

        Raises:
            ConfigError: layers of other shapes.
        """
        ran, now = (self.depth(share, net.depth) for share in (before, progress))
        blocks = [block for trunk in net.trunks for block in trunk.blocks]
        for index in range(ran, now if self.copy else ran):
            try:
                blocks[index].load_state_dict(blocks[index % ran].state_dict())
            except RuntimeError as error:
                raise ConfigError(
                    f"grow.copy: layer {index + 1} has not the shape of layer {index % ran + 1}; "
                    "leave grow.copy out"
                ) from error


def layer_drop(most: float, layers: int, progress: float = 1.0) -> list[float]:
    """The probability that a step leaves layer l out: S(t) D(l) ``most``, as in LayerSkip.

    D(l) = 2^(l / (L - 1)) - 1 grows from 0 at the first layer to 1 at the last; S(t) = 2^t - 1
    grows with the share t of the run (Elhoushi et al., LayerSkip, ACL 2024, section 4.1).

    >>> [round(p, 3) for p in layer_drop(0.1, 3)]
    [0.0, 0.041, 0.1]
    >>> [round(p, 3) for p in layer_drop(0.1, 3, progress=0.5)]
    [0.0, 0.017, 0.041]
    """
    return [
        most * (2.0**progress - 1) * (2.0 ** (layer / max(1, layers - 1)) - 1)
        for layer in range(layers)
    ]


def dropped_layers(shares: Sequence[float]) -> list[int]:
    """Draw which layers a step leaves out, each with its probability.

    Where all are 0 nothing is drawn, so that other runs keep their random numbers.
    """
    if not any(shares):
        return []
    drawn = torch.rand(len(shares)).tolist()
    return [index for index, share in enumerate(shares) if drawn[index] < share]


def carry_over(
    optimizer: torch.optim.Optimizer,
    before: Iterable[tuple[str, nn.Parameter]],
    after: Iterable[tuple[str, nn.Parameter]],
) -> None:
    """Let an optimizer go on with the parameters that are left, their state with them.

    A parameter that has become shorter under its old name (learned gates of fewer layers) keeps
    the first entries of its state.

    Args:
        optimizer: changed in place.
        before: names and parameters that it was made for.
        after: those that are left.
    """
    left = dict(after)
    heirs = {id(old): left.get(name) for name, old in before}
    for group in optimizer.param_groups:
        group["params"] = [heirs[id(p)] for p in group["params"] if heirs[id(p)] is not None]
    states = dict(optimizer.state)
    optimizer.state.clear()
    for old, state in states.items():
        new = heirs[id(old)]
        if new is not None:
            optimizer.state[new] = {key: _first(value, new) for key, value in state.items()}


def _first(value: Any, parameter: nn.Parameter) -> Any:
    """A state's value, cut to the shape of its parameter."""
    if not isinstance(value, torch.Tensor) or value.ndim == 0 or value.shape == parameter.shape:
        return value
    return value[tuple(slice(size) for size in parameter.shape)].clone()
