"""An exponential moving average of the weights that never waits for the device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from autocompress.errors import ConfigError
from autocompress.network import Network
from autocompress.training.hooks import Hook, HookOptions

__all__ = ["Average", "Averaging", "EmaConfig"]


class Average(AveragedModel):
    """The average of a network's weights over the steps: ``average = decay * average + ...``.

    torch's own ``update_parameters`` compares its counter, which lives on the device, with 0 at
    every step, and so waits for all pending work on the device. Here the counter is read once,
    before the first update.

    Args:
        net: The network whose weights are averaged; the average starts as a copy of it.
        decay: Weight of the average so far, between 0 and 1.

    Example:
        >>> import autocompress as ac
        >>> net = ac.models.MLP(depth=1, width=4, classes=3, image_size=2, channels=1)
        >>> average = Average(net, decay=0.9)
        >>> average.update_parameters(net)
        >>> int(average.n_averaged)
        1
    """

    def __init__(self, net: Network, decay: float) -> None:
        super().__init__(net)
        self.decay = decay
        self._begun: bool | None = None

    @torch.no_grad()
    def update_parameters(self, model: nn.Module) -> None:
        """Add the weights of ``model`` to the average; first weights and buffers are copied."""
        if self._begun is None:
            self._begun = int(self.n_averaged) > 0  # a resumed run has loaded the counter by now
        own: list[Tensor] = list(self.module.parameters())
        theirs: list[Tensor] = list(model.parameters())
        if self._begun:
            torch._foreach_lerp_(own, theirs, 1 - self.decay)
        else:
            torch._foreach_copy_(own, theirs)
        self.copy_buffers(model)
        self.n_averaged.add_(1)
        self._begun = True

    @torch.no_grad()
    def copy_buffers(self, model: nn.Module) -> None:
        """Copy the buffers of ``model``, which are not averaged."""
        for kept, now in zip(self.module.buffers(), model.buffers(), strict=True):
            kept.copy_(now)


@dataclass(frozen=True, kw_only=True)
class EmaConfig(HookOptions):
    """The setting ``ema`` of a training.

    Args:
        decay: Weight of the average so far.

    Raises:
        ConfigError: The decay is not between 0 and 1.
    """

    decay: float

    def __post_init__(self) -> None:
        if not 0 < self.decay < 1:
            raise ConfigError(f"ema {self.decay} must be between 0 and 1, or left out")

    def hook(self, net: Network, copies: Sequence[Network]) -> Averaging:
        """Return the hook that averages the weights."""
        return Averaging(net, self.decay)


class Averaging(Hook):
    """A hook that averages the weights; the average is evaluated, and kept when training ends.

    Args:
        net: The network whose weights are averaged.
        decay: Weight of the average so far, between 0 and 1.
    """

    kept_as: ClassVar[str] = "ema"
    place: ClassVar[int] = 1  # it averages what the others have changed

    def __init__(self, net: Network, decay: float) -> None:
        self.average = Average(net, decay)
        self.copies = (self.network,)

    @property
    def network(self) -> Network:
        """Return the network with the averaged weights."""
        return cast(Network, self.average.module)

    def after_step(self, net: Network) -> None:
        """Add the new weights to the average."""
        self.average.update_parameters(net)

    def after_epoch(self, net: Network, epoch: int, epochs: int) -> None:
        """Copy the buffers again: a path has moved its gates to its end."""
        self.average.copy_buffers(net)

    def evaluated(self, net: Network) -> Network:
        """Return the network with the averaged weights."""
        return self.network

    def after_cut(self, depth: int) -> None:
        """Cut the average as well."""
        self.network.keep(depth)

    def finish(self, net: Network) -> None:
        """Give the network its averaged weights."""
        net.load_state_dict(self.network.state_dict())

    def state_dict(self) -> dict[str, Any]:
        """Return the average and its counter."""
        return self.average.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the average and its counter."""
        self.average.load_state_dict(state)
