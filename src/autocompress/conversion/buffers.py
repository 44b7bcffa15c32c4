"""Fill the buffers outside every state dict in a host that was built on the meta device.

``load_state_dict(assign=True)`` gives such a host its weights and leaves other tensors, e.g.
positions and rotations, on the meta device, where reading them gives arbitrary memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import torch
from torch import Tensor, nn

from autocompress.errors import ConfigError

__all__ = ["fill_buffers", "forget_buffers", "watch_buffers"]


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
    left = list(_on_meta(host))
    if not left or any(parameter.is_meta for parameter in host.parameters()):
        return
    device = next(host.parameters()).device
    for _path, module, name, buffer in left:
        module._buffers[name] = torch.full_like(buffer, _unset(buffer), device=device)
    modules = {path: module for path, module, *_ in left}
    if hasattr(host, "_init_weights") and hasattr(host, "config"):
        _fill_transformers(host, modules)
    for module in modules.values():
        if hasattr(module, "init_non_persistent_buffers"):  # timm
            cast(Any, module).init_non_persistent_buffers()
    for path, module, name, _buffer in left:
        found = f"{path}.{name}".lstrip(".")
        if _is_unset(cast(Tensor, module._buffers[name])):
            raise ConfigError(
                f"buffer {found} is not in any state dict, and {type(host).__name__} was "
                "built on the meta device: build it on the CPU, then load its weights"
            )


def _on_meta(host: nn.Module) -> Iterator[tuple[str, nn.Module, str, Tensor]]:
    for path, module in host.named_modules():
        for name in sorted(module._non_persistent_buffers_set):
            buffer = module._buffers.get(name)
            if buffer is not None and buffer.is_meta:
                yield path, module, name, buffer


def _unset(buffer: Tensor) -> float | int | bool:
    """Return a value that no buffer consists of entirely."""
    if buffer.is_floating_point() or buffer.is_complex():
        return float("nan")
    return False if buffer.dtype == torch.bool else torch.iinfo(buffer.dtype).min


def _is_unset(buffer: Tensor) -> bool:
    if buffer.dtype == torch.bool:  # a mask may consist of either value
        return False
    return bool((buffer.isnan() | (buffer == _unset(buffer))).all())


def _fill_transformers(host: nn.Module, modules: dict[str, nn.Module]) -> None:
    """Run the host's own initialisation for tensors not yet marked as initialised."""
    from transformers import initialization

    marked: list[Any] = [*host.parameters(), *host.state_dict(keep_vars=True).values()]
    for tensor in marked:
        tensor._is_hf_initialized = True
    try:
        with torch.no_grad(), initialization.guard_torch_init_functions():
            for path, module in modules.items():
                _owner(host, path)._init_weights(module)
    finally:
        for tensor in marked:
            tensor.__dict__.pop("_is_hf_initialized", None)


def _owner(host: nn.Module, path: str) -> Any:
    """Return the innermost model around a module, whose initialisation covers the module."""
    owner, module = host, host
    for name in path.split("."):
        module = module.get_submodule(name) if name else module
        owner = module if hasattr(module, "_init_weights") else owner
    return owner
