"""Build networks without their weights, and with a limited number of parts.

The network that a config.json describes is built on the meta device: nothing is allocated and no
random number is drawn, so that sizes can be checked against the header of the weights before they
cost anything. Buffers that no file holds are then built by the network's own library; if it offers
no way to do so, the network is built a second time, *hollow*: with parameters that need no memory
and ordinary buffers.
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

__all__ = ["limited_to", "hollow", "is_complete", "is_empty", "nothing_to_fill", "on_meta"]

#: Largest number of modules and parameters in a network, however few tensors are saved (a cut
#: network is built with all its layers), and the number for each tensor, if that allows more.
PARTS = 20_000
PARTS_PER_TENSOR = 20

#: torch's functions that initialise a tensor.
_INIT = [name for name in vars(nn.init) if name.endswith("_") and not name.startswith("_")]

#: Names of functions that fill a tensor in place; libraries have their own besides torch's.
_FILLING = frozenset(
    [
        *_INIT,
        *("add_", "bernoulli_", "clamp_", "copy_", "div_", "erfinv_", "exponential_", "fill_"),
        *("mul_", "sub_", "trunc_", "zero_", "__setitem__"),
    ]
)


class nothing_to_fill(TorchFunctionMode):
    """A mode that skips functions which would initialise tensors that have no memory."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if getattr(func, "__name__", "") in _FILLING:
            filled = args[0] if args else kwargs.get("tensor")
            if isinstance(filled, Tensor) and is_empty(filled):
                return filled
        return func(*args, **kwargs)


@contextmanager
def limited_to(parts: int) -> Iterator[None]:
    """Limit what this thread builds in the context to ``parts`` modules and parameters.

    Raises:
        CheckpointError: The limit is exceeded.
    """
    with ExitStack() as stack:
        _bound(stack, parts, None, empty=False)
        yield


@contextmanager
def on_meta(parts: int) -> Iterator[None]:
    """Let this thread build modules without memory for any tensor in the context.

    Args:
        parts: Largest number of modules and parameters.

    Raises:
        CheckpointError: The limit is exceeded.
    """
    with ExitStack() as stack:
        stack.enter_context(_no_init())
        _bound(stack, parts, None, empty=False)
        stack.enter_context(torch.device("meta"))
        yield


@contextmanager
def hollow(parts: int, buffer_bytes: int | None = None) -> Iterator[None]:
    """Build modules with parameters that need no memory, and with ordinary buffers.

    Each parameter is a single number, expanded, on its usual device: modules that create their
    buffers on the device of their parameters do so.

    Args:
        parts: Largest number of modules and parameters.
        buffer_bytes: Largest total of the buffers' bytes; None sets no limit.

    Raises:
        CheckpointError: A limit is exceeded.
    """
    with ExitStack() as stack:
        stack.enter_context(nothing_to_fill())
        _bound(stack, parts, buffer_bytes, empty=True)
        yield


def is_empty(tensor: Tensor) -> bool:
    """Return whether a tensor has no memory of its own: it is on meta, or one number expanded."""
    return tensor.is_meta or (
        tensor.numel() > 1 and tensor.untyped_storage().nbytes() < tensor.nbytes
    )


def is_complete(net: nn.Module) -> bool:
    """Return whether a network built :func:`on_meta` lacks only what its state_dict holds."""
    for module in net.modules():
        for name in module._non_persistent_buffers_set:
            buffer = module._buffers[name]
            if buffer is not None and buffer.is_meta:
                return False
        for value in vars(module).values():
            if isinstance(value, Tensor) and value.is_meta:
                return False
    return True


#: Threads that build without initial weights, and torch's original functions.
_without = threading.local()
_lock, _builders = threading.Lock(), [0]
_originals: dict[str, Callable[..., Any]] = {}


@contextmanager
def _no_init() -> Iterator[None]:
    """Skip torch's initialisation of weights in this thread and no other."""
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
    """Count what modules receive in this thread until the stack ends; make parameters empty."""
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
                    f"than {(buffer_bytes or 0) >> 20} MiB, which is more than its weights can fill"
                )

    def take_memory(_: nn.Module, __: str, parameter: Any) -> Any:
        if threading.get_ident() != here or parameter is None or is_empty(parameter):
            return None
        known = seen.get(id(parameter))
        if known is not None and known[0]() is parameter:
            return known[1]  # two modules share this parameter
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
