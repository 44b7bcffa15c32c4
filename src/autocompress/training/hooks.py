"""Hook: how anything beside the loop itself takes part in training.

Moving gates, growing and dropping layers, layer dropout, averaging weights and pruning are hooks,
as are a user's own penalties and masks. Each built-in hook has its own file and config.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from autocompress.network import Network

__all__ = ["Hook", "Moment"]


@dataclass(frozen=True)
class Moment:
    """The position of a run before a step.

    Attributes:
        step: Number of steps already taken in the whole run.
        steps: Total number of steps of the run.
    """

    step: int
    steps: int

    @property
    def progress(self) -> float:
        """Return the share of the run that is done, 0..1."""
        return self.step / self.steps

    def before(self) -> Moment:
        """Return the moment one step earlier."""
        return Moment(self.step - 1, self.steps)


class Hook:
    """A participant in training, called by :func:`autocompress.fit` at the points below.

    Every method of this base class does nothing. State that a hook returns from :meth:`state_dict`
    is stored in the checkpoints, so that a resumed run equals an uninterrupted one.

    Example:
        >>> import torch, autocompress as ac
        >>> class WeightPenalty(ac.Hook):
        ...     def penalty(self, net):
        ...         return 1e-3 * sum(w.abs().sum() for w in net.trunk.parameters())
        >>> data = torch.utils.data.TensorDataset(torch.randn(8, 1, 2, 2), torch.arange(8) % 3)
        >>> net = ac.models.MLP(depth=1, width=4, classes=3, image_size=2, channels=1)
        >>> config = ac.FitConfig(epochs=1)
        >>> run = ac.fit(net, data, config=config, hooks=[WeightPenalty()], progress=False)
    """

    def begin(self, net: Network) -> None:
        """Run before training begins or resumes."""

    def penalty(self, net: Network) -> Tensor | None:
        """Return a term that is added to the loss of every step, in nats; None adds nothing."""
        return None

    def before_epoch(self, net: Network, epoch: int, epochs: int, steps: int) -> None:
        """Run before ``epoch`` (from 1) of ``epochs``, which takes ``steps`` steps."""

    def before_forward(self, net: Network, moment: Moment) -> None:
        """Run at the start of a step, before its forward pass."""

    def layers(self, depth: int, moment: Moment) -> int:
        """Return how many of ``depth`` layers run in this step; the smallest answer counts."""
        return depth

    def dropped(self, layers: int, moment: Moment) -> Sequence[int]:
        """Return the indices (from 0) of the layers that this step skips."""
        return ()

    def before_step(self, net: Network) -> None:
        """Run after the gradients are computed and clipped, before the weights change."""

    def after_step(self, net: Network) -> None:
        """Run after the weights have changed, while the gradients still exist."""

    def after_epoch(self, net: Network, epoch: int, epochs: int) -> None:
        """Run after ``epoch`` (from 1) of ``epochs``, before it is evaluated."""

    def evaluated(self, net: Network) -> Network:
        """Return the network to validate, which is also the one that the run ends with."""
        return net

    def depth_left(
        self, net: Network, history: Sequence[dict[str, Any]], epochs: int
    ) -> int | None:
        """Return the number of layers to continue with after an epoch; None keeps them all.

        Args:
            net: The network in its current form.
            history: Records of the epochs so far, as in metrics.jsonl.
            epochs: Number of epochs of the whole run.
        """
        return None

    def after_evaluation(self, net: Network, record: Mapping[str, Any]) -> None:
        """Run after an epoch has been evaluated and logged.

        Args:
            net: The network that is trained further.
            record: The epoch's record in metrics.jsonl: ``epoch``, ``loss``, ``lr``, ``seconds``,
                and if it was evaluated ``validation``, ``depths`` (the score of each depth) and
                ``losses``.
        """

    def after_cut(self, depth: int) -> None:
        """Run after the layers above ``depth`` have been removed."""

    def finish(self, net: Network) -> None:
        """Run when training has ended."""

    def state_dict(self) -> dict[str, Any]:
        """Return the hook's state: tensors and plain values.

        It is called between two steps: at the end of an epoch, or within one that a signal stops.
        A run stopped within an epoch resumes with :meth:`begin`, :meth:`before_epoch` and then
        :meth:`load_state_dict`.
        """
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the state that :meth:`state_dict` returned."""
