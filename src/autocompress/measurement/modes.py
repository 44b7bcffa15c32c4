"""Set the mode of a network for measuring, and restore it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import nn

__all__ = ["device_of", "evaluating", "in_eval_mode", "learning", "outside_inference"]


@contextmanager
def evaluating(*nets: nn.Module) -> Iterator[None]:
    """Use eval mode and inference mode, then restore the mode of every module."""
    with in_eval_mode(*nets), torch.inference_mode():
        yield


@contextmanager
def in_eval_mode(*nets: nn.Module) -> Iterator[None]:
    """Use eval mode without changing gradients, then restore the mode of every module.

    A network that is in eval mode already is only looked at: setting the mode of hundreds of
    modules takes as long as a small batch.
    """
    before = _in_training(nets)
    try:
        if before:
            for net in nets:
                net.eval()
        yield
    finally:
        for module in before:
            module.training = True


def _in_training(nets: Iterable[nn.Module]) -> list[nn.Module]:
    """Return the modules in training mode, much sooner than ``modules()`` would list them."""
    found, left = [], list(nets)
    while left:
        module = left.pop()
        if module.training:
            found.append(module)
        left.extend(child for child in module._modules.values() if child is not None)
    return found


@contextmanager
def outside_inference() -> Iterator[None]:
    """Leave inference mode, keeping gradients on or off, for tools that watch operations.

    In inference mode operations reach a dispatch mode undivided, and matrix products take another
    path than without one. With gradients disabled instead, the same kernels run as in inference
    mode, watched or not.
    """
    grad = torch.is_grad_enabled()
    with torch.inference_mode(False), torch.set_grad_enabled(grad):
        yield


@contextmanager
def learning() -> Iterator[None]:
    """Leave inference mode and record gradients, whatever the caller's mode is."""
    with torch.inference_mode(False), torch.enable_grad():
        yield


def device_of(net: nn.Module) -> torch.device:
    """Return the device of the first parameter or buffer; the CPU for a network without any.

    Example:
        >>> device_of(nn.Linear(2, 2, device="meta"))
        device(type='meta')
    """
    for tensor in (*net.parameters(), *net.buffers()):
        return tensor.device
    return torch.device("cpu")
