"""Settings of a stream of tasks, as one frozen object."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

from autocompress.continual.consolidation import (
    ElasticWeightConsolidation,
    Protection,
    Replay,
    SynapticIntelligence,
)
from autocompress.errors import ConfigError, UnknownNameError
from autocompress.training import FitConfig

__all__ = ["StreamConfig", "check_fit"]

Protect = Literal["none", "si", "ewc", "replay"]

_MAKES: dict[str, Callable[..., Protection]] = {
    "si": SynapticIntelligence,
    "ewc": ElasticWeightConsolidation,
    "replay": Replay,
}


@dataclass(frozen=True, kw_only=True)
class StreamConfig:
    """Settings for learning the classes of a data set as a stream of tasks.

    Args:
        tasks: Number of tasks, of which the number of classes must be a multiple.
        protect: Protection of earlier tasks: ``none`` (naive fine-tuning), ``si`` (Synaptic
            Intelligence), ``ewc`` (Elastic Weight Consolidation) or ``replay`` (some examples of
            every earlier task).
        strength: Strength of the protection; empty is its own default (1, 100, 1).
        examples: Number of examples per task on which ewc measures (256 if empty) or that replay
            keeps (50).
        shuffle: Whether to group the classes at random by ``fit.seed`` rather than in their order.

    Raises:
        UnknownNameError: There is no such protection.
        ConfigError: The protection does not take these values.

    Example:
        >>> StreamConfig(protect="ewc", strength=10.0).protection().strength  # lambda / 2
        5.0
    """

    tasks: int = 5
    protect: Protect = "none"
    strength: float | None = None
    examples: int | None = None
    shuffle: bool = False

    def __post_init__(self) -> None:
        if self.protect not in get_args(Protect):
            raise UnknownNameError("protection", self.protect, get_args(Protect))
        if self.strength is not None and self.protect == "none":
            raise ConfigError(
                f"strength {self.strength} needs a protection: set protect to si, ewc or replay"
            )
        if self.examples is not None and self.protect not in ("ewc", "replay"):
            raise ConfigError(f"examples {self.examples}: only ewc and replay take them")
        self.protection()  # raises if the numbers are invalid

    def protection(self) -> Protection | None:
        """Return a new protection, or None for naive fine-tuning."""
        if self.protect == "none":
            return None
        given = {"strength": self.strength, "examples": self.examples}
        return _MAKES[self.protect](**{key: v for key, v in given.items() if v is not None})


def check_fit(config: FitConfig) -> None:
    """Raise ConfigError if the connections or the layers would change while a task is learned.

    Every later task would begin with the changes anew, and the state of a stream holds weights
    only.
    """
    for name in ("path", "live", "grow", "cut"):
        if getattr(config, name) is not None:
            raise ConfigError(
                f"fit.{name} changes the network within a run; a stream has a run for each "
                "task, in which the network stays as it is: leave it out"
            )
