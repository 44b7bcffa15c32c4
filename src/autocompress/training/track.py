"""Track: pass every epoch's metrics to an experiment tracker."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from autocompress.network import Network
from autocompress.training.hooks import Hook

__all__ = ["Track"]


class Track(Hook):
    """A hook that passes each epoch's metrics to an experiment tracker.

    Args:
        log: Function called as ``log(numbers, step=epoch)``, such as ``wandb.log``,
            ``mlflow.log_metrics``, ``trackio.log`` or the ``log`` of Accelerate's trackers. Scores
            by depth have names such as ``depths/3``.

    Example:
        >>> import torch, autocompress as ac
        >>> data = torch.utils.data.TensorDataset(torch.randn(8, 1, 2, 2), torch.arange(8) % 3)
        >>> net = ac.models.MLP(depth=1, width=4, classes=3, image_size=2, channels=1)
        >>> seen = []
        >>> hook = ac.Track(lambda numbers, step: seen.append((step, sorted(numbers)[:2])))
        >>> run = ac.fit(net, data, data, ac.FitConfig(epochs=1), hooks=[hook], progress=False)
        >>> seen
        [(1, ['depths/0', 'depths/1'])]
    """

    def __init__(self, log: Callable[..., Any]) -> None:
        self.log = log

    def after_evaluation(self, net: Network, record: Mapping[str, Any]) -> None:
        numbers: dict[str, float] = {}
        for name, value in record.items():
            if isinstance(value, (list, tuple)):
                numbers |= {f"{name}/{depth}": one for depth, one in enumerate(value)}
            elif name != "epoch":
                numbers[name] = value
        self.log(numbers, step=record["epoch"])
