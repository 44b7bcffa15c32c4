"""The answer of a classifier to every example at every depth, collected during a probe."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from autocompress.network import Network
from autocompress.training.objectives import Classification, objective_of

__all__ = ["Answers", "Collector"]


@dataclass(frozen=True)
class Answers:
    """The likeliest class of every example at every depth.

    Attributes:
        classes: Class numbers, int32 (examples, L + 1).
        probabilities: Probability of that class, float32 (examples, L + 1).
    """

    classes: Tensor
    probabilities: Tensor


@dataclass
class Collector:
    """Collects answers from the logits of a probe, batch by batch and depth by depth.

    Args:
        net: The network. Only classifiers of whole examples have such answers: nothing is collected
            for a network with several labels, for one that predicts numbers, or per token.
    """

    net: Network
    _batches: list[list[tuple[Tensor, Tensor]]] = field(default_factory=list)

    def begin(self) -> None:
        """Begin a new batch."""
        self._batches.append([])

    def add(self, logits: Tensor) -> None:
        """Take the logits (B, K) of the next depth."""
        if not isinstance(objective_of(self.net), Classification) or logits.ndim != 2:
            return
        best = logits.argmax(-1)
        sure = logits.float().softmax(-1).gather(-1, best[:, None])[:, 0]
        self._batches[-1].append((best.int().cpu(), sure.cpu()))

    def answers(self) -> Answers | None:
        """Return all answers; None if the network is not a classifier of whole examples."""
        if not self._batches or not all(self._batches):
            return None
        columns = [
            tuple(torch.stack(part, 1) for part in zip(*batch, strict=True))
            for batch in self._batches
        ]
        classes, probabilities = (torch.cat(part) for part in zip(*columns, strict=True))
        return Answers(classes, probabilities)
