"""Networks under FSDP2, whose weights lie in pieces on several processes.

``torch.distributed.fsdp.fully_shard`` collects a module's weights before the module is called and
divides them again later. It knows of no other way into a network than its call, and it lets no
module be copied. Reading depths and cutting need both; every process has to take part in them.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable, Iterable
from functools import cache, partial
from types import MethodType
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, nn

from autocompress.errors import ConfigError

__all__ = ["check_forward", "in_call", "is_sharded", "own_copy", "shallow", "twin_of", "unsharded"]

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
    """Return a shallow copy, also of a sharded module, whose constructor ``copy`` would call.

    Methods that a library has replaced on the object (accelerate's mixed precision, losses of
    sentence-transformers) become those of the copy.

    Raises:
        ConfigError: Its forward was replaced by something that would go on calling ``module``.
    """
    twin = shallow(module)
    for key, value in vars(module).items():
        if isinstance(value, (MethodType, partial)):
            vars(twin)[key] = _rebound(value, module, twin)
    check_forward(module)
    return twin


def shallow(module: M) -> M:
    """Return a shallow copy, without the detour by pickling that ``copy.copy`` takes.

    Views of a host are made for every pass, and in small ones the detour took as long as a layer.
    """
    if not is_sharded(module) and (
        torch.compiler.is_compiling() or _copies_itself(cast(Any, type(module)))
    ):
        return copy.copy(module)
    twin: M = object.__new__(type(module))
    vars(twin).update(vars(module))
    return twin


@cache
def _copies_itself(cls: type) -> bool:
    """Return whether objects of a class hold more than their ``__dict__``, or say how to copy."""
    slots = any(vars(one).get("__slots__") for one in cls.__mro__)
    return slots or hasattr(cls, "__copy__") or issubclass(cls, torch.jit.ScriptModule)


def check_forward(module: nn.Module, where: str = "") -> None:
    """Raise ConfigError if a copy of ``module`` would still call the forward of ``module``.

    Args:
        module: The module, whose forward may have been replaced on the object.
        where: Its path, for the message.
    """
    own = vars(module).get("forward")
    while isinstance(own, partial):
        own = next((part for part in (*own.args, own.func) if _names(part, module)), own.func)
    if own is not None and not _names(own, module):
        raise ConfigError(
            f"the forward of {where or 'this'} {type(module).__name__} was replaced on the object "
            "by a function, which would run the whole network at every depth: delete it "
            "(del module.forward), or make it a method of a subclass"
        )


def _names(value: Any, module: nn.Module) -> bool:
    return value is module or getattr(value, "__self__", None) is module


def _rebound(value: Any, module: nn.Module, twin: nn.Module) -> Any:
    """Return a method of ``module`` as one of ``twin``; other values unchanged."""
    if value is module:
        return twin
    if isinstance(value, MethodType) and value.__self__ is module:
        return MethodType(value.__func__, twin)
    if isinstance(value, partial):
        func, *args = (_rebound(part, module, twin) for part in (value.func, *value.args))
        named = {key: _rebound(part, module, twin) for key, part in value.keywords.items()}
        return partial(func, *args, **named)
    return value


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
