"""The branches of transformers' older decoder layers, which return tuples.

As in :mod:`autocompress.conversion.families_decoders`, sums are written in the layer's own order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from autocompress.connectivity import Gate
from autocompress.conversion.families_transformers import dropped, no_layer_drop
from autocompress.conversion.hidden_states import attended
from autocompress.conversion.layers import BranchCall, register_layer
from autocompress.trunk import add_skip

__all__: list[str] = []

_MODELS = "transformers.models."


@register_layer(
    _MODELS + "gpt_neo.modeling_gpt_neo:GPTNeoBlock", models=["GPT-Neo"], returns_tuple=True
)
def _gpt_neo() -> Sequence[BranchCall]:
    def attention(b: Any, x: Tensor, skip: Gate, **kw: Any) -> Tensor:
        return add_skip(attended(b.attn(b.ln_1(x), **kw)), x, skip)

    def mlp(b: Any, x: Tensor, skip: Gate, **_: Any) -> Tensor:
        return add_skip(b.mlp(b.ln_2(x)), x, skip)

    return attention, mlp


@register_layer(_MODELS + "gptj.modeling_gptj:GPTJBlock", models=["GPT-J"], returns_tuple=True)
def _gptj() -> Sequence[BranchCall]:
    def both(b: Any, x: Tensor, skip: Gate, **kw: Any) -> Tensor:
        h = b.ln_1(x)
        return add_skip(attended(b.attn(hidden_states=h, **kw)) + b.mlp(h), x, skip)

    return (both,)


@register_layer(
    _MODELS + "opt.modeling_opt:OPTDecoderLayer", models=["OPT"], refuse=no_layer_drop("layerdrop")
)
def _opt() -> Sequence[BranchCall]:
    def attention(b: Any, x: Tensor, skip: Gate, **kw: Any) -> Tensor:
        first = b.do_layer_norm_before
        kw.pop("use_cache", None)
        h, _ = b.self_attn(hidden_states=b.self_attn_layer_norm(x) if first else x, **kw)
        out = add_skip(dropped(b, h, b.dropout), x, skip)
        return out if first else b.self_attn_layer_norm(out)

    def mlp(b: Any, x: Tensor, skip: Gate, **_: Any) -> Tensor:
        first, rows = b.do_layer_norm_before, x.reshape(-1, x.shape[-1])
        h = b.fc2(b.activation_fn(b.fc1(b.final_layer_norm(rows) if first else rows)))
        out = add_skip(dropped(b, h, b.dropout), rows, skip).view(x.shape)
        return out if first else b.final_layer_norm(out)

    return attention, mlp


@register_layer(_MODELS + "bloom.modeling_bloom:BloomBlock", models=["BLOOM"], returns_tuple=True)
def _bloom() -> Sequence[BranchCall]:
    # attention and MLP add what they are given as the residual: nothing here, the skip afterwards
    def attention(b: Any, x: Tensor, skip: Gate, **kw: Any) -> Tensor:
        normed = b.input_layernorm(x)
        h = attended(b.self_attention(normed, torch.zeros_like(x), **kw))
        return add_skip(h, _base(b, x, normed), skip)

    def mlp(b: Any, x: Tensor, skip: Gate, **_: Any) -> Tensor:
        normed = b.post_attention_layernorm(x)
        return add_skip(b.mlp(normed, torch.zeros_like(x)), _base(b, x, normed), skip)

    return attention, mlp


def _base(layer: Any, x: Tensor, normed: Tensor) -> Tensor:
    return normed if layer.apply_residual_connection_post_layernorm else x


def _is_parallel(layer: Any) -> bool:
    return bool(layer.config.new_decoder_architecture or layer.config.parallel_attn)


@register_layer(
    _MODELS + "falcon.modeling_falcon:FalconDecoderLayer",
    models=["Falcon (7B and later)"],
    returns_tuple=True,
    matches=_is_parallel,
)
def _falcon() -> Sequence[BranchCall]:
    def both(b: Any, x: Tensor, skip: Gate, **kw: Any) -> Tensor:
        if b.config.new_decoder_architecture and b.config.num_ln_in_parallel_attn == 2:
            first, second = b.ln_attn(x), b.ln_mlp(x)
        else:
            first = second = b.input_layernorm(x)
        context = attended(b.self_attention(first, **kw))
        h = b.mlp(second) + context
        return add_skip(dropped(b, h, b.config.hidden_dropout), x, skip)

    return (both,)
