"""Check the loss during training and explain it if it is not finite."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from autocompress.checks import not_finite_weights
from autocompress.errors import DivergedError
from autocompress.network import Network
from autocompress.training.checkpoint import latest_checkpoint
from autocompress.training.config import FitConfig

__all__ = ["LossWatch"]


class LossWatch:
    """The losses of the last steps, kept to name the first one that is not finite.

    Args:
        net: The network being trained.
        config: Settings of the run.
        folder: Folder of the run, whose last good checkpoint is named; None if there is none.
        over_processes: Function that returns the mean of a loss over all processes.
    """

    #: Steps between checks that the loss is finite; each check waits for the device.
    EVERY = 50

    def __init__(
        self,
        net: Network,
        config: FitConfig,
        folder: Path | None,
        over_processes: Callable[[Tensor], Tensor],
    ) -> None:
        self.net, self.config, self.folder = net, config, folder
        self.over_processes = over_processes
        self._losses: list[Tensor] = []  # since the last check

    def add(self, loss: Tensor) -> Tensor:
        """Keep the loss of a step and return it."""
        self._losses.append(loss)
        return loss

    def check(self, total: Tensor, epoch: int, steps: int) -> None:
        """Check the sum of the losses of the current epoch.

        Args:
            total: The sum, over all processes.
            epoch: Number of the epoch, from 1.
            steps: Number of steps of the run so far.

        Raises:
            DivergedError: The sum is not finite; the message names the first such step.
        """
        losses, self._losses = self._losses, []
        if not torch.isfinite(total):
            losses = [self.over_processes(loss) for loss in losses]
            said = _diverged(self.net, self.config, losses, steps, self.folder)
            raise DivergedError(f"epoch {epoch}: {said}")


def _diverged(
    net: Network, config: FitConfig, losses: Sequence[Tensor], last: int, folder: Path | None
) -> str:
    """Return a message about a non-finite loss: when, which weights, and what may help.

    Args:
        net: The network in its current state.
        config: Settings of the run.
        losses: Losses of the last steps.
        last: Number of the last of these steps, counted over the run from 1.
        folder: Folder of the run, whose last good checkpoint is named.
    """
    bad = next((k for k, loss in enumerate(losses) if not torch.isfinite(loss)), 0)
    step = last - len(losses) + 1 + bad
    weights = not_finite_weights(net)
    where = ""
    if weights:
        total = sum(1 for _ in net.parameters())
        where = f" (by now {len(weights)} of {total} weights are not, the first is {weights[0]})"
    if step == 1:  # no learning rate has had an effect yet
        hint = (
            "No step had been made, so the learning rate is not the reason: in fp16 the loss "
            "overflows (precision 'bf16' or 'fp32'), or an input or a label of that batch is "
            "extreme"
        )
    else:
        hint = (
            f"Try a lower lr than {config.lr}, more warmup_epochs than {config.warmup:g}, or "
            "precision 'bf16' or 'fp32'"
        )
    newest = None if folder is None else latest_checkpoint(folder / "checkpoints")
    kept = f"the last good checkpoint is {newest}" if newest else "there is no checkpoint"
    return f"the loss is {float(losses[bad])} at step {step}{where}; {kept}. {hint}"
