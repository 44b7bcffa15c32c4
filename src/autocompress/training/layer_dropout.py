"""Layer dropout as in LayerSkip: each step skips layers, later ones more often."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from autocompress.errors import ConfigError
from autocompress.network import Network
from autocompress.training.hooks import Hook, HookOptions, Moment

__all__ = ["LayerDropConfig", "LayerDropout", "dropped_layers", "layer_drop"]


def layer_drop(most: float, layers: int, progress: float = 1.0) -> list[float]:
    """Return the probability that a step skips layer l: S(t) D(l) ``most``, as in LayerSkip.

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
    """Draw the layers that a step skips, each with its probability.

    If all probabilities are 0 nothing is drawn, so that other runs keep their random numbers.
    """
    if not any(shares):
        return []
    drawn = torch.rand(len(shares)).tolist()
    return [index for index, share in enumerate(shares) if drawn[index] < share]


@dataclass(frozen=True, kw_only=True)
class LayerDropConfig(HookOptions):
    """The settings ``layer_drop`` and ``layer_drop_grows`` of a training.

    Args:
        most: Probability for the last layer.
        grows: Whether the probability rises from 0 to ``most`` over the run.

    Raises:
        ConfigError: ``most`` is not in [0, 1).
    """

    most: float
    grows: bool = False
    shallower: ClassVar[bool] = True
    alone: ClassVar[str] = "layer_drop draws layers for a whole batch: train in one process"

    def __post_init__(self) -> None:
        if not 0 <= self.most < 1:
            raise ConfigError(f"layer_drop {self.most} must be a probability in [0, 1)")

    def check(self, config: Any) -> None:
        """Raise ConfigError for a compiled training."""
        if config.compile != "off":
            raise ConfigError("layer_drop changes the graph in every step: compile must be 'off'")

    def hook(self, net: Network, copies: Sequence[Network]) -> LayerDropout:
        """Return the hook that draws the layers to skip."""
        return LayerDropout(self.most, self.grows)


class LayerDropout(Hook):
    """A hook that draws the layers each step skips.

    Args:
        most: Probability for the last layer.
        grows: Whether the probability rises from 0 to ``most`` over the run.
    """

    def __init__(self, most: float, grows: bool = False) -> None:
        self.most, self.grows = most, grows

    def dropped(self, layers: int, moment: Moment) -> Sequence[int]:
        """Return the layers to skip, drawn with torch's global generator."""
        progress = moment.progress if self.grows else 1.0
        return dropped_layers(layer_drop(self.most, layers, progress))
