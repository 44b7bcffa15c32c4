"""Losses of the shallower readouts: the network's full depth, or the labels, teach them.

All readouts are there in one pass of the trunk, so this costs the head at each depth and no second
pass. Deep supervision by labels is the Aligned baseline of the paper (there with
weights 2(l+1)/(L(L+1)), here ``profile="aligned"``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from autocompress.errors import ConfigError, UnknownNameError
from autocompress.network import Network

__all__ = ["IGNORED", "DistilConfig", "Readouts", "shallow_loss", "taught_depths"]

#: The label of tokens that are not scored, as in transformers and torch's cross_entropy.
IGNORED = -100

Teacher = Literal["full", "labels"]
Profile = Literal["uniform", "aligned"]


@dataclass(frozen=True, kw_only=True)
class DistilConfig:
    """A loss at shallower depths beside that of full depth.

    Args:
        weight: of the mean of the shallower depths' losses; full depth's own has weight 1.
        teacher: ``full``: the full-depth readout's distribution, without gradient to it (KL
            divergence); ``labels``: the labels (deep supervision).
        temperature: of both distributions, with ``full``.
        every: take every n-th depth, counted down from the top; 1 is all depths from 1 on.
        profile: ``uniform``, or ``aligned``: weights that grow with the depth.
        start: share of the run after which it begins; full depth learns undisturbed until then.
    """

    weight: float = 1.0
    teacher: Teacher = "full"
    temperature: float = 2.0
    every: int = 1
    profile: Profile = "uniform"
    start: float = 0.0

    def __post_init__(self) -> None:
        for name in ("weight", "temperature", "every"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"distil.{name} {getattr(self, name)} must be greater than 0")
        if not 0 <= self.start < 1:
            raise ConfigError(f"distil.start {self.start} must be a share of the run, below 1")
        for name, kinds in (("teacher", Teacher), ("profile", Profile)):
            if getattr(self, name) not in get_args(kinds):
                raise UnknownNameError(f"distil.{name}", getattr(self, name), get_args(kinds))


def taught_depths(depth: int, every: int = 1) -> list[int]:
    """The depths with a loss of their own, full depth last.

    >>> taught_depths(6, every=2)
    [2, 4, 6]
    """
    return list(range(depth, 0, -every))[::-1] or [depth]


class Readouts(nn.Module):
    """A network called for several depths: a module, so that data-parallel wrappers take it."""

    def __init__(self, net: Network) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor, depths: Sequence[int], mediated: float = 1.0) -> list[Tensor]:
        """Logits at these depths, ascending, from one pass that stops at the last of them."""
        if len(depths) == 1:
            depth = None if depths[0] == self.net.depth else depths[0]
            return [self.net(x, depth=depth, mediated=mediated)]
        found = []
        for depth, state in enumerate(self.net.states(x, mediated)):
            if depth in depths:
                found.append(self.net.read(state))
            if depth == depths[-1]:
                break
        return found


def shallow_loss(
    logits: Sequence[Tensor], depths: Sequence[int], targets: Tensor, config: DistilConfig
) -> Tensor:
    """The weighted mean of the shallower depths' losses, in nats.

    Args:
        logits: (B, K) or (B, N, K) at each of ``depths``, full depth last.
        depths: of the logits.
        targets: as :func:`autocompress.training.optimization.loss_of` takes them.
        config: what the loss is.
    """
    *shallow, teacher = (one.float().flatten(0, -2) for one in logits)
    if not shallow:
        return teacher.new_zeros(())
    tokens = logits[-1].ndim > 2
    shares = [1.0 if config.profile == "uniform" else float(k) for k in depths[:-1]]
    losses = [
        _taught(one, targets.flatten() if tokens else targets)
        if config.teacher == "labels"
        else _distilled(one, teacher.detach(), config.temperature, targets if tokens else None)
        for one in shallow
    ]
    weighted = [share * loss for share, loss in zip(shares, losses, strict=True)]
    return torch.stack(weighted).sum() / sum(shares)


def _taught(logits: Tensor, targets: Tensor) -> Tensor:
    return F.cross_entropy(logits, targets)


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
