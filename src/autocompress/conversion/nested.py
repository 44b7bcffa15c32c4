"""Nested tensors, which ``nn.TransformerEncoder`` makes of padded batches in evaluation.

Given a padding mask, and without gradients, the encoder packs the rows of a batch without their
padding, calls its layers on that, and pads the result with zeros. Few operations support such
tensors, and counting FLOPs or summing layers needs more. A trunk therefore runs on the padded batch
with its mask and returns a nested tensor, from which the encoder makes the same output.
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

#: Argument that tells a layer which positions are padding.
_MASK = "src_key_padding_mask"


def padded_call(
    run: Callable[[Tensor, Sequence[_Call]], Any], x: Tensor, calls: Sequence[_Call]
) -> Any:
    """Run layers on the padded form of a nested ``x`` and return a nested result.

    Args:
        run: Function that runs them, ``(x, calls) -> x``.
        x: A nested tensor (B, any, D).
        calls: Arguments of every layer, to which the padding mask is added.

    Raises:
        ConvertError: The layers take no padding mask, or the tensor is jagged.
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
    blind[:, :1] &= (lengths > 0)[:, None]  # softmax needs a position even if all are padding
    mask = torch.zeros(blind.shape, dtype=x.dtype, device=x.device)
    mask = mask.masked_fill(blind, float("-inf"))
    out = run(padded, [(args, {**kwargs, _MASK: mask}) for args, kwargs in calls])
    return torch._nested_tensor_from_mask(out, kept, mask_check=False)
