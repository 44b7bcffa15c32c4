"""Compute the buffers outside every state dict in a host that was built on the meta device.

Such a host has its weights from a file, which leaves other tensors, e.g. positions, rotations and
masks, on the meta device, where reading them gives arbitrary memory. The host's library offers to
compute them again.
"""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress
from typing import Any, cast

import torch
from torch import Tensor, nn

from autocompress.conversion.interfaces import is_transformer
from autocompress.errors import ConfigError

__all__ = ["fill_buffers", "forget_buffers", "refill_buffers", "watch_buffers"]


def watch_buffers(host: nn.Module) -> None:
    """Fill the buffers of ``host`` whenever a state dict has been loaded into it."""
    if fill_buffers not in host._load_state_dict_post_hooks.values():
        cast(Any, host).register_load_state_dict_post_hook(fill_buffers)


def forget_buffers(host: nn.Module) -> None:
    """Undo :func:`watch_buffers`."""
    for key, hook in list(host._load_state_dict_post_hooks.items()):
        if hook is fill_buffers:
            del host._load_state_dict_post_hooks[key]


def fill_buffers(host: nn.Module, _: Any = None) -> None:
    """Compute buffers that are still on the meta device when all weights are loaded.

    Raises:
        ConfigError: The host's library offers no way to compute a buffer.
    """
    if any(parameter.is_meta for parameter in host.parameters()):
        return
    for place, module, name in _computed(host):
        if _is_unset(cast(Tensor, module._buffers[name])):
            raise ConfigError(
                f"buffer {place} is not in any state dict, and {type(host).__name__} was "
                "built on the meta device: build it on the CPU, then load its weights"
            )


def refill_buffers(host: nn.Module) -> None:
    """Compute the buffers that are on the meta device, as far as the host's library can.

    The others remain there, and so do masks, whose values do not show whether they were computed.

    Args:
        host: A host whose parameters have been loaded.
    """
    for _, module, name in _computed(host):
        now = cast(Tensor, module._buffers[name])
        if now.dtype == torch.bool or _is_unset(now):
            module._buffers[name] = now.to("meta")


def _computed(host: nn.Module) -> list[tuple[str, nn.Module, str]]:
    """Let the host's library compute the buffers on the meta device.

    Returns:
        Path, module and name of each; what the library did not write is still :func:`_unset`.
    """
    found = []
    device = next((tensor.device for tensor in host.parameters()), torch.device("cpu"))
    for path, module in host.named_modules():
        for name in sorted(module._non_persistent_buffers_set):
            buffer = module._buffers.get(name)
            if buffer is not None and buffer.is_meta:
                module._buffers[name] = torch.full_like(buffer, _unset(buffer), device=device)
                found.append((f"{path}.{name}".lstrip("."), module, name))
    owners = {module: None for _, module, _ in found}
    if owners and is_transformer(host):
        with suppress(ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError):
            _initialise(host, owners)  # if it fails, e.g. without layers, buffers stay unset
    for owner in owners:
        if hasattr(owner, "init_non_persistent_buffers"):  # timm
            cast(Any, owner).init_non_persistent_buffers()
    return found


def _unset(buffer: Tensor) -> float | int | bool:
    """Return a value that no buffer holds, except a mask."""
    if buffer.is_floating_point() or buffer.is_complex():
        return float("nan")
    return False if buffer.dtype == torch.bool else torch.iinfo(buffer.dtype).min


def _is_unset(buffer: Tensor) -> bool:
    if buffer.is_meta:  # a library may build its buffers anew, without a device
        return True
    if buffer.dtype == torch.bool:  # a mask may consist of either value
        return False
    return bool((buffer.isnan() | (buffer == _unset(buffer))).any())


def _initialise(host: nn.Module, owners: Collection[nn.Module]) -> None:
    """Run transformers' own initialisation of these modules, which leaves loaded tensors alone."""
    from transformers import initialization

    loaded: list[Any] = [*host.parameters(), *host.state_dict(keep_vars=True).values()]
    for tensor in loaded:
        tensor._is_hf_initialized = True
    try:
        with torch.no_grad(), initialization.guard_torch_init_functions():
            _visit(host, cast(Any, host)._init_weights, owners)
    finally:
        for tensor in loaded:
            tensor.__dict__.pop("_is_hf_initialized", None)


def _visit(module: nn.Module, init: Any, owners: Collection[nn.Module]) -> None:
    for child in module.children():
        _visit(child, getattr(child, "_init_weights", init), owners)
    if module in owners:
        init(module)
