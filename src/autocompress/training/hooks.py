"""Hook: how anything beside the loop itself takes part in training.

Gates on a path, layers that join or go, layer dropout, an average of the weights and pruning are
hooks, as are a user's own penalties and masks: one file each, made from their own config.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from autocompress.network import Network

__all__ = ["Hook", "Moment"]


@dataclass(frozen=True)
class Moment:
    """Where a run stands before a step.

    Attributes:
        step: Steps that are over, of the whole run.
        steps: Steps of the whole run.
    """

    step: int
    steps: int

    @property
    def progress(self) -> float:
        """Return the share of the run that is over, 0..1."""
        return self.step / self.steps

    def before(self) -> Moment:
        """Return the moment one step earlier."""
        return Moment(self.step - 1, self.steps)


class Hook:
    """Called by :func:`autocompress.fit` at the places that its methods name; all do nothing here.

    What a hook remembers goes into the checkpoints by :meth:`state_dict`, so that a resumed run
    equals one that was never stopped.
    """

    def begin(self, net: Network) -> None:
        """Run before training begins or resumes."""

    def penalty(self, net: Network) -> Tensor | None:
        """Return what is added to the loss of every step, in nats; None adds nothing."""
        return None

    def before_epoch(self, net: Network, epoch: int, epochs: int, steps: int) -> None:
        """``epoch`` (from 1) of ``epochs`` begins, and takes ``steps`` steps."""

    def before_forward(self, net: Network, moment: Moment) -> None:
        """Run at the start of a step, before its forward pass."""

    def layers(self, depth: int, moment: Moment) -> int:
        """Return how many of ``depth`` layers run in this step; the fewest of all hooks count."""
        return depth

    def dropped(self, layers: int, moment: Moment) -> Sequence[int]:
        """Return the indices (from 0) of the layers that this step leaves out."""
        return ()

    def before_step(self, net: Network) -> None:
        """Run when the gradients are computed and clipped, before the weights change."""

    def after_step(self, net: Network) -> None:
        """Run after the weights have changed, while the gradients are still there."""

    def after_epoch(self, net: Network, epoch: int, epochs: int) -> None:
        """``epoch`` (from 1) of ``epochs`` is over, and not yet evaluated."""

    def evaluated(self, net: Network) -> Network:
        """Return the network that validation scores, and that the run ends with."""
        return net

    def depth_left(
        self, net: Network, history: Sequence[dict[str, Any]], epochs: int
    ) -> int | None:
        """Return with how many layers the run goes on after an epoch; None leaves them all.

        Args:
            net: The network as it is.
            history: Records of the epochs so far, as in metrics.jsonl.
            epochs: Of the whole run.
        """
        return None

    def after_cut(self, depth: int) -> None:
        """Run after the layers above ``depth`` have been removed."""

    def finish(self, net: Network) -> None:
        """Run when training is over."""

    def state_dict(self) -> dict[str, Any]:
        """Return what it remembers: tensors and plain values.

        It is asked for between two steps: at the end of an epoch, and within one that a signal
        stops. The latter goes on with :meth:`begin`, :meth:`before_epoch` and then
        :meth:`load_state_dict`.
        """
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up what :meth:`state_dict` gave."""
