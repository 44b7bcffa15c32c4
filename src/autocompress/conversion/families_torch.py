"""The branches of torch's own encoder layer, which most custom networks use."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from autocompress.connectivity import Gate
from autocompress.conversion.layers import BranchCall, register_layer
from autocompress.trunk import add_skip

__all__: list[str] = []


@register_layer(
    "torch.nn.modules.transformer:TransformerEncoderLayer", models=["`nn.TransformerEncoder`"]
)
def _encoder_layer() -> Sequence[BranchCall]:
    def attention(
        b: Any,
        x: Tensor,
        skip: Gate,
        src_mask: Tensor | None = None,
        src_key_padding_mask: Tensor | None = None,
        is_causal: bool = False,
    ) -> Tensor:
        def attend(h: Tensor) -> Tensor:
            out: Tensor = b._sa_block(h, src_mask, src_key_padding_mask, is_causal=is_causal)
            return out

        if b.norm_first:
            return add_skip(attend(b.norm1(x)), x, skip)
        normed: Tensor = b.norm1(add_skip(attend(x), x, skip))
        return normed

    def mlp(b: Any, x: Tensor, skip: Gate, *_: Any, **__: Any) -> Tensor:
        if b.norm_first:
            return add_skip(b._ff_block(b.norm2(x)), x, skip)
        normed: Tensor = b.norm2(add_skip(b._ff_block(x), x, skip))
        return normed

    return attention, mlp
