"""Paths through the plane: the strength of each layer's connections in the course of training."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, get_args

from autocompress.bounds import check_numbers
from autocompress.errors import ConfigError, UnknownNameError
from autocompress.measurement.modes import device_of
from autocompress.network import Network
from autocompress.training.hooks import Hook, HookOptions, Moment

__all__ = ["PATHS", "GateSchedule", "PathConfig", "find_path"]

Shape = Literal["linear", "cosine"]
Order = Literal["together", "top", "bottom"]


@dataclass(frozen=True, kw_only=True)
class PathConfig(HookOptions):
    """Settings for moving the layers' (s, g) from one point of the plane to another in training.

    Args:
        begin: Strengths (short, long) at the start; (1, 0) is a residual network.
        end: Strengths from ``stop`` on; (0, 1) is an ACN. Any point of the plane is allowed.
        start: Share of all steps after which the gates begin to move.
        stop: Share of all steps after which the gates stay fixed.
        inner: Skip strength of all but the last branch of a layer, during and after the path; None
            uses the short strength.
        shape: ``linear``, or ``cosine``, which is slow at both ends.
        order: Whether all layers move ``together``, or one after another from the ``top`` or the
            ``bottom``.

    Raises:
        ConfigError: ``start`` and ``stop`` are not ascending shares of the run.
        UnknownNameError: There is no such shape or order.
    """

    begin: tuple[float, float] = (1.0, 0.0)
    end: tuple[float, float] = (0.0, 1.0)
    start: float = 0.2
    stop: float = 0.7
    inner: float | None = 1.0
    shape: Shape = "linear"
    order: Order = "together"
    shallower: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_numbers(self, "path.")
        if not 0 <= self.start < self.stop <= 1:
            raise ConfigError(
                f"path.start {self.start} and path.stop {self.stop} must be shares of the run "
                "with 0 <= start < stop <= 1"
            )
        for name, kinds in (("shape", Shape), ("order", Order)):
            if getattr(self, name) not in get_args(kinds):
                raise UnknownNameError(f"path.{name}", getattr(self, name), get_args(kinds))

    def check_run(self, net: Network, steps: int, validated: bool) -> None:
        """Raise ConfigError if the path would replace connections that are not on the plane.

        The same holds for gates that have been learned.
        """
        for rule in (trunk.connectivity for trunk in net.trunks):
            if not rule.can_move():
                raise ConfigError(
                    f"a path moves the strengths of connections between points of the plane, and "
                    f"would replace those of this network, {rule.to_config()!r:.80}: leave the "
                    "path out, or begin with a residual network (connectivity='residual')"
                )

    def hook(self, net: Network, copies: Sequence[Network]) -> GateSchedule:
        """Return the hook that moves the gates, and give the network scheduled gates."""
        return GateSchedule(self, net)

    def at(self, progress: float, layer: int = 0, layers: int = 1) -> tuple[float, float]:
        """Return a layer's (s, g) after the share ``progress`` of the run.

        >>> PathConfig(start=0.0, stop=0.5).at(0.25)
        (0.5, 0.5)
        >>> top_first = PathConfig(start=0.0, stop=1.0, order="top")
        >>> [top_first.at(0.5, layer, layers=4)[0] for layer in range(4)]
        [1.0, 1.0, 0.0, 0.0]
        """
        p = (progress - self.start) / (self.stop - self.start)
        if self.order != "together":
            turn = layer if self.order == "bottom" else layers - 1 - layer
            p = p * layers - turn
        p = min(1.0, max(0.0, p))
        if self.shape == "cosine":
            p = 0.5 * (1 - math.cos(math.pi * p))
        s, g = ((1 - p) * a + p * b for a, b in zip(self.begin, self.end, strict=True))
        return s, g


#: The named paths.
PATHS: dict[str, PathConfig] = {
    "anneal": PathConfig(),
    "cosine": PathConfig(shape="cosine"),
    "top": PathConfig(order="top"),
    "bottom": PathConfig(order="bottom"),
}


def find_path(path: PathConfig | str | None) -> PathConfig | None:
    """Return the path of that name; return a path or None unchanged.

    Raises:
        UnknownNameError: There is no such path.
    """
    if not isinstance(path, str):
        return path
    if path not in PATHS:
        raise UnknownNameError("path", path, PATHS)
    return PATHS[path]


class GateSchedule(Hook):
    """A hook that moves a network's gates along a path during training.

    Args:
        config: The path.
        net: The network, which is given scheduled gates.
    """

    place: ClassVar[int] = -1  # the others see the gates of the step

    def __init__(self, config: PathConfig, net: Network) -> None:
        short, long = config.begin
        gates: dict[str, Any] = {"name": "plane", "short": short, "long": long}
        if config.inner is not None:
            gates["inner"] = config.inner
        net.set_connectivity({**gates, "gates": "scheduled"})
        net.to(device_of(net))  # the gates too
        self.config = config
        # use the original depths, so that dropped layers do not shift the schedule of the others
        self.depths = [trunk.depth for trunk in net.trunks]

    def before_forward(self, net: Network, moment: Moment) -> None:
        """Set the gates to their values at this moment."""
        self.move(net, moment.progress)

    def move(self, net: Network, progress: float) -> None:
        """Set the gates to their values after the share ``progress`` of the training."""
        for trunk, depth in zip(net.trunks, self.depths, strict=True):
            points = [self.config.at(progress, layer, depth) for layer in range(trunk.depth)]
            trunk.connectivity.move([s for s, _ in points], [g for _, g in points])

    def after_epoch(self, net: Network, epoch: int, epochs: int) -> None:
        """Move the gates to the end of the path before the last evaluation.

        A path that stops as late as the run would otherwise end after it.
        """
        if epoch == epochs:
            self.move(net, 1.0)

    def finish(self, net: Network) -> None:
        """Fix the gates at the end of the path."""
        self.move(net, 1.0)
        net.settle()
