"""What else may take part in training: penalties on the loss, scores and masks of weights."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from autocompress.network import Network

__all__ = ["Hook"]


class Hook:
    """Called by :func:`autocompress.fit` at the places that its methods name; all do nothing here.

    What a hook remembers goes into the checkpoints by :meth:`state_dict`, so that a resumed run
    equals one that was never stopped.
    """

    def begin(self, net: Network) -> None:
        """Training is about to begin, or to go on."""

    def penalty(self, net: Network) -> Tensor | None:
        """What is added to the loss of every step, in nats; None adds nothing."""
        return None

    def before_epoch(self, net: Network, epoch: int, epochs: int, steps: int) -> None:
        """``epoch`` (from 1) of ``epochs`` begins, and takes ``steps`` steps."""

    def before_step(self, net: Network) -> None:
        """The gradients of a step are there, clipped, and the weights not yet changed."""

    def after_step(self, net: Network) -> None:
        """The weights have changed; the gradients are still there."""

    def after_epoch(self, net: Network, epoch: int, epochs: int) -> None:
        """``epoch`` (from 1) of ``epochs`` is over, and not yet evaluated."""

    def state_dict(self) -> dict[str, Any]:
        """What it remembers: tensors and plain values.

        It is asked for between two steps: at the end of an epoch, and within one that a signal
        stops. The latter goes on with :meth:`begin`, :meth:`before_epoch` and then
        :meth:`load_state_dict`.
        """
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up what :meth:`state_dict` gave."""
