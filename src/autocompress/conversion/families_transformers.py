"""The branches of transformers' encoder layers. No model module is imported.

Masks, rotary embeddings and caches arrive as the host passes them to its layers; the attention
branch receives all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from autocompress.connectivity import Gate
from autocompress.conversion.hidden_states import attended
from autocompress.conversion.layers import BranchCall, Refusal, register_layer
from autocompress.trunk import add_skip

__all__ = ["dropped", "no_cross_attention", "no_layer_drop"]

_MODELS = "transformers.models."


def no_cross_attention(layer: Any, _: nn.Module) -> str | None:
    """Return why a layer cannot be split that attends to an encoder or works in chunks."""
    if getattr(layer, "add_cross_attention", False) or hasattr(layer, "crossattention"):
        return "it has cross-attention: a third branch that an encoder-decoder needs"
    if getattr(layer, "chunk_size_feed_forward", 0):
        return "chunk_size_feed_forward is set; set it to 0"
    return None


def _post_norm(output: Any, h: Tensor, x: Tensor, skip: Gate) -> Tensor:
    """Return BERT's output stage, ``norm(dropout(dense(h)) + x)``, with the skip scaled."""
    normed: Tensor = output.LayerNorm(add_skip(output.dropout(output.dense(h)), x, skip))
    return normed


def _post_norm_mlp(b: Any, x: Tensor, skip: Gate, *_: Any, **__: Any) -> Tensor:
    return _post_norm(b.output, b.intermediate(x), x, skip)


@register_layer(
    _MODELS + "bert.modeling_bert:BertLayer",
    _MODELS + "roberta.modeling_roberta:RobertaLayer",
    _MODELS + "xlm_roberta.modeling_xlm_roberta:XLMRobertaLayer",
    _MODELS + "camembert.modeling_camembert:CamembertLayer",
    _MODELS + "electra.modeling_electra:ElectraLayer",
    _MODELS + "ernie.modeling_ernie:ErnieLayer",
    _MODELS + "roc_bert.modeling_roc_bert:RoCBertLayer",
    _MODELS + "data2vec.modeling_data2vec_text:Data2VecTextLayer",
    models=[
        "BERT",
        "RoBERTa",
        "XLM-RoBERTa",
        "CamemBERT",
        "ELECTRA",
        "ERNIE",
        "RoCBert",
        "data2vec (text)",
    ],
    refuse=no_cross_attention,
)
def _bert() -> Sequence[BranchCall]:
    def attention(b: Any, x: Tensor, skip: Gate, mask: Any = None, *_: Any, **kw: Any) -> Tensor:
        kw.pop("encoder_attention_mask", None)
        context, _weights = b.attention.self(x, attention_mask=mask, **kw)
        return _post_norm(b.attention.output, context, x, skip)

    return attention, _post_norm_mlp


@register_layer(
    _MODELS + "roberta_prelayernorm.modeling_roberta_prelayernorm:RobertaPreLayerNormLayer",
    models=["RoBERTa with norms first"],
    refuse=no_cross_attention,
)
def _roberta_prelayernorm() -> Sequence[BranchCall]:
    def attention(b: Any, x: Tensor, skip: Gate, mask: Any = None, *_: Any, **kw: Any) -> Tensor:
        kw.pop("encoder_attention_mask", None)
        context, _weights = b.attention.self(b.attention.LayerNorm(x), attention_mask=mask, **kw)
        out = b.attention.output
        return add_skip(out.dropout(out.dense(context)), x, skip)

    def mlp(b: Any, x: Tensor, skip: Gate, *_: Any, **__: Any) -> Tensor:
        return add_skip(b.output.dropout(b.output.dense(b.intermediate(x))), x, skip)

    return attention, mlp


@register_layer(
    _MODELS + "xlm_roberta_xl.modeling_xlm_roberta_xl:XLMRobertaXLLayer",
    models=["XLM-RoBERTa-XL"],
    refuse=no_cross_attention,
)
def _xlm_roberta_xl() -> Sequence[BranchCall]:
    def attention(b: Any, x: Tensor, skip: Gate, mask: Any = None, *_: Any, **kw: Any) -> Tensor:
        kw.pop("encoder_attention_mask", None)
        normed = b.attention.self_attn_layer_norm(x)
        context, _weights = b.attention.self(normed, attention_mask=mask, **kw)
        out = b.attention.output
        return add_skip(out.dropout(out.dense(context)), x, skip)

    def mlp(b: Any, x: Tensor, skip: Gate, *_: Any, **__: Any) -> Tensor:
        return add_skip(b.output.dense(b.intermediate(b.LayerNorm(x))), x, skip)

    return attention, mlp


