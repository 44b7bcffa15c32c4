"""Losses of the shallower readouts, taught by the full-depth readout or by the labels.

All readouts come from one pass through the trunk, so this costs one head per depth and no second
pass. Deep supervision by labels is the Aligned baseline of the paper (with weights
2(l+1)/(L(L+1)), here :meth:`DistilConfig.aligned`); LayerSkip (Elhoushi et al., ACL 2024) is deep
supervision of one depth in R at a time, combined with layer dropout
(:attr:`autocompress.FitConfig.layer_drop`).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from autocompress.bounds import check_numbers
from autocompress.errors import ConfigError, UnknownNameError
from autocompress.network import Network
from autocompress.printing import layer_words
from autocompress.training.objective import Objective
from autocompress.training.objectives import Classification

__all__ = ["DistilConfig", "Readouts", "shallow_loss", "taught_depths"]

Teacher = Literal["full", "labels"]
Profile = Literal["uniform", "aligned", "layerskip"]


@dataclass(frozen=True, kw_only=True)
class DistilConfig:
    """Settings for losses at shallower depths, in addition to the loss at full depth.

    Args:
        weight: Weight of the mean loss of the shallower depths; full depth has weight 1. With
            the profile ``layerskip`` it is LayerSkip's e_scale.
        teacher: ``full``: the full-depth readout, without a gradient to it (KL divergence, for
            numbers the squared error); ``labels``: the labels (deep supervision).
        temperature: Temperature of both distributions, with the teacher ``full``.
        every: Distance between the depths with a loss, counted down from the top; 1 means all
            depths from 1 on. None means as far apart as there are shallower depths, so that with
            ``rotate`` each step has one of them in turn.
        rotate: Whether each step starts one depth lower, so that with ``every=n`` each depth has a
            loss once in n steps (LayerSkip's rotational curriculum).
        profile: ``uniform``; ``aligned``: weights that grow with the depth; ``layerskip``: weights
            that grow with its square, where all weights, including full depth's, sum to 1.
        at: Weights of single depths, e.g. {4: 0.8, 8: 0.6}, in place of ``weight``, ``every`` and
            ``profile``: each of their losses is multiplied by its weight and added.
        start: Share of the run after which these losses begin; until then only full depth learns.

    Raises:
        ConfigError: A value is out of range.
        UnknownNameError: There is no such teacher or profile.
    """

    weight: float = 1.0
    teacher: Teacher = "full"
    temperature: float = 2.0
    every: int | None = 1
    profile: Profile = "uniform"
    start: float = 0.0
    rotate: bool = False
    at: dict[int, float] = field(default_factory=dict)

    @classmethod
    def aligned(cls, depth: int) -> DistilConfig:
        """Return the Aligned baseline for L layers: losses of all depths, weights 2k / (L (L + 1)).

        The sum is divided by the weight of full depth, so that full depth has weight 1 and the
        shallower depths have k / L each.

        Example:
            >>> DistilConfig.aligned(8).weight
            3.5

        Raises:
            ConfigError: There is no layer.
        """
        if depth < 1:
            raise ConfigError(f"aligned({depth}): a network for this loss has at least 1 layer")
        weight = (depth - 1) / 2 or 1.0  # one layer has no shallower depth that it could apply to
        return cls(weight=weight, teacher="labels", profile="aligned")

    @classmethod
    def layerskip(cls, every: int = 8, scale: float = 0.2) -> DistilConfig:
        """Return LayerSkip's early-exit loss with rotation, for use with ``FitConfig.layer_drop``.

        Args:
            every: LayerSkip's R: one depth in R has a loss in each step.
            scale: LayerSkip's e_scale.
        """
        return cls(weight=scale, teacher="labels", profile="layerskip", every=every, rotate=True)

    @classmethod
    def second_half(cls, *, at_once: bool = False) -> DistilConfig:
        """Return the settings of the default way to fewer layers (docs/choosing.md).

        In the second half of the run, full depth teaches one shallower depth in each step.

        Args:
            at_once: Whether to teach all shallower depths in each step, by the mean of their
                losses: a compiled network would get a graph for each of them otherwise.

        Example:
            >>> DistilConfig.second_half().depths(4, step=1)
            [3, 4]
        """
        return cls(temperature=1.0, start=0.5, every=1 if at_once else None, rotate=not at_once)

    def __post_init__(self) -> None:
        check_numbers(self, "distil.")
        for name in ("weight", "temperature", "every"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ConfigError(f"distil.{name} {getattr(self, name)} must be greater than 0")
        if not 0 <= self.start < 1:
            raise ConfigError(f"distil.start {self.start} must be a share of the run, below 1")
        for name, kinds in (("teacher", Teacher), ("profile", Profile)):
            if getattr(self, name) not in get_args(kinds):
                raise UnknownNameError(f"distil.{name}", getattr(self, name), get_args(kinds))
        if any(depth < 1 or not weight > 0 for depth, weight in self.at.items()):
            raise ConfigError(f"distil.at {self.at} must map depths from 1 on to weights above 0")

    def check(self, net: Network) -> None:
        """Raise ConfigError for losses at depths that are not below the network's own."""
        above = [depth for depth in sorted(self.at) if depth >= net.depth]
        if above:
            raise ConfigError(
                f"distil.at has depth {above[0]}, and the network {layer_words(net.depth)}: full "
                f"depth has weight 1, and the depths below it are 1 to {net.depth - 1}"
            )

    def depths(self, depth: int, step: int = 0) -> list[int]:
        """Return the depths with a loss in this step (from 0), full depth last.

        >>> [DistilConfig(every=3, rotate=True).depths(6, step) for step in range(3)]
        [[3, 6], [2, 5, 6], [1, 4, 6]]
        >>> [DistilConfig(every=None, rotate=True).depths(4, step) for step in range(3)]
        [[1, 4], [3, 4], [2, 4]]
        """
        if self.at:
            return [*sorted(k for k in self.at if k < depth), depth]
        every = max(1, depth - 1) if self.every is None else self.every
        return taught_depths(depth, every, step % every if self.rotate else 0)

    def shares(self, shallow: Sequence[int]) -> list[float]:
        """Return the relative weights of the losses at these depths."""
        if self.at:
            return [self.at[k] for k in shallow]
        if self.profile == "layerskip":
            return [self.weight * _up_to(k - 1) for k in shallow]
        return [1.0 if self.profile == "uniform" else float(k) for k in shallow]

    def balance(self, depths: Sequence[int]) -> tuple[float, float]:
        """Return the weights of the loss at the last (full) depth and of the others' mean.

        In LayerSkip's equation for e(l), layer l = k - 1 has weight e_scale (0 + .. + l) and the
        last layer L - 1 + e_scale (0 + .. + (L - 2)), divided by the sum over all that have a loss.

        >>> DistilConfig(weight=0.5).balance([1, 2, 3])
        (1.0, 0.5)
        >>> DistilConfig(at={2: 0.8, 4: 0.6}).balance([2, 4, 6])
        (1.0, 1.4)
        """
        *shallow, full = depths
        if self.at:
            return 1.0, sum(self.shares(shallow))
        if self.profile != "layerskip" or full < 2:
            return 1.0, self.weight
        own, others = full - 1 + self.weight * _up_to(full - 2), sum(self.shares(shallow))
        return own / (own + others), others / (own + others)


def taught_depths(depth: int, every: int = 1, turn: int = 0) -> list[int]:
    """Return the depths with a loss of their own, full depth last.

    >>> taught_depths(6, every=2)
    [2, 4, 6]
    >>> taught_depths(6, every=2, turn=1)
    [1, 3, 5, 6]
    """
    return [*range(depth - turn, 0, -every)][::-1] + [depth] * (turn > 0 or depth == 0)


def _up_to(last: int) -> float:
    """Return 0 + 1 + .. + last."""
    return last * (last + 1) / 2


class Readouts(nn.Module):
    """A network read at several depths: a module, so that data-parallel wrappers accept it.

    Args:
        net: The network.
        hidden: Ascending depths whose hidden states are returned beside the logits.
    """

    def __init__(self, net: Network, hidden: Sequence[int] = ()) -> None:
        super().__init__()
        self.net, self.hidden = net, tuple(hidden)

    def forward(
        self,
        x: Tensor,
        depths: Sequence[int],
        mediated: float = 1.0,
        dropped: Collection[int] = (),
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Return the logits at these ascending depths, and the hidden states of the others asked.

        Both come from one pass, which stops at the last of ``depths``.
        """
        if len(depths) == 1 and not dropped and not self.hidden:
            depth = None if depths[0] == self.net.depth else depths[0]
            return [self.net(x, depth=depth, mediated=mediated)], []
        logits, hidden = [], []
        for depth, state in enumerate(self.net.states(x, mediated, dropped)):
            if depth in self.hidden:
                hidden.append(self.net.hidden(state))
            if depth in depths:
                logits.append(self.net.read(state))
            if depth == depths[-1]:
                break
        return logits, hidden


def shallow_loss(
    logits: Sequence[Tensor],
    depths: Sequence[int],
    targets: Tensor,
    config: DistilConfig,
    objective: Objective | None = None,
) -> Tensor:
    """Return the weighted mean of the shallower depths' losses, in the objective's unit.

    Args:
        logits: Logits (B, K) or (B, N, K) at each of ``depths``, full depth last.
        depths: Depths of the logits.
        targets: Targets in the objective's form.
        config: Settings of the loss.
        objective: Objective of the labels; None is classification.
    """
    objective = objective or Classification()
    *shallow, teacher = (one.float().flatten(0, -2) for one in logits)
    if not shallow:
        return teacher.new_zeros(())
    tokens = logits[-1].ndim > 2
    losses = [
        objective.loss(one, targets.flatten() if tokens else targets)
        if config.teacher == "labels"
        else objective.imitation(
            one, teacher.detach(), config.temperature, targets if tokens else None
        )
        for one in shallow
    ]
    shares = config.shares(depths[:-1])
    weighted = [share * loss for share, loss in zip(shares, losses, strict=True)]
    return torch.stack(weighted).sum() / (sum(shares) or 1.0)
