"""Cuts within the run: from given shares of it on, only the first layers are trained further."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from autocompress.bounds import check_numbers
from autocompress.errors import ConfigError
from autocompress.measurement import depth_costs
from autocompress.network import Network
from autocompress.printing import layer_words
from autocompress.statistics import first_within
from autocompress.training.hooks import Hook, HookOptions

__all__ = ["CutConfig", "CutInRun"]


@dataclass(frozen=True, kw_only=True)
class CutConfig(HookOptions):
    """Settings for cutting the network while it trains.

    The optimizer's state and the learning rate are kept. A cut takes place at the end of the epoch
    in which its share is reached, when the score of every depth is known. One rule gives the number
    of layers that remain; the default is a tolerance of 0.005.

    Args:
        at: Shares of the run, in ascending order, at which the network is cut.
        layers: Number of layers after each cut, one for each share.
        tolerance: Fraction of full depth's validation score that may be lost; the shallowest depth
            within it is kept.
        spare: Number of layers kept above that depth, with the tolerance.
        parameters: Budget of parameters; the deepest network within it is kept.
        flops: Budget of FLOPs per example, counted on the network's own example input.

    Raises:
        ConfigError: Two rules are given, or the shares and layers do not match.
    """

    at: tuple[float, ...] = (0.5,)
    layers: tuple[int, ...] | None = None
    tolerance: float | None = None
    spare: int = 0
    parameters: float | None = None
    flops: float | None = None
    shallower: ClassVar[bool] = True
    #: The rules, of which one is given, each with the options that go with it.
    rules: ClassVar[tuple[tuple[str, ...], ...]] = (
        *(("layers",), ("parameters",), ("flops",)),
        ("tolerance", "spare"),
    )

    def __post_init__(self) -> None:
        check_numbers(self, "cut.")
        if not self.at or list(self.at) != sorted(set(self.at)) or not self.at[0] > 0:
            raise ConfigError(
                f"cut.at {list(self.at)} must be ascending shares of the run, above 0"
            )
        if not self.at[-1] < 1:
            raise ConfigError(f"cut.at {self.at[-1]:g} must be below 1: use acn cut after the run")
        if sum(getattr(self, rule) is not None for rule, *_ in self.rules) > 1:
            raise ConfigError("cut takes one rule: layers, tolerance, parameters or flops")
        if self.layers is not None:
            falling = list(self.layers) == sorted(set(self.layers), reverse=True)
            if len(self.layers) != len(self.at) or not falling or self.layers[-1] < 0:
                raise ConfigError(
                    f"cut.layers {list(self.layers)} must be one number for each of the "
                    f"{len(self.at)} shares in cut.at, each smaller than the one before"
                )
        if self.tolerance is not None and not 0 <= self.tolerance < 1:
            raise ConfigError(f"cut.tolerance {self.tolerance} must be a fraction in [0, 1)")
        if self.spare < 0 or (self.spare and not self.scored):
            raise ConfigError(
                f"cut.spare {self.spare} must be 0 or more, and goes with a tolerance"
            )

    def hook(self, net: Network, copies: Sequence[Network]) -> CutInRun:
        """Return the hook that cuts the network."""
        return CutInRun(self)

    @property
    def scored(self) -> bool:
        """Return whether the rule needs validation scores."""
        return self.layers is None and self.parameters is None and self.flops is None

    def check(self, config: Any) -> None:
        """Raise ConfigError if cuts coincide, fall on the end, or come before all layers run."""
        epochs, grow = config.epochs, config.grow
        ends = [self._epoch(share, epochs) for share in self.at]
        if len(set(ends)) < len(ends) or ends[-1] >= epochs:
            raise ConfigError(
                f"cut.at {list(self.at)}: a cut comes at the end of an epoch, and in a run of "
                f"{epochs} these come after epochs {ends}: take more epochs (data.examples makes "
                "them shorter, where the data are generated), or other shares"
            )
        if grow is None:
            return
        # layers that join one by one all run before grow.until, those that join together from it on
        first = ends[0] / epochs
        if first <= grow.until if grow.together else first < grow.until:
            raise ConfigError(
                f"cut.at {self.at[0]:g} comes before all layers run (grow.until {grow.until:g}): "
                "cut later, or grow sooner"
            )

    def check_run(self, net: Network, steps: int, validated: bool) -> None:
        """Raise ConfigError if the rule has no scores to go by, or no depth that it allows."""
        if self.scored and not validated:
            raise ConfigError(
                "cut by a tolerance, the default rule, goes by validation scores, and there are no "
                "validation data: give fit some, or cut.layers, cut.parameters or cut.flops"
            )
        if self.layers is not None and self.layers[-1] > net.depth:
            raise ConfigError(
                f"cut.layers {list(self.layers)}: there is nothing to cut in a network of "
                f"{layer_words(net.depth)}; take fewer layers than it has"
            )
        if not self.scored and self.layers is None:
            self._affordable(net)

    def scored_after(self, epoch: int, epochs: int) -> bool:
        """Return whether a cut is due at the end of ``epoch`` (from 1)."""
        return any(self._epoch(share, epochs) == epoch for share in self.at)

    def depth(self, net: Network, history: Sequence[dict[str, Any]], epochs: int) -> int | None:
        """Return the depth to continue with, or None to keep the current one.

        Args:
            net: The network in its current form.
            history: Records of the epochs so far; the last one has the scores of all depths.
            epochs: Number of epochs of the run.

        Raises:
            ConfigError: Scores are needed but missing, or no depth fits the budget.
        """
        record = history[-1]
        if not self.scored_after(record["epoch"], epochs):
            return None
        depth = self._rule(net, record, epochs)
        return depth if depth < net.depth else None

    def _rule(self, net: Network, record: dict[str, Any], epochs: int) -> int:
        if self.layers is not None:
            number = [self._epoch(share, epochs) for share in self.at].index(record["epoch"])
            return self.layers[number]
        if self.scored:
            if "depths" not in record:
                raise ConfigError("fit.cut by a tolerance needs validation data, or cut.layers")
            scores, slack = record["depths"], 0.005 if self.tolerance is None else self.tolerance
            return max(1, first_within(scores, slack)) + self.spare
        return self._affordable(net)

    def _affordable(self, net: Network) -> int:
        """Return the largest depth within the budget."""
        example = None if self.flops is None else net.example(1)
        costs = depth_costs(net, example)
        if self.flops is None:
            budget, spent = self.parameters, [cost.parameters for cost in costs]
        else:
            budget, spent = self.flops, [cost.flops or 0 for cost in costs]
        within = [k for k, cost in enumerate(spent) if cost <= (budget or 0)]
        if not within:
            raise ConfigError(
                f"no depth keeps fit.cut's budget {budget:g}: depth 0 has {spent[0]:,}"
            )
        return max(within)

    @staticmethod
    def _epoch(share: float, epochs: int) -> int:
        """Return the epoch in which a share of the run is reached."""
        return max(1, math.ceil(share * epochs - 1e-9))


class CutInRun(Hook):
    """A hook that cuts the network when ``config`` says.

    Args:
        config: The times of the cuts and the rule for their depths.
    """

    def __init__(self, config: CutConfig) -> None:
        self.config = config

    def depth_left(
        self, net: Network, history: Sequence[dict[str, Any]], epochs: int
    ) -> int | None:
        """Return the depth of a cut that is due, or None."""
        return self.config.depth(net, history, epochs)