def _no_convolution(_: nn.Module, encoder: Any) -> str | None:
    if getattr(encoder, "conv", None) is not None:
        return "conv_kernel_size is set: a convolution takes x_0 and x_1 after the first layer"
    return None


@register_layer(
    _MODELS + "deberta_v2.modeling_deberta_v2:DebertaV2Layer",
    _MODELS + "deberta.modeling_deberta:DebertaLayer",
    models=["DeBERTa-v2, DeBERTa-v3", "DeBERTa"],
    refuse=_no_convolution,
    returns_tuple=True,
)
def _deberta_v2() -> Sequence[BranchCall]:
    def attention(b: Any, x: Tensor, skip: Gate, mask: Tensor, **kw: Any) -> Tensor:
        context = attended(b.attention.self(x, mask, **kw))
        return _post_norm(b.attention.output, context, x, skip)

    return attention, _post_norm_mlp


@register_layer(_MODELS + "distilbert.modeling_distilbert:TransformerBlock", models=["DistilBERT"])
def _distilbert() -> Sequence[BranchCall]:
    def attention(b: Any, x: Tensor, skip: Gate, mask: Any = None, **kw: Any) -> Tensor:
        h, _ = b.attention(x, attention_mask=kw.pop("attention_mask", mask), **kw)
        normed: Tensor = b.sa_layer_norm(add_skip(h, x, skip))
        return normed

    def mlp(b: Any, x: Tensor, skip: Gate, *_: Any, **__: Any) -> Tensor:
        normed: Tensor = b.output_layer_norm(add_skip(b.ffn(x), x, skip))
        return normed

    return attention, mlp


@register_layer(_MODELS + "mpnet.modeling_mpnet:MPNetLayer", models=["MPNet"], returns_tuple=True)
def _mpnet() -> Sequence[BranchCall]:
    def attention(
        b: Any, x: Tensor, skip: Gate, mask: Any = None, bias: Any = None, *_: Any, **kw: Any
    ) -> Tensor:
        own = b.attention
        h = attended(own.attn(x, mask, bias, **kw))
        normed: Tensor = own.LayerNorm(add_skip(own.dropout(h), x, skip))
        return normed

    return attention, _post_norm_mlp


@register_layer(
    _MODELS + "megatron_bert.modeling_megatron_bert:MegatronBertLayer",
    models=["Megatron-BERT"],
    refuse=no_cross_attention,
    returns_tuple=True,
)
def _megatron_bert() -> Sequence[BranchCall]:
    def attention(b: Any, x: Tensor, skip: Gate, mask: Any = None, *rest: Any, **_: Any) -> Tensor:
        own, (cache, weights) = b.attention, rest[2:4]
        h = attended(own.self(own.ln(x), mask, past_key_values=cache, output_attentions=weights))
        return add_skip(own.output.dropout(own.output.dense(h)), x, skip)

    def mlp(b: Any, x: Tensor, skip: Gate, *_: Any, **__: Any) -> Tensor:
        h = b.output.dense(b.intermediate(b.ln(x)))
        return add_skip(b.output.dropout(h), x, skip)

    return attention, mlp


@register_layer(
    _MODELS + "roformer.modeling_roformer:RoFormerLayer",
    models=["RoFormer"],
    refuse=no_cross_attention,
    returns_tuple=True,
)
def _roformer() -> Sequence[BranchCall]:
    def attention(
        b: Any, x: Tensor, skip: Gate, mask: Any = None, turns: Any = None, *rest: Any, **kw: Any
    ) -> Tensor:
        kw |= {"past_key_values": rest[2], "output_attentions": rest[3]}
        context = attended(b.attention.self(x, mask, turns, **kw))
        return _post_norm(b.attention.output, context, x, skip)

    return attention, _post_norm_mlp


