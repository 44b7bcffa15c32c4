"""Networks that are built without their weights, and with no more parts than they may have.

What a config.json describes is built on the meta device first: nothing is allocated, no random
number is drawn, and more modules than the weights bear out end the attempt. Only when its tensors
are those of the weights' header does a network with memory behind it exist.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from weakref import ref

import torch
from torch import Tensor, nn
from torch.nn.modules import module as registration
from torch.overrides import TorchFunctionMode

from autocompress.errors import CheckpointError

__all__ = ["hollow", "is_complete", "on_meta"]

#: Modules and parameters that any network may have, however few tensors are saved of it: a cut
#: network is built with all its layers.
PARTS = 50_000

#: What fills a tensor in place. On the meta device there is nothing to fill.
_FILLING = frozenset(
    getattr(Tensor, name)
    for name in (
        "normal_",
        "uniform_",
        "fill_",
        "zero_",
        "mul_",
        "add_",
        "sub_",
        "div_",
        "clamp_",
        "erfinv_",
        "copy_",
        "bernoulli_",
        "trunc_",
        "exponential_",
    )
)


class _NothingToFill(TorchFunctionMode):
    """Leaves out what would fill meta tensors with numbers: their starting weights."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in _FILLING and args[0].is_meta:
            return args[0]
        return func(*args, **(kwargs or {}))


@contextmanager
def on_meta(parts: int = PARTS) -> Iterator[None]:
    """What is built within, in this thread, has no memory behind any tensor.

    Args:
        parts: modules and parameters that it may have.

    Raises:
        CheckpointError: it has more.
    """
    with torch.device("meta"), _NothingToFill(), _bounded(parts):
        yield


@contextmanager
def hollow(parts: int = PARTS) -> Iterator[None]:
    """What is built within has parameters without memory; its buffers are those of any network.

    Arguments and errors as :func:`on_meta`.
    """
    with _NothingToFill(), _bounded(parts), _emptied():
        yield


def is_complete(net: nn.Module) -> bool:
    """Whether a network built :func:`on_meta` lacks nothing but what its state_dict holds."""
    for module in net.modules():
        lost = [module._buffers[name] for name in module._non_persistent_buffers_set]
        lost += [value for value in vars(module).values() if isinstance(value, Tensor)]
        if any(tensor is not None and tensor.is_meta for tensor in lost):
            return False
    return True


@contextmanager
def _bounded(parts: int) -> Iterator[None]:
    left, here = [parts], threading.get_ident()

    def count(*_: Any) -> None:
        if threading.get_ident() == here:
            left[0] -= 1
            if left[0] < 0:
                raise CheckpointError(
                    f"config.json describes a network of more than {parts} parts, which its "
                    "weights do not bear out"
                )

    with ExitStack() as hooks:
        hooks.enter_context(registration.register_module_module_registration_hook(count))
        hooks.enter_context(registration.register_module_parameter_registration_hook(count))
        hooks.enter_context(registration.register_module_buffer_registration_hook(count))
        yield


@contextmanager
def _emptied() -> Iterator[None]:
    """Take the memory of each parameter when a module gets it; one that two share stays one."""
    here = threading.get_ident()
    seen: dict[int, tuple[ref[Tensor], nn.Parameter]] = {}

    def empty(_: nn.Module, __: str, parameter: Any) -> Any:
        if threading.get_ident() != here or parameter is None or parameter.is_meta:
            return None
        known = seen.get(id(parameter))
        if known is not None and known[0]() is parameter:
            return known[1]
        twin = nn.Parameter(parameter.detach().to("meta"), parameter.requires_grad)
        seen[id(parameter)] = (ref(parameter), twin)
        return twin

    with registration.register_module_parameter_registration_hook(empty):
        yield
