"""What new processes of other libraries call: a module that they can import by its name."""

from __future__ import annotations

import importlib.util
from typing import Any

import torch
from torch.nn import functional as F

if not hasattr(torch.ops.torchvision, "nms"):  # in a new process
    import conftest  # noqa: F401 - lets torchvision import


@torch.no_grad()
def outputs(net: Any, inputs: Any) -> torch.Tensor:
    out: torch.Tensor = net(inputs)
    return out


def likelihood(classifier: Any, x: Any, y: Any) -> float:
    """Score a classifier as scikit-learn's searches do, by the mean probability of the class."""
    return float(classifier.predict_proba(x)[range(len(y)), y].mean())


if importlib.util.find_spec("lightning"):
    import lightning

    class Task(lightning.LightningModule):
        def __init__(self, net: Any) -> None:
            super().__init__()
            self.net = net

        def training_step(self, rows: Any, _: int) -> Any:
            return F.cross_entropy(self.net(rows[0]), rows[1])

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), 0.1)
