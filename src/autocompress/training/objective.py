"""The contract of objectives: how outputs are compared with labels, whatever the labels are.

:mod:`autocompress.training.objectives` has the three objectives, and finds that of a network.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

from torch import Tensor

from autocompress.errors import ConfigError

__all__ = ["IGNORED", "Objective", "Wanted"]

#: The label of tokens that are not scored, as in transformers and torch's cross_entropy.
IGNORED = -100


class Wanted(NamedTuple):
    """The targets of a batch, in the form from which all depths are scored.

    Attributes:
        targets: Targets (examples, ...) of the rows that count.
        rows: Indices of these rows among the flattened rows of the logits; None if all count.
    """

    targets: Tensor
    rows: Tensor | None = None


class Objective(ABC):
    """The way in which outputs are compared with labels.

    Attributes:
        metric: Name of the score; higher is better, 1 is perfect.
        unit: Unit of the loss.
    """

    metric: ClassVar[str]
    unit: ClassVar[str]

    @abstractmethod
    def targets(
        self, labels: Any, shape: Sequence[int], what: str, *, values: bool = True
    ) -> Tensor:
        """Check labels against outputs and convert them to the form that :meth:`loss` takes.

        Args:
            labels: Labels of a batch, as the data yield them.
            shape: Shape of the outputs for this batch, (B, K) or (B, N, K).
            what: Use of the data, named in the message.
            values: Whether to check each label; otherwise only shape and type are checked, which
                does not wait for the device.

        Raises:
            DataError: The labels do not fit.
        """

    @abstractmethod
    def loss(self, logits: Tensor, targets: Tensor, smoothing: float = 0.0) -> Tensor:
        """Return the mean loss of a batch, in float32; 0 if no token of it has a label.

        Args:
            logits: Logits (B, K) or (B, N, K).
            targets: Targets from :meth:`targets`.
            smoothing: Label smoothing; only classification uses it.
        """

    def wanted(self, targets: Tensor) -> Wanted:
        """Return the targets of the rows that count."""
        return Wanted(targets)

    @abstractmethod
    def judge(self, logits: Tensor, wanted: Wanted) -> tuple[Tensor, Tensor]:
        """Return the raw score (examples, ...) and the loss (examples,) of each example."""

    def scores(self, worth: Tensor, targets: Tensor) -> Tensor:
        """Return the scores (examples, depths) from the raw scores of all examples and depths.

        Args:
            worth: Raw scores of all batches, (examples, depths, ...).
            targets: Targets of all batches, (examples, ...).

        Raises:
            DataError: The score is undefined for these labels.
        """
        return worth

    @abstractmethod
    def constant(self, targets: Tensor) -> float:
        """Return the score of the best answer that ignores the input, e.g. the commonest class."""

    @abstractmethod
    def imitation(
        self, logits: Tensor, teacher: Tensor, temperature: float, tokens: Tensor | None = None
    ) -> Tensor:
        """Return the mean distance of a readout from what teaches it; 0 if they are equal.

        Args:
            logits: Logits (rows, K) of the readout, in float32.
            teacher: Those of the teacher, without a gradient.
            temperature: Temperature of both distributions, if there are any.
            tokens: Targets of tokens, which say what rows count; None counts all.
        """

    def check_mixing(self) -> None:
        """Raise ConfigError if two examples cannot be mixed (CutMix, MixUp)."""
        raise ConfigError(
            f"augment.cutmix and augment.mixup mix classes, which {self.metric} does not have: "
            "set both to 0"
        )

    def check_entropy(self) -> None:
        """Raise ConfigError if outputs are not a distribution over classes (exits, EWC)."""
        raise ConfigError(
            f"outputs that are scored by {self.metric} are not a distribution over classes, so "
            "they have no entropy, and no class can be drawn from them: this is for classification"
        )
