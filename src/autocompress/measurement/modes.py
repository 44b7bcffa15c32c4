"""How a network is put for measuring, and put back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

__all__ = ["device_of", "evaluating", "in_eval_mode", "outside_inference"]


@contextmanager
def evaluating(*nets: nn.Module) -> Iterator[None]:
    """Eval mode in inference mode; afterwards every module is in the mode it was in."""
    with in_eval_mode(*nets), torch.inference_mode():
        yield


@contextmanager
def in_eval_mode(*nets: nn.Module) -> Iterator[None]:
    """Eval mode, gradients as they are; afterwards every module is in the mode it was in."""
    before = [(module, module.training) for net in nets for module in net.modules()]
    try:
        for net in nets:
            net.eval()
        yield
    finally:
        for module, training in before:
            module.training = training


@contextmanager
def outside_inference() -> Iterator[None]:
    """Leave inference mode, gradients on or off as they were, for tools that watch operations.

    In inference mode operations reach a watcher whole, and under its eyes matrix products take
    another road than alone. Without gradients the same kernels run as in inference mode, and
    they run whether watched or not.
    """
    grad = torch.is_grad_enabled()
    with torch.inference_mode(False), torch.set_grad_enabled(grad):
        yield


def device_of(net: nn.Module) -> torch.device:
    """Where the first parameter or buffer is; the CPU for a network without any.

    Example:
        >>> device_of(nn.Linear(2, 2, device="meta"))
        device(type='meta')
    """
    for tensor in (*net.parameters(), *net.buffers()):
        return tensor.device
    return torch.device("cpu")
