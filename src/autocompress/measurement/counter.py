"""FLOPs of any code, by the formulas of ``torch.utils.flop_counter``.

Torch's own ``FlopCounterMode`` (2.13) has no formula for the CPU's attention kernel, so attention
would count only on a GPU. It also tracks modules with hooks, which makes it three times slower and
fails where learned gates meet inference mode.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch._ops import OpOverload
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

__all__ = ["FlopCounter"]


class FlopCounter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """A mode that counts the operations inside ``with FlopCounter() as counter``.

    Attributes:
        count: FLOPs so far.

    Example:
        >>> with FlopCounter() as counter:
        ...     y = torch.zeros(2, 3) @ torch.zeros(3, 5)
        >>> counter.count
        60
    """

    supports_higher_order_operators = True

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.count = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Run one operation and count it."""
        kwargs = kwargs or {}
        formula = _formula(func)
        if formula is None and isinstance(func, OpOverload):
            with self:  # in inference mode operations arrive undivided: count their parts
                out = func.decompose(*args, **kwargs)
            if out is not NotImplemented:
                return out
        out = func(*args, **kwargs)
        if formula is not None:
            self.count += formula(*args, **kwargs, out_val=out)
        return out


def _formula(func: Any) -> Any:
    key = func.overloadpacket if isinstance(func, OpOverload) else func
    return _MORE.get(key) or flop_registry.get(key)


def _attention_flops(query: Tensor, key: Tensor, value: Tensor, *_: Any, **__: Any) -> int:
    """Return 2 per multiply-add of softmax(q k) v, each input of shape (B, heads, N, size)."""
    count: int = (
        2 * math.prod(query.shape[:-1]) * key.shape[-2] * (query.shape[-1] + value.shape[-1])
    )
    return count


def _linear_flops(x: Tensor, *_: Any, out_val: Tensor, **__: Any) -> int:
    """Return 2 per multiply-add of a linear layer with a packed weight."""
    count: int = 2 * math.prod(out_val.shape) * x.shape[-1]
    return count


#: Formulas that torch's counter lacks: attention kernels, which would count on the GPU and not on
#: the CPU, and quantised layers.
_MORE = {
    getattr(torch.ops.aten, name): _attention_flops
    for name in (
        "_scaled_dot_product_flash_attention_for_cpu",
        "_scaled_dot_product_fused_attention_overrideable",
    )
} | {
    getattr(torch.ops.quantized, name): _linear_flops
    for name in ("linear_dynamic", "linear_dynamic_fp16", "linear_relu_dynamic")
}
