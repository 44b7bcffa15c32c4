"""Heads of tasks: create a new one, and view a network with another head."""

from __future__ import annotations

import copy
from typing import Any

from torch import nn

from autocompress.network import Network

__all__ = ["new_head", "with_head"]


def with_head(net: Network, head: nn.Module) -> Network:
    """Return a view of ``net`` with another head; all other weights are shared.

    Example:
        >>> import torch, autocompress as ac
        >>> net = ac.models.MLP(depth=2, width=8, classes=3, image_size=2, channels=1)
        >>> with_head(net, nn.Linear(8, 5))(torch.zeros(1, 1, 2, 2)).shape
        torch.Size([1, 5])
    """
    view = copy.copy(net)
    view._modules = {**net._modules, "head": head}
    return view


def new_head(head: nn.Module) -> nn.Module:
    """Return a head of the same kind with new weights."""
    fresh = copy.deepcopy(head).requires_grad_(True)
    for module in fresh.modules():
        reset: Any = getattr(module, "reset_parameters", None)
        if reset is not None:
            reset()
    return fresh
