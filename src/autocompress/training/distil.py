"""Losses of the shallower readouts: the network's full depth, or the labels, teach them.

All readouts are there in one pass of the trunk, so this costs the head at each depth and no second
pass. Deep supervision by labels is the Aligned baseline of the paper (there with
weights 2(l+1)/(L(L+1)), here :meth:`DistilConfig.aligned`); LayerSkip (Elhoushi et al., ACL 2024)
is deep supervision of one depth in R at a time, beside layer dropout
(:attr:`autocompress.FitConfig.layer_drop`).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from autocompress.errors import ConfigError, UnknownNameError
from autocompress.network import Network
from autocompress.training.objectives import IGNORED, Classification, Objective

__all__ = ["DistilConfig", "Readouts", "shallow_loss", "taught_depths"]

Teacher = Literal["full", "labels"]
Profile = Literal["uniform", "aligned", "layerskip"]


@dataclass(frozen=True, kw_only=True)
class DistilConfig:
    """A loss at shallower depths beside that of full depth.

    Args:
        weight: Weight of the mean loss of the shallower depths; full depth has weight 1. With
            the profile ``layerskip`` it is LayerSkip's e_scale.
        teacher: ``full``: the full-depth readout's distribution, without gradient to it (KL
            divergence); ``labels``: the labels (deep supervision).
        temperature: Temperature of both distributions, with ``full``.
        every: Take every n-th depth, counted down from the top; 1 is all depths from 1 on.
        rotate: With each step begin one depth lower, so that with ``every=n`` each depth has its
            turn in n steps (LayerSkip's rotational curriculum).
        profile: ``uniform``; ``aligned``: weights that grow with the depth; ``layerskip``: they
            grow with its square, and all weights, that of full depth among them, are shares of 1.
        at: Weights of single depths, e.g. {4: 0.8, 8: 0.6}, instead of ``weight``, ``every`` and
            ``profile``: each of their losses is multiplied by its weight and added.
        start: Share of the run after which it begins; full depth learns undisturbed until then.
    """

    weight: float = 1.0
    teacher: Teacher = "full"
    temperature: float = 2.0
    every: int = 1
    profile: Profile = "uniform"
    start: float = 0.0
    rotate: bool = False
    at: dict[int, float] = field(default_factory=dict)

    @classmethod
    def aligned(cls, depth: int) -> DistilConfig:
        """Return the Aligned baseline for L layers: losses of all depths, weights 2k / (L (L + 1)).

        The sum is divided by the weight of full depth, so that full depth's own has weight 1:
        the shallower ones then have k / L each.

        Example:
            >>> DistilConfig.aligned(8).weight
            3.5
        """
        return cls(weight=(depth - 1) / 2, teacher="labels", profile="aligned")

    @classmethod
    def layerskip(cls, every: int = 8, scale: float = 0.2) -> DistilConfig:
        """LayerSkip's early-exit loss, with rotation; beside it goes ``FitConfig.layer_drop``.

        Args:
            every: R: one depth in R has a loss in each step.
            scale: e_scale.
        """
        return cls(weight=scale, teacher="labels", profile="layerskip", every=every, rotate=True)

    def __post_init__(self) -> None:
        for name in ("weight", "temperature", "every"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"distil.{name} {getattr(self, name)} must be greater than 0")
        if not 0 <= self.start < 1:
            raise ConfigError(f"distil.start {self.start} must be a share of the run, below 1")
        for name, kinds in (("teacher", Teacher), ("profile", Profile)):
            if getattr(self, name) not in get_args(kinds):
                raise UnknownNameError(f"distil.{name}", getattr(self, name), get_args(kinds))
        if any(depth < 1 or not weight > 0 for depth, weight in self.at.items()):
            raise ConfigError(f"distil.at {self.at} needs depths from 1 on, weights above 0")

    def depths(self, depth: int, step: int = 0) -> list[int]:
        """Return the depths that have a loss in this step (from 0), full depth last.

        >>> [DistilConfig(every=3, rotate=True).depths(6, step) for step in range(3)]
        [[3, 6], [2, 5, 6], [1, 4, 6]]
        """
        if self.at:
            return [*sorted(k for k in self.at if k < depth), depth]
        return taught_depths(depth, self.every, step % self.every if self.rotate else 0)

    def shares(self, shallow: Sequence[int]) -> list[float]:
        """Return what the losses of these depths count among each other."""
        if self.at:
            return [self.at[k] for k in shallow]
        if self.profile == "layerskip":
            return [self.weight * _up_to(k - 1) for k in shallow]
        return [1.0 if self.profile == "uniform" else float(k) for k in shallow]

    def balance(self, depths: Sequence[int]) -> tuple[float, float]:
        """Weight of full depth's loss, and of the mean of the shallower ones (full depth last).

        LayerSkip, its equation for e(l): layer l = k - 1 weighs e_scale (0 + .. + l), the last
        one L - 1 + e_scale (0 + .. + (L - 2)), over the sum of all that have a loss in this step.

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
    """0 + 1 + .. + last."""
    return last * (last + 1) / 2


class Readouts(nn.Module):
    """A network called for several depths: a module, so that data-parallel wrappers take it."""

    def __init__(self, net: Network) -> None:
        super().__init__()
        self.net = net

    def forward(
        self,
        x: Tensor,
        depths: Sequence[int],
        mediated: float = 1.0,
        dropped: Collection[int] = (),
    ) -> list[Tensor]:
        """Logits at these depths, ascending, from one pass that stops at the last of them."""
        if len(depths) == 1 and not dropped:
            depth = None if depths[0] == self.net.depth else depths[0]
            return [self.net(x, depth=depth, mediated=mediated)]
        found = []
        for depth, state in enumerate(self.net.states(x, mediated, dropped)):
            if depth in depths:
                found.append(self.net.read(state))
            if depth == depths[-1]:
                break
        return found


def shallow_loss(
    logits: Sequence[Tensor],
    depths: Sequence[int],
    targets: Tensor,
    config: DistilConfig,
    objective: Objective | None = None,
) -> Tensor:
    """Return the weighted mean of the shallower depths' losses, in the unit of the objective's.

    Args:
        logits: (B, K) or (B, N, K) at each of ``depths``, full depth last.
        depths: Of the logits.
        targets: As the objective takes them.
        config: What the loss is.
        objective: What the labels teach; None is classification.
    """
    objective = objective or Classification()
    *shallow, teacher = (one.float().flatten(0, -2) for one in logits)
    if not shallow:
        return teacher.new_zeros(())
    tokens = logits[-1].ndim > 2
    losses = [
        objective.loss(one, targets.flatten() if tokens else targets)
        if config.teacher == "labels"
        else _distilled(one, teacher.detach(), config.temperature, targets if tokens else None)
        for one in shallow
    ]
    shares = config.shares(depths[:-1])
    weighted = [share * loss for share, loss in zip(shares, losses, strict=True)]
    return torch.stack(weighted).sum() / (sum(shares) or 1.0)


def _distilled(
    logits: Tensor, teacher: Tensor, temperature: float, tokens: Tensor | None
) -> Tensor:
    """T^2 KL(teacher || logits), the mean over examples, or over the tokens that have a label."""
    student = F.log_softmax(logits / temperature, -1)
    target = F.log_softmax(teacher / temperature, -1)
    rows = F.kl_div(student, target, reduction="none", log_target=True).sum(-1)
    if tokens is None:
        return temperature**2 * rows.mean()
    scored = (tokens.flatten() != IGNORED).float()
    return temperature**2 * (rows * scored).sum() / scored.sum().clamp(min=1)