@register_layer(
    _MODELS + "modernbert.modeling_modernbert:ModernBertEncoderLayer", models=["ModernBERT"]
)
def _modernbert() -> Sequence[BranchCall]:
    def attention(b: Any, x: Tensor, skip: Gate, **kw: Any) -> Tensor:
        return add_skip(b.attn(b.attn_norm(x), **kw)[0], x, skip)

    def mlp(b: Any, x: Tensor, skip: Gate, **_: Any) -> Tensor:
        return add_skip(b.mlp(b.mlp_norm(x)), x, skip)

    return attention, mlp


@register_layer(
    _MODELS + "vit.modeling_vit:ViTLayer",
    _MODELS + "deit.modeling_deit:DeiTLayer",
    _MODELS + "ijepa.modeling_ijepa:IJepaLayer",
    _MODELS + "vit_msn.modeling_vit_msn:ViTMSNLayer",
    _MODELS + "audio_spectrogram_transformer.modeling_audio_spectrogram_transformer:ASTLayer",
    models=["ViT", "DeiT", "I-JEPA", "ViT-MSN", "Audio Spectrogram Transformer"],
)
def _vit() -> Sequence[BranchCall]:
    def attention(b: Any, x: Tensor, skip: Gate, mask: Any = None, **kw: Any) -> Tensor:
        h, _ = b.attention(b.layernorm_before(x), mask, **kw)
        return add_skip(b.dropout(h), x, skip)

    def mlp(b: Any, x: Tensor, skip: Gate, *_: Any, **__: Any) -> Tensor:
        return add_skip(b.dropout(b.mlp(b.layernorm_after(x))), x, skip)

    return attention, mlp


@register_layer(
    _MODELS + "dinov2.modeling_dinov2:Dinov2Layer",
    _MODELS + "dinov2_with_registers.modeling_dinov2_with_registers:Dinov2WithRegistersLayer",
    models=["DINOv2", "DINOv2 with registers"],
)
def _dinov2() -> Sequence[BranchCall]:
    def attention(b: Any, x: Tensor, skip: Gate, mask: Any = None, **kw: Any) -> Tensor:
        h, _ = b.attention(b.norm1(x), attention_mask=kw.pop("attention_mask", mask), **kw)
        return add_skip(b.drop_path(b.layer_scale1(h)), x, skip)

    def mlp(b: Any, x: Tensor, skip: Gate, *_: Any, **__: Any) -> Tensor:
        return add_skip(b.drop_path(b.layer_scale2(b.mlp(b.norm2(x)))), x, skip)

    return attention, mlp


def no_layer_drop(option: str) -> Refusal:
    """Return a check that refuses the layers of a host with LayerDrop, which ``option`` sets."""

    def refuse(_: nn.Module, host: Any) -> str | None:
        if host.layerdrop > 0:
            return f"{option} is set: LayerDrop takes the skip of a dropped layer; set it to 0"
        return None

    return refuse


@register_layer(
    _MODELS + "whisper.modeling_whisper:WhisperEncoderLayer",
    models=["Whisper's encoder"],
    refuse=no_layer_drop("encoder_layerdrop"),
)
def _whisper() -> Sequence[BranchCall]:
    def attention(b: Any, x: Tensor, skip: Gate, mask: Any = None, **kw: Any) -> Tensor:
        normed = b.self_attn_layer_norm(x)
        h, _ = b.self_attn(hidden_states=normed, attention_mask=mask, **kw)
        return add_skip(dropped(b, h, b.dropout), x, skip)

    def mlp(b: Any, x: Tensor, skip: Gate, *_: Any, **__: Any) -> Tensor:
        h = b.activation_fn(b.fc1(b.final_layer_norm(x)))
        h = dropped(b, b.fc2(dropped(b, h, b.activation_dropout)), b.dropout)
        out = add_skip(h, x, skip)
        if out.dtype != torch.float16:
            return out
        largest = torch.finfo(out.dtype).max - 1000
        return torch.clamp(out, min=-largest, max=largest)

    return attention, mlp


def dropped(layer: nn.Module, h: Tensor, share: float) -> Tensor:
    """Return ``h`` after dropout of ``share``, if the layer is in training mode."""
    return nn.functional.dropout(h, p=share, training=layer.training)
