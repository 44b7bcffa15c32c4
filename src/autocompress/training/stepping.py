"""One step of training: the gradients of its batches, which are added up, and the optimizer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor

from autocompress.network import Network
from autocompress.training.carrying import carry_over
from autocompress.training.config import FitConfig
from autocompress.training.hooks import Moment
from autocompress.training.inputs import is_bytes
from autocompress.training.parts import Parts
from autocompress.training.shares import Portion

__all__ = ["Stepper"]


class Stepper:
    """A callable that makes a step of the optimizer.

    Args:
        net: The network.
        config: Settings of the training.
        accelerator: The accelerator of the run.
        parts: The parts of the run.
    """

    def __init__(
        self, net: Network, config: FitConfig, accelerator: Accelerator, parts: Parts
    ) -> None:
        self.net, self.config, self.accelerator = net, config, accelerator
        self.parts, self.share, self.hooks = parts, parts.share, parts.hooks

    def groups(self, portions: Iterator[Portion]) -> Iterator[list[Portion]]:
        """Yield the batches of an epoch in groups, each of which makes one step."""
        while group := list(islice(portions, self.config.accumulate)):
            yield group

    def layers(self, moment: Moment) -> int:
        """Return how many layers run at this moment."""
        return self.hooks.layers(self.net.depth, moment)

    def keep(self, depth: int) -> None:
        """Keep the first ``depth`` layers and adapt hooks, optimizer and compiled graph."""
        before = list(self.net.named_parameters())
        self.net.keep(depth)
        self.hooks.tell("after_cut", depth)
        optimizer = self.parts.optimizer
        optimizer = getattr(optimizer, "optimizer", optimizer)  # without Accelerate's wrapper
        carry_over(optimizer, before, self.net.named_parameters())
        self.parts.loss.rebuild()

    def __call__(self, group: Sequence[Portion], moment: Moment) -> Tensor:
        """Make one step on the batches of ``group`` and return their mean loss."""
        self.hooks.tell("before_forward", self.net, moment)
        loss = self._gradients(group, moment)
        self.share.average_gradients(self.net)
        if self.config.clip_norm is not None:  # unscales first: the norm is the true gradient's
            self.accelerator.clip_grad_norm_(self.net.parameters(), self.config.clip_norm)
        self.hooks.tell("before_step", self.net)
        self.parts.optimizer.step()
        self.hooks.tell("after_step", self.net)
        self.parts.optimizer.zero_grad()
        self.parts.schedule.step()
        return loss

    def _gradients(self, group: Sequence[Portion], moment: Moment) -> Tensor:
        """Add the gradients of the mean loss over the batches of ``group`` and return this loss."""
        loss_of, layers = self.parts.loss, self.layers(moment)
        mixes = loss_of.augment is not None
        losses: list[Tensor] = []
        tokens = self._tokens(group)
        for portion, part in zip(group, self.share.parts(group), strict=True):
            inputs, targets, weight = self.share.own(portion, loss_of.prepare, mixes)
            if not losses:
                dropped = self.hooks.dropped(layers, moment)
            scale = weight if part is None else part if weight is None else weight * part
            factor = self._factor(inputs, tokens, scale)
            scaled = is_bytes(portion.inputs)
            loss = loss_of(inputs, targets, layers, moment, dropped, factor, scaled=scaled)
            loss = loss if weight is None else loss * weight
            loss = loss if part is None else loss * part
            total = loss if losses else self.hooks.with_penalties(loss, self.net)
            self.accelerator.backward(total)
            losses.append(loss.detach().clone())  # a compiled graph may reuse its output's memory
        return losses[0] if len(losses) == 1 else torch.stack(losses).sum()

    def _tokens(self, group: Sequence[Portion]) -> Tensor | None:
        """Return how many tokens' hidden states a step teaches, if its batches are divided."""
        teacher = self.parts.loss.teacher
        if teacher is None or not teacher.hidden or (len(group) == 1 and self.share.world == 1):
            return None
        counts = [self.net.counted(portion.inputs) for portion in group]
        known = [count for count in counts if count is not None]
        return self.share.tokens(group, known) if len(known) == len(group) else None

    def _factor(self, inputs: Any, tokens: Tensor | None, scale: Tensor | None) -> Tensor | None:
        """Return what makes hidden states count by tokens, where ``scale`` goes by labels.

        A batch without any label, of scale 0, teaches nothing.
        """
        counted = None if tokens is None else self.net.counted(inputs)
        if counted is None or tokens is None or scale is None:
            return None
        return torch.where(scale > 0, counted.sum() / tokens / scale, 0.0)
