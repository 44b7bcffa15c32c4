"""Progressive growth: training starts with the first few layers, and the others join later."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from autocompress.bounds import check_numbers
from autocompress.errors import ConfigError
from autocompress.network import Network
from autocompress.training.hooks import Hook, HookOptions, Moment

__all__ = ["GrowConfig", "Growth"]


@dataclass(frozen=True, kw_only=True)
class GrowConfig(HookOptions):
    """Settings for training the first few layers first; the others join in turn, or together.

    Args:
        layers: Number of layers at the start.
        until: Share of all steps after which all layers run.
        together: Whether all others join at ``until`` and none before.
        copy: Whether layers that join start as copies of those that have run, the first of them as
            a copy of the first; otherwise they start from their initial weights.

    Raises:
        ConfigError: The number of layers is below 1, or ``until`` is not a share of the run.
    """

    layers: int = 2
    until: float = 0.5
    together: bool = False
    copy: bool = False
    shallower: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_numbers(self, "grow.")
        if self.layers < 1 or not 0 < self.until <= 1:
            raise ConfigError(
                f"grow.layers {self.layers} must be at least 1, and grow.until {self.until} a "
                "share of the run in (0, 1]"
            )

    def check_run(self, net: Network, steps: int, validated: bool) -> None:
        """Raise ConfigError if no layer would join by the last step."""
        first, joined = (self.depth(done / steps, net.depth) for done in (0, steps - 1))
        if joined == first < net.depth:
            raise ConfigError(
                f"grow.until {self.until:g}: by the last of {steps} steps no layer has joined the "
                f"first {first} of {net.depth}; take a smaller grow.until, or more steps"
            )

    def hook(self, net: Network, copies: Sequence[Network]) -> Growth:
        """Return the hook by which layers join."""
        return Growth(self, copies)

    def depth(self, progress: float, layers: int) -> int:
        """Return the number of layers that run after the share ``progress`` of the run.

        >>> [GrowConfig(layers=2, until=0.5).depth(p, 4) for p in (0.0, 0.2, 0.4, 0.6)]
        [2, 3, 4, 4]
        """
        first = min(self.layers, layers)
        if self.together:
            return layers if progress >= self.until else first
        joined = int((layers - first + 1) * min(1.0, progress / self.until))
        return min(layers, first + joined)

    def fill(self, net: Network, before: float, progress: float) -> None:
        """Copy weights into the layers that join now, if the config asks for it.

        Args:
            net: The network, changed in place.
            before: Share of the run that was done at the previous step.
            progress: Share of the run that is done now.

        Raises:
            ConfigError: The layers have different shapes.
        """
        if not self.copy:
            return
        ran, now = (self.depth(share, net.depth) for share in (before, progress))
        blocks = [block for trunk in net.trunks for block in trunk.blocks]
        for index in range(ran, now):
            try:
                blocks[index].load_state_dict(blocks[index % ran].state_dict())
            except RuntimeError as error:
                raise ConfigError(
                    f"grow.copy: layer {index + 1} has not the shape of layer {index % ran + 1}; "
                    "leave grow.copy out"
                ) from error


class Growth(Hook):
    """A hook by which layers join as ``config`` says.

    Args:
        config: The times at which layers join.
        copies: Networks that follow the trained one (an average of its weights).
    """

    def __init__(self, config: GrowConfig, copies: Sequence[Network] = ()) -> None:
        self.config, self.filled = config, copies

    def layers(self, depth: int, moment: Moment) -> int:
        """Return the number of layers that have joined."""
        return self.config.depth(moment.progress, depth)

    def before_forward(self, net: Network, moment: Moment) -> None:
        """Initialise the layers that join now."""
        if moment.step:
            for one in (net, *self.filled):
                self.config.fill(one, moment.before().progress, moment.progress)
