"""Decide when an example exits: four criteria, and a rule with a threshold for every exit.

Each criterion turns the logits of an exit into one number per example:

- ``entropy``: the entropy of the predicted distribution in nats; an example leaves below the
  threshold (Teerapittayanon et al., BranchyNet, 2016; paper, appendix H);
- ``margin``: the largest probability minus the second largest; it leaves above the threshold;
- ``probability``: the largest probability; it leaves above the threshold;
- ``patience``: the number of exits in a row, before this one, that predicted the same class as
  this one (Zhou et al., PABEE, 2020); it leaves once that reaches the threshold.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from autocompress.errors import ConfigError, UnknownNameError

__all__ = ["CRITERIA", "Criterion", "Exit", "ExitRule", "entropy"]

#: The classes predicted at the exit before, and for how many exits they have been the same.
Memory = tuple[Tensor, Tensor] | None


def entropy(logits: Tensor) -> Tensor:
    """Return the entropy of the predicted distribution in nats: (..., K) to (...).

    Example:
        >>> round(float(entropy(torch.zeros(1, 4))[0]), 4) == round(math.log(4), 4)
        True
    """
    log = logits.float().log_softmax(-1)
    return -(log.exp() * log).sum(-1)


class Criterion:
    """A measure of how certain a prediction is.

    Attributes:
        name: Its name.
        unit: Unit of the threshold, for tables.
        remembers: Whether it depends on the predictions at earlier exits.
    """

    name = "entropy"
    unit = "nats"
    remembers = False

    def values(self, logits: Tensor, memory: Memory = None) -> tuple[Tensor, Memory]:
        """Return a number for each example, (B, K) to (B,), and what the next exit needs."""
        return entropy(logits), None

    def leaves(self, values: Tensor, threshold: float) -> Tensor:
        """Return which examples are certain enough."""
        return values < threshold

    def sweep(self, classes: int, exits: int, count: int) -> list[float]:
        """Return ``count`` + 1 thresholds, from one at which none leaves to one at which all do."""
        top = math.log(classes) * (1 + 1e-6) + 1e-6
        return [top * step / count for step in range(count + 1)]

    def check(self, threshold: float) -> None:
        """Raise ConfigError unless this is a threshold."""
        if not threshold >= 0:
            raise ConfigError(
                f"threshold {threshold} is not an entropy: it must be at least 0 nats, e.g. 0.7"
            )


class _Probability(Criterion):
    name, unit = "probability", "probability"

    def values(self, logits: Tensor, memory: Memory = None) -> tuple[Tensor, Memory]:
        return logits.float().softmax(-1).amax(-1), None

    def leaves(self, values: Tensor, threshold: float) -> Tensor:
        return values > threshold

    def sweep(self, classes: int, exits: int, count: int) -> list[float]:
        span = 1 - (1 / classes) * (1 - 1e-6)
        return [1 - span * step / count for step in range(count + 1)]

    def check(self, threshold: float) -> None:
        if not 0 <= threshold <= 1:
            raise ConfigError(
                f"threshold {threshold} is not a {self.name}: expected 0 to 1, e.g. 0.9"
            )


class _Margin(_Probability):
    name, unit = "margin", "difference of probabilities"

    def values(self, logits: Tensor, memory: Memory = None) -> tuple[Tensor, Memory]:
        if logits.shape[-1] < 2:
            raise ConfigError("criterion 'margin' compares two classes, and the head has only one")
        best = logits.float().softmax(-1).topk(2, -1).values
        return best[..., 0] - best[..., 1], None

    def sweep(self, classes: int, exits: int, count: int) -> list[float]:
        return [1 - (1 + 1e-6) * step / count for step in range(count + 1)]

    def check(self, threshold: float) -> None:
        if not -1e-5 <= threshold <= 1:
            super().check(threshold)


class _Patience(Criterion):
    name, unit, remembers = "patience", "exits", True

    def values(self, logits: Tensor, memory: Memory = None) -> tuple[Tensor, Memory]:
        now = logits.argmax(-1)
        if memory is None:
            count = torch.zeros_like(now)
        else:
            before, count = memory
            count = torch.where(now == before, count + 1, 0)
        return count.float(), (now, count)

    def leaves(self, values: Tensor, threshold: float) -> Tensor:
        return values >= threshold

    def sweep(self, classes: int, exits: int, count: int) -> list[float]:
        return [float(number) for number in range(exits, -1, -1)]

    def check(self, threshold: float) -> None:
        if not threshold >= 0 or threshold != int(min(threshold, 1e9)):
            raise ConfigError(
                f"threshold {threshold} is not a patience: expected a whole number of exits from "
                "0 on, e.g. 2"
            )


#: The criteria by name.
CRITERIA: dict[str, Criterion] = {
    criterion.name: criterion for criterion in (Criterion(), _Margin(), _Probability(), _Patience())
}


@dataclass(frozen=True)
class Exit:
    """A depth at which examples may leave.

    Attributes:
        depth: Number of layers that have run.
        threshold: Threshold of the criterion; None at full depth, where all that are left leave.
        temperature: Number by which the logits are divided before the criterion sees them. The
            logits of an answer are not divided.
    """

    depth: int
    threshold: float | None
    temperature: float = 1.0


@dataclass(frozen=True)
class ExitRule:
    """The exits of a network, each with its threshold.

    Args:
        criterion: Name of the criterion (``entropy``, ``margin``, ``probability``, ``patience``).
        exits: The exits in order of depth, full depth last.

    Raises:
        UnknownNameError: There is no such criterion.
        ConfigError: The exits are not in order, or a threshold or temperature has no such value.

    Example:
        >>> rule = ExitRule.uniform("margin", [2, 4], 0.8)
        >>> rule.depths, rule.exits[0].threshold, rule.exits[1].threshold
        ([2, 4], 0.8, None)
    """

    criterion: str
    exits: tuple[Exit, ...]

    def __post_init__(self) -> None:
        measure = self.measure
        if not self.exits or self.exits[-1].threshold is not None:
            raise ConfigError("the last exit is full depth, which has no threshold: give None")
        if self.depths != sorted({*self.depths}):
            raise ConfigError(f"the depths of exits must ascend, and these are {self.depths}")
        for one in self.exits[:-1]:
            if one.threshold is None:
                raise ConfigError(f"the exit at depth {one.depth} has no threshold")
            measure.check(one.threshold)
        for one in self.exits:
            if not (one.temperature > 0 and math.isfinite(one.temperature)):
                raise ConfigError(
                    f"temperature {one.temperature} at depth {one.depth} must be above 0, e.g. 1"
                )

    @classmethod
    def uniform(
        cls,
        criterion: str,
        depths: Sequence[int],
        threshold: float,
        temperatures: Sequence[float] | float = 1.0,
    ) -> ExitRule:
        """Return a rule with the same threshold at every depth but the last.

        Args:
            criterion: Name of the criterion.
            depths: Depths in ascending order, full depth last.
            threshold: The threshold.
            temperatures: One number for each depth, or one for all.
        """
        scale = [temperatures] * len(depths) if isinstance(temperatures, float) else temperatures
        limits: list[float | None] = [*[threshold] * (len(depths) - 1), None]
        return cls(criterion, tuple(map(Exit, depths, limits, scale)))

    @property
    def measure(self) -> Criterion:
        """Return the criterion; raise UnknownNameError if there is none of that name."""
        if self.criterion not in CRITERIA:
            raise UnknownNameError("criterion", self.criterion, CRITERIA)
        return CRITERIA[self.criterion]

    @property
    def depths(self) -> list[int]:
        """Return the depths of the exits, full depth last."""
        return [one.depth for one in self.exits]

    def certain(
        self, place: int, logits: Tensor, memory: Memory = None
    ) -> tuple[Tensor | None, Memory]:
        """Return which examples leave at exit ``place``, None if all do, and the next memory."""
        one, measure = self.exits[place], self.measure
        if one.threshold is None:
            return None, None
        scaled = logits if one.temperature == 1 else logits.float() / one.temperature
        values, memory = measure.values(scaled, memory)
        return measure.leaves(values, one.threshold), memory

    def to_json(self) -> dict[str, Any]:
        """Return ``criterion`` and ``exits`` as in exits.json (docs/exits.md)."""
        return {"criterion": self.criterion, "exits": [vars(one) for one in self.exits]}
