"""Quantised weights: count and measure them, and refuse to train what passes no gradient.

torch.ao replaces a layer by its own, whose packed weight is not among the ``parameters()``; torchao
and bitsandbytes replace the tensor inside the parameter.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import Tensor, nn

from autocompress.errors import ConfigError

__all__ = ["check_trainable", "packed_tensors", "quantised", "refuse_to_save", "size_of"]

_MODULES = ("torch.ao.nn.quantized", "bitsandbytes.")
_TENSORS = ("torchao.", "bitsandbytes.")


def quantised(net: nn.Module) -> str | None:
    """Return the path and class of the first quantised layer; None if there is none.

    Example:
        >>> quantised(nn.Linear(2, 2)) is None
        True
    """
    for path, module in net.named_modules():
        cls = type(module)
        held = [p for p in module._parameters.values() if p is not None]
        if cls.__module__.startswith(_MODULES) or any(map(_is_quantised, held)):
            return f"{path or 'it'} ({cls.__name__})"
    return None


def _is_quantised(tensor: Tensor) -> bool:
    return type(tensor).__module__.startswith(_TENSORS)


def packed_tensors(net: nn.Module) -> Iterator[Tensor]:
    """Yield the packed weights and biases of torch.ao's layers, which are not parameters."""
    for module in net.modules():
        cls = type(module)
        if cls.__module__.startswith(_MODULES[0]) and not cls.__name__.endswith("PackedParams"):
            unpack: Any = getattr(module, "_weight_bias", None)
            if unpack is not None:
                yield from (tensor for tensor in unpack() if tensor is not None)


def size_of(net: nn.Module) -> int:
    """Return the bytes of all tensors of a quantised network, with scales and zero points."""
    held = {id(t): t for t in (*net.parameters(), *net.buffers())}
    return sum(map(_bytes, held.values())) + sum(map(_bytes, packed_tensors(net)))


def _bytes(tensor: Any) -> int:
    if hasattr(type(tensor), "__tensor_flatten__"):
        names, _ = tensor.__tensor_flatten__()
        return sum(_bytes(getattr(tensor, name)) for name in names)
    scales = 0
    if tensor.is_quantized:
        rows = tensor.q_per_channel_scales().numel() if "channel" in str(tensor.qscheme()) else 1
        scales = 12 * rows  # a float32 scale and an int64 zero point
    return int(tensor.numel() * tensor.element_size() + scales)


def refuse_to_save(net: nn.Module, name: str) -> None:
    """Raise ConfigError if ``net`` is quantised in a way that no saved folder can describe."""
    found = quantised(net)
    if found is not None:
        raise ConfigError(
            f"{name} cannot be saved, as {found} is quantised in a way that its files cannot hold "
            "(they hold torch.ao's dynamic linear layers and torchao's tensors): save the network "
            "before it is quantised, and quantise what autocompress.load returns"
        )


def check_trainable(net: nn.Module) -> None:
    """Raise ConfigError if quantised layers would block the gradient.

    Layers of torch.ao pass no gradient. Frozen weights of torchao and bitsandbytes pass it to
    adapters.
    """
    found = quantised(net)
    if found is None:
        return
    learns = any(_is_quantised(p) and p.requires_grad for p in net.parameters())
    if learns or next(packed_tensors(net), None) is not None:
        raise ConfigError(
            f"{found} is quantised, so it cannot be trained: train the network first and quantise "
            "the result (weights of torchao may be frozen, requires_grad_(False), and adapters "
            "trained beside them)"
        )
