"""Nested tensors, which ``nn.TransformerEncoder`` makes of padded batches in evaluation.

Given a padding mask, and where no gradient is kept, it packs the rows of a batch without their
padding, calls its layers on that, and fills what comes back with zeros. Few operations take such
tensors, and counting FLOPs or adding up layers needs more than those. So a trunk runs on the padded
batch and its mask, and hands back a nested tensor: what the encoder makes of it is the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from autocompress.errors import ConvertError

__all__ = ["padded_call"]

#: Positional and keyword arguments of one layer's call, after x.
_Call = tuple[tuple[Any, ...], dict[str, Any]]

#: The argument that tells a layer which places are padding.
_MASK = "src_key_padding_mask"


def padded_call(
    run: Callable[[Tensor, Sequence[_Call]], Any], x: Tensor, calls: Sequence[_Call]
) -> Any:
    """Run layers on the padded form of a nested ``x``; what they return is nested again.

    Args:
        run: What runs them: ``(x, calls) -> x``.
        x: (B, any, D), nested.
        calls: The arguments of every layer; the mask of padding is put into them.

    Raises:
        ConvertError: Layers that are told of no padding mask, or a jagged tensor.
    """
    if x.layout is torch.jagged or not all(_MASK in kwargs for _, kwargs in calls):
        raise ConvertError(
            "the layers are given nested tensors, which a trunk does not take; hand them padded "
            "tensors and a mask (nn.TransformerEncoder: enable_nested_tensor=False)"
        )
    lengths = x._nested_tensor_size()[:, 0].to(x.device)
    padded = torch.nested.to_padded_tensor(x, 0.0)
    kept = torch.arange(padded.shape[1], device=x.device) < lengths[:, None]
    blind = ~kept
    blind[:, :1] &= (lengths > 0)[:, None]  # a row of padding only: softmax needs a place to look
    mask = torch.zeros(blind.shape, dtype=x.dtype, device=x.device)
    mask = mask.masked_fill(blind, float("-inf"))
    out = run(padded, [(args, {**kwargs, _MASK: mask}) for args, kwargs in calls])
    return torch._nested_tensor_from_mask(out, kept, mask_check=False)
