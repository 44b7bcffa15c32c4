"""Heads of tasks: create a new one, and view a network with another head."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn

from autocompress.errors import ConfigError
from autocompress.network import Network

__all__ = ["check_one_head", "new_head", "resting", "with_head"]


def check_one_head(net: Network) -> None:
    """Raise ConfigError unless ``net.head`` is a module that reads every depth.

    That of a converted network is a part of its host, and a branched network has further ones.
    """
    heads = [net.head, *(net.head_at(depth) for depth in range(net.depth + 1))]
    if not all(isinstance(head, nn.Module) and head is net.head for head in heads):
        raise ConfigError(
            "a stream gives each task a head of its own in place of net.head, which is not one "
            f"module for all depths in a {type(net).__name__} network: take another of ac.models, "
            "or fit the tasks one after another"
        )


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
    """Return a head of the same kind with new weights; what is frozen in it stays frozen."""
    fresh = copy.deepcopy(head)
    for module in fresh.modules():
        reset: Any = getattr(module, "reset_parameters", None)
        if reset is not None:
            reset()
    return fresh


@contextmanager
def resting(heads: Iterable[nn.Module]) -> Iterator[None]:
    """Keep heads from learning: replay reads them, but no optimizer would clear their gradients."""
    learning = [p for head in heads for p in head.parameters() if p.requires_grad]
    for parameter in learning:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in learning:
            parameter.requires_grad_(True)
