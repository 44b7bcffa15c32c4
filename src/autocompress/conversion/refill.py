"""Recompute buffers that no file holds with the library that a host comes from.

A host that was built on the meta device has its weights from a file. Rotations, relative position
indices and masks are computed by its library, which offers to compute them again.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any, cast

import torch
from torch import Tensor, nn

from autocompress.conversion.faces import is_transformer

__all__ = ["refill_buffers"]


def refill_buffers(model: nn.Module) -> None:
    """Compute the buffers that are on the meta device, as far as the host's library can.

    The others remain on the meta device.

    Args:
        model: A host whose parameters have been loaded.
    """
    owners = [module for module in model.modules() if _lost(module)]
    device = next((tensor.device for tensor in model.parameters()), torch.device("cpu"))
    for module in owners:
        for name, buffer in _lost(module).items():
            module._buffers[name] = _marked(torch.empty_like(buffer, device=device))
    if is_transformer(model):
        with suppress(ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError):
            _of_transformers(model, owners)  # if it fails, e.g. without layers, marks remain
    for module in owners:
        fill = getattr(module, "init_non_persistent_buffers", None)
        if fill is not None:
            fill()
    for module in owners:
        for name in module._non_persistent_buffers_set:
            now = module._buffers[name]
            if now is not None and not now.is_meta and _is_marked(now):
                module._buffers[name] = now.to("meta")


def _lost(module: nn.Module) -> dict[str, Tensor]:
    """Return the buffers on the meta device that can be marked: no bool is free to be a mark."""
    names = module._non_persistent_buffers_set
    found = {name: module._buffers[name] for name in names}
    return {
        name: tensor
        for name, tensor in found.items()
        if tensor is not None and tensor.is_meta and tensor.dtype != torch.bool
    }


def _marked(buffer: Tensor) -> Tensor:
    """Return the buffer filled with a number that no buffer contains."""
    return buffer.fill_(_mark(buffer.dtype))


def _mark(dtype: torch.dtype) -> Any:
    return float("nan") if dtype.is_floating_point else torch.iinfo(dtype).min


def _is_marked(buffer: Tensor) -> bool:
    if buffer.dtype == torch.bool:
        return False
    mark = _mark(buffer.dtype)
    return bool((buffer != buffer if mark != mark else buffer == mark).any())


def _of_transformers(model: nn.Module, owners: list[nn.Module]) -> None:
    """Let transformers do for these modules what it does when it loads a checkpoint."""
    from transformers import initialization

    for parameter in model.parameters():  # so that transformers leaves them unchanged
        cast(Any, parameter)._is_hf_initialized = True
    wanted = {id(module) for module in owners}
    with torch.no_grad(), initialization.guard_torch_init_functions():
        _visit(model, cast(Any, model)._init_weights, wanted)


def _visit(module: nn.Module, init: Any, wanted: set[int]) -> None:
    for child in module.children():
        _visit(child, getattr(child, "_init_weights", init), wanted)
    if id(module) in wanted:
        init(module)
