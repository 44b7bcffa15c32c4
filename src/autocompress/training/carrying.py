"""Keep an optimizer's state of the parameters that remain when layers are removed in training."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

__all__ = ["carry_over"]


def carry_over(
    optimizer: torch.optim.Optimizer,
    before: Iterable[tuple[str, nn.Parameter]],
    after: Iterable[tuple[str, nn.Parameter]],
) -> None:
    """Rebind an optimizer to the remaining parameters, keeping their state.

    A parameter that has become shorter under the same name (learned gates of fewer layers) keeps
    the first entries of its state.

    Args:
        optimizer: The optimizer, changed in place.
        before: Names and parameters that it was built for.
        after: Names and parameters that remain.
    """
    left = dict(after)
    heirs = {id(old): left.get(name) for name, old in before}
    for group in optimizer.param_groups:
        group["params"] = [heirs[id(p)] for p in group["params"] if heirs[id(p)] is not None]
    states = dict(optimizer.state)
    optimizer.state.clear()
    for old, state in states.items():
        new = heirs[id(old)]
        if new is not None:
            optimizer.state[new] = {key: _first(value, new) for key, value in state.items()}


def _first(value: Any, parameter: nn.Parameter) -> Any:
    """Return a state entry, truncated to the shape of its parameter."""
    if not isinstance(value, torch.Tensor) or value.ndim == 0 or value.shape == parameter.shape:
        return value
    return value[tuple(slice(size) for size in parameter.shape)].clone()
