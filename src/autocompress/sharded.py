"""Networks under FSDP2, whose weights lie in pieces on several processes.

``torch.distributed.fsdp.fully_shard`` collects a module's weights before the module is called and
divides them again later. It knows of no other way into a network than its call, and it lets no
module be copied. Reading depths and cutting need both; every process has to take part in them.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable, Iterable
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, nn

from autocompress.errors import ConfigError

__all__ = ["in_call", "is_sharded", "own_copy", "twin_of", "unsharded"]

M = TypeVar("M", bound=nn.Module)
T = TypeVar("T")


def is_sharded(module: nn.Module) -> bool:
    """Return whether ``fully_shard`` was applied to this module itself."""
    fsdp = sys.modules.get("torch.distributed.fsdp")
    return fsdp is not None and isinstance(module, fsdp.FSDPModule)


def in_call(net: nn.Module, run: Callable[[], Iterable[T]]) -> Iterable[T]:
    """Return what ``run`` yields; for a sharded network as a list, computed within a call of it.

    Args:
        net: The network.
        run: Function that uses its parts.

    Raises:
        ConfigError: The network is sharded and gradients are on: FSDP collects them for a whole
            forward pass only, and they would be wrong.
    """
    if not is_sharded(net):
        return run()
    if torch.is_grad_enabled():
        raise ConfigError(
            "the depths of a network under FSDP are read without gradients (torch.no_grad()); "
            "train it through its call, net(x) or net(x, depth=k)"
        )
    own = vars(net)
    before = own.get("forward")
    own["forward"] = lambda: list(run())
    try:
        return cast(list[T], net())
    finally:
        own.pop("forward")
        if before is not None:
            own["forward"] = before


def twin_of(module: M) -> M:
    """Return a shallow copy, also of a sharded module, whose constructor ``copy`` would call."""
    if not is_sharded(module):
        return copy.copy(module)
    twin: M = object.__new__(type(module))
    vars(twin).update(vars(module))
    return twin


def unsharded(module: M) -> M:
    """Return a view of a sharded network in the classes that it had before; others unchanged.

    Its tensors are still those of the network: :func:`own_copy` collects them.
    """
    fsdp: Any = sys.modules.get("torch.distributed.fsdp")
    if fsdp is None or not any(map(is_sharded, module.modules())):
        return module
    twin = twin_of(module)
    if is_sharded(module):
        twin.__class__ = type(module).__mro__[2]
    for key in [key for key in vars(twin) if key.startswith("__composable_api")]:
        del vars(twin)[key]  # what fully_shard notes on a module, with its state
    for hooks in ("_forward_pre_hooks", "_forward_hooks"):
        kept = vars(module)[hooks].copy()
        for key, hook in list(kept.items()):
            if type(getattr(hook, "__self__", None)).__module__.startswith(fsdp.__name__):
                del kept[key]
        vars(twin)[hooks] = kept
    vars(twin)["_modules"] = {
        name: None if child is None else unsharded(child) for name, child in module._modules.items()
    }
    return twin


def own_copy(module: M, memo: dict[int, Any] | None = None) -> M:
    """Return a deep copy; tensors that lie in pieces are collected, which takes every process.

    Args:
        module: The module, of which nothing is sharded any more (:func:`unsharded`).
        memo: Copies to use, by the ``id`` of what they are copies of.
    """
    found = dict(memo or {})
    for parameter in module.parameters():
        collect: Callable[[], Tensor] | None = getattr(parameter, "full_tensor", None)
        if collect is not None and id(parameter) not in found:
            whole = collect().detach().clone()
            found[id(parameter)] = nn.Parameter(whole, parameter.requires_grad)
    return copy.deepcopy(module, found)
