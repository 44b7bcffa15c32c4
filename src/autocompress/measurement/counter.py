"""FLOPs of any code, by the formulas of ``torch.utils.flop_counter``.

Torch's own ``FlopCounterMode`` (2.13) has no formula for the CPU's attention kernel, so attention
would count only on a GPU, nor for the kernels that compute a whole layer of torch.nn at once. It
also tracks modules with hooks, which makes it three times slower and fails where learned gates meet
inference mode.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch._ops import OpOverload
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

__all__ = ["FlopCounter"]


class FlopCounter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """A mode that counts the operations inside ``with FlopCounter() as counter``.

    Attributes:
        count: FLOPs so far.
        attention: Those of them that multiply two activations, as inside attention.

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
        self.attention = 0

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
            count = formula(*args, **kwargs, out_val=out)
            self.count += count
            self.attention += _between_activations(_key(func), args, count)
        return out


def _key(func: Any) -> Any:
    return func.overloadpacket if isinstance(func, OpOverload) else func


def _formula(func: Any) -> Any:
    key = _key(func)
    return _MORE.get(key) or flop_registry.get(key)


def _between_activations(key: Any, args: tuple[Any, ...], count: int) -> int:
    """Return how many of an operation's FLOPs multiply two activations, not one by a weight."""
    if key in _SELF_ATTENTION:
        return _self_attention_flops(args[0])
    if key in _BATCHED:
        return 0 if any(map(_is_weight, args[-2:])) else count
    return count if "attention" in str(key) else 0


def _is_weight(operand: Any) -> bool:
    """Return whether an operand is a parameter or a view of one.

    A frozen linear layer of inputs that are not contiguous is a batched product, too.
    """
    return isinstance(operand, nn.Parameter) or isinstance(
        getattr(operand, "_base", None), nn.Parameter
    )


def _attention_flops(query: Tensor, key: Tensor, value: Tensor, *_: Any, **__: Any) -> int:
    """Return 2 per multiply-add of softmax(q k) v, each input of shape (B, heads, N, size)."""
    count: int = (
        2 * math.prod(query.shape[:-1]) * key.shape[-2] * (query.shape[-1] + value.shape[-1])
    )
    return count


def _self_attention_flops(x: Tensor) -> int:
    """Return the same for q, k and v of shape (B, N, width), all heads together.

    Torch nests padded texts, so each example has its own length N.
    """
    count: int = sum(4 * len(example) ** 2 * x.size(-1) for example in x.unbind())
    return count


def _linear_flops(x: Tensor, *_: Any, out_val: Tensor, **__: Any) -> int:
    """Return 2 per multiply-add of a linear layer with a packed weight."""
    count: int = 2 * math.prod(out_val.shape) * x.shape[-1]
    return count


def _layer_flops(weights: slice, x: Tensor, *args: Any, **_: Any) -> int:
    """Return 2 per multiply-add of every row of ``x`` (..., size) with the matrices of a layer."""
    rows = x.numel() // int(x.size(-1))
    sizes: list[int] = [w.numel() for w in tree_leaves(args[weights]) if _is_matrix(w)]
    return 2 * rows * sum(sizes)


def _is_matrix(value: Any) -> bool:
    return isinstance(value, Tensor) and value.ndim == 2


def _encoder_flops(weights: slice, x: Tensor, *args: Any, **_: Any) -> int:
    """Return the FLOPs of self-attention over ``x`` (B, N, width) and of its linear layers."""
    return _layer_flops(weights, x, *args) + _self_attention_flops(x)


#: Batched products: of two activations inside attention, or of one with a weight.
_BATCHED = (torch.ops.aten.bmm, torch.ops.aten.baddbmm)

#: Kernels that compute self-attention with its linear layers, and where their weights stand among
#: the arguments after the first one.
_SELF_ATTENTION: dict[Any, slice] = {
    torch.ops.aten._native_multi_head_attention: slice(4, 8),
    torch.ops.aten._transformer_encoder_layer_fwd: slice(2, 17),
}

#: Formulas that torch's counter lacks: attention kernels, which would count on the GPU and not on
#: the CPU, layers of torch.nn that one kernel computes, and quantised layers.
_MORE: dict[Any, Callable[..., int]] = (
    {
        getattr(torch.ops.aten, name): _attention_flops
        for name in (
            "_scaled_dot_product_flash_attention_for_cpu",
            "_scaled_dot_product_fused_attention_overrideable",
        )
    }
    | {
        getattr(torch.ops.quantized, name): _linear_flops
        for name in ("linear_dynamic", "linear_dynamic_fp16", "linear_relu_dynamic")
    }
    | {kernel: partial(_encoder_flops, weights) for kernel, weights in _SELF_ATTENTION.items()}
    | {
        torch.ops.aten.mkldnn_rnn_layer: partial(_layer_flops, slice(0, 2)),  # an LSTM on the CPU
        torch.ops.aten._cudnn_rnn: partial(_layer_flops, slice(0, 1)),
    }
)
