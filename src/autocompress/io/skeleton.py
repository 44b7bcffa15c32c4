"""Networks that are built without their weights, and with no more parts than they may have.

What a config.json describes is built on the meta device: nothing is allocated and no random number
is drawn, so that sizes can be held against the header of the weights before they cost anything.
Buffers that no file holds are made afterwards by the library that the network comes from; where it
offers no way to, the network is built once more, *hollow*: its parameters without memory, its
buffers those of any network.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any
from weakref import ref

import torch
from torch import Tensor, nn
from torch.nn.modules import module as registration
from torch.overrides import TorchFunctionMode

from autocompress.errors import CheckpointError

__all__ = ["bounded", "hollow", "is_complete", "is_empty", "nothing_to_fill", "on_meta"]

#: Modules and parameters that any description may build, however few tensors are saved: a cut
#: network is built with all its layers. And those for each tensor.
PARTS = 20_000
PARTS_PER_TENSOR = 20

#: torch's own functions that give a tensor its starting numbers.
_INIT = [name for name in vars(nn.init) if name.endswith("_") and not name.startswith("_")]

#: Functions that fill a tensor in place, by name: libraries have their own beside torch's.
_FILLING = frozenset(
    [
        *_INIT,
        *("add_", "bernoulli_", "clamp_", "copy_", "div_", "erfinv_", "exponential_", "fill_"),
        *("mul_", "sub_", "trunc_", "zero_", "__setitem__"),
    ]
)


class nothing_to_fill(TorchFunctionMode):
    """Leave out what would fill tensors without memory with numbers: their starting weights."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if getattr(func, "__name__", "") in _FILLING:
            filled = args[0] if args else kwargs.get("tensor")
            if isinstance(filled, Tensor) and is_empty(filled):
                return filled
        return func(*args, **kwargs)


@contextmanager
def bounded(parts: int) -> Iterator[None]:
    """What is built within, in this thread, has no more than ``parts`` modules and parameters.

    Raises:
        CheckpointError: It has more.
    """
    with ExitStack() as stack:
        _bound(stack, parts, None, empty=False)
        yield


@contextmanager
def on_meta(parts: int) -> Iterator[None]:
    """What is built within, in this thread, has no memory behind any tensor.

    Args:
        parts: Modules and parameters that it may have.

    Raises:
        CheckpointError: It has more.
    """
    with ExitStack() as stack:
        stack.enter_context(_no_init())
        _bound(stack, parts, None, empty=False)
        stack.enter_context(torch.device("meta"))
        yield


@contextmanager
def hollow(parts: int, buffer_bytes: int | None = None) -> Iterator[None]:
    """What is built within has parameters without memory; its buffers are those of any network.

    Such a parameter is one number that stands everywhere, on the device where it would be: modules
    that make their buffers where their parameters are make them there.

    Args:
        parts: Modules and parameters that it may have.
        buffer_bytes: Bytes that its buffers may have in all; None is any number.

    Raises:
        CheckpointError: It has more.
    """
    with ExitStack() as stack:
        stack.enter_context(nothing_to_fill())
        _bound(stack, parts, buffer_bytes, empty=True)
        yield


def is_empty(tensor: Tensor) -> bool:
    """Whether a tensor lacks memory for its numbers: on meta, or one number many times."""
    return tensor.is_meta or (
        tensor.numel() > 1 and tensor.untyped_storage().nbytes() < tensor.nbytes
    )


def is_complete(net: nn.Module) -> bool:
    """Whether a network built :func:`on_meta` lacks nothing but what its state_dict holds."""
    for module in net.modules():
        for name in module._non_persistent_buffers_set:
            buffer = module._buffers[name]
            if buffer is not None and buffer.is_meta:
                return False
        for value in vars(module).values():
            if isinstance(value, Tensor) and value.is_meta:
                return False
    return True


#: Threads that build a network without starting weights, and torch's functions as they were.
_without = threading.local()
_lock, _builders = threading.Lock(), [0]
_originals: dict[str, Callable[..., Any]] = {}


@contextmanager
def _no_init() -> Iterator[None]:
    """Torch's starting weights are not drawn in this thread; in others they are as ever."""
    with _lock:
        _builders[0] += 1
        if _builders[0] == 1:
            _originals.update({name: getattr(nn.init, name) for name in _INIT})
            for name, function in _originals.items():
                setattr(nn.init, name, partial(_init_elsewhere, function))
    before, _without.here = getattr(_without, "here", False), True
    try:
        yield
    finally:
        _without.here = before
        with _lock:
            _builders[0] -= 1
            if not _builders[0]:
                for name, function in _originals.items():
                    setattr(nn.init, name, function)


def _init_elsewhere(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    if getattr(_without, "here", False):
        return args[0] if args else kwargs.get("tensor")
    return function(*args, **kwargs)


def _bound(stack: ExitStack, parts: int, buffer_bytes: int | None, empty: bool) -> None:
    """Count what modules are given in this thread, until the stack ends; ``empty`` parameters."""
    here, left, room = threading.get_ident(), [parts], [buffer_bytes]
    seen: dict[int, tuple[ref[Tensor], nn.Parameter]] = {}

    def count(*_: Any) -> None:
        if threading.get_ident() == here:
            left[0] -= 1
            if left[0] < 0:
                raise CheckpointError(
                    f"config.json describes a network of more than {parts} parts, which its "
                    "weights do not bear out"
                )

    def measure(_: nn.Module, name: str, buffer: Tensor | None) -> None:
        if threading.get_ident() == here and buffer is not None and room[0] is not None:
            room[0] -= buffer.nbytes
            if room[0] < 0:
                raise CheckpointError(
                    f"config.json describes a network whose buffers, {name} among them, have more "
                    f"than {(buffer_bytes or 0) >> 20} MiB, which its weights do not bear out"
                )

    def take_memory(_: nn.Module, __: str, parameter: Any) -> Any:
        if threading.get_ident() != here or parameter is None or is_empty(parameter):
            return None
        known = seen.get(id(parameter))
        if known is not None and known[0]() is parameter:
            return known[1]  # of two modules that share it
        one = torch.zeros((), dtype=parameter.dtype, device=parameter.device)
        twin = nn.Parameter(one.expand(parameter.shape), parameter.requires_grad)
        seen[id(parameter)] = (ref(parameter), twin)
        return twin

    stack.enter_context(registration.register_module_module_registration_hook(count))
    stack.enter_context(registration.register_module_parameter_registration_hook(count))
    if empty:
        stack.enter_context(registration.register_module_parameter_registration_hook(take_memory))
    if buffer_bytes is not None:
        stack.enter_context(registration.register_module_buffer_registration_hook(measure))
