"""Track: every epoch's numbers for a tracker, whichever that is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from autocompress.network import Network
from autocompress.training.hooks import Hook

__all__ = ["Track"]


class Track(Hook):
    """Hand each epoch's metrics to a tracker.

    Args:
        log: Called as ``log(numbers, step=epoch)``, as ``wandb.log``, ``mlflow.log_metrics``,
            ``trackio.log`` and the ``log`` of Accelerate's trackers are. A score of each depth is
            named ``depths/3``.

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
