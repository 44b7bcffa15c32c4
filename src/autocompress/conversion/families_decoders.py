"""The branches of transformers' decoder layers. No model module is imported.

Masks, rotary embeddings and caches arrive as the host passes them to its layers; the attention
branch receives all of them. Sums are written in the layer's own order, so that a residual network
equals the original bit for bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from autocompress.connectivity import Gate
from autocompress.conversion.families_transformers import no_cross_attention
from autocompress.conversion.layers import BranchCall, register_layer
from autocompress.trunk import add_skip

__all__: list[str] = []

_MODELS = "transformers.models."


@register_layer(
    _MODELS + "llama.modeling_llama:LlamaDecoderLayer",
    _MODELS + "mistral.modeling_mistral:MistralDecoderLayer",
    _MODELS + "qwen2.modeling_qwen2:Qwen2DecoderLayer",
    _MODELS + "qwen3.modeling_qwen3:Qwen3DecoderLayer",
    _MODELS + "gemma.modeling_gemma:GemmaDecoderLayer",
    _MODELS + "arcee.modeling_arcee:ArceeDecoderLayer",
    _MODELS + "cwm.modeling_cwm:CwmDecoderLayer",
    _MODELS + "ernie4_5.modeling_ernie4_5:Ernie4_5DecoderLayer",
    _MODELS + "glm.modeling_glm:GlmDecoderLayer",
    _MODELS + "helium.modeling_helium:HeliumDecoderLayer",
    _MODELS + "hunyuan_v1_dense.modeling_hunyuan_v1_dense:HunYuanDenseV1DecoderLayer",
    _MODELS + "ministral.modeling_ministral:MinistralDecoderLayer",
    _MODELS + "nanochat.modeling_nanochat:NanoChatDecoderLayer",
    _MODELS + "olmo.modeling_olmo:OlmoDecoderLayer",
    _MODELS + "olmoe.modeling_olmoe:OlmoeDecoderLayer",
    _MODELS + "qwen2_moe.modeling_qwen2_moe:Qwen2MoeDecoderLayer",
    _MODELS + "qwen3_moe.modeling_qwen3_moe:Qwen3MoeDecoderLayer",
    _MODELS + "seed_oss.modeling_seed_oss:SeedOssDecoderLayer",
    _MODELS + "smollm3.modeling_smollm3:SmolLM3DecoderLayer",
    _MODELS + "starcoder2.modeling_starcoder2:Starcoder2DecoderLayer",
    _MODELS + "mixtral.modeling_mixtral:MixtralDecoderLayer",
    _MODELS + "phimoe.modeling_phimoe:PhimoeDecoderLayer",
    models=[
        "Llama",
        "Mistral",
        "Qwen 2",
        "Qwen 3",
        "Gemma",
        "Arcee",
        "CWM",
        "ERNIE 4.5",
        "GLM",
        "Helium",
        "HunYuan (dense)",
        "Ministral",
        "nanochat",
        "OLMo",
        "OLMoE",
        "Qwen 2 MoE",
        "Qwen 3 MoE",
        "Seed-OSS",
        "SmolLM3",
        "StarCoder 2",
        "Mixtral",
        "Phi MoE",
    ],
)
def _llama() -> Sequence[BranchCall]:
    def attention(b: Any, x: Tensor, skip: Gate, **kw: Any) -> Tensor:
        return add_skip(b.self_attn(hidden_states=b.input_layernorm(x), **kw)[0], x, skip)

    def mlp(b: Any, x: Tensor, skip: Gate, **_: Any) -> Tensor:
        return add_skip(b.mlp(b.post_attention_layernorm(x)), x, skip)

    return attention, mlp


@register_layer(
    _MODELS + "gpt2.modeling_gpt2:GPT2Block", models=["GPT-2"], refuse=no_cross_attention
)
def _gpt2() -> Sequence[BranchCall]:
    def attention(
        b: Any, x: Tensor, skip: Gate, cache: Any = None, mask: Any = None, *_: Any, **kw: Any
    ) -> Tensor:
        kw.pop("encoder_attention_mask", None)
        h, _w = b.attn(b.ln_1(x), past_key_values=cache, attention_mask=mask, **kw)
        return add_skip(h, x, skip)

    def mlp(b: Any, x: Tensor, skip: Gate, *_: Any, **__: Any) -> Tensor:
        return add_skip(b.mlp(b.ln_2(x)), x, skip)

    return attention, mlp


def _attend(b: Any, x: Tensor, **kw: Any) -> Tensor:
    out: Tensor = b.self_attn(hidden_states=x, **kw)[0]
    return out


@register_layer(
    _MODELS + "granite.modeling_granite:GraniteDecoderLayer",
    models=["Granite"],
)
def _granite() -> Sequence[BranchCall]:
    def attention(b: Any, x: Tensor, skip: Gate, **kw: Any) -> Tensor:
        h = _attend(b, b.input_layernorm(x), **kw)
        return add_skip(h * b.residual_multiplier, x, skip)

    def mlp(b: Any, x: Tensor, skip: Gate, **_: Any) -> Tensor:
        h = b.mlp(b.post_attention_layernorm(x))
        return add_skip(h * b.residual_multiplier, x, skip)

    return attention, mlp


@register_layer(_MODELS + "gemma2.modeling_gemma2:Gemma2DecoderLayer", models=["Gemma 2"])
def _gemma2() -> Sequence[BranchCall]:
    def attention(b: Any, x: Tensor, skip: Gate, **kw: Any) -> Tensor:
        h = b.post_attention_layernorm(_attend(b, b.input_layernorm(x), **kw))
        return add_skip(h, x, skip)

    def mlp(b: Any, x: Tensor, skip: Gate, **_: Any) -> Tensor:
        h = b.post_feedforward_layernorm(b.mlp(b.pre_feedforward_layernorm(x)))
        return add_skip(h, x, skip)

    return attention, mlp


@register_layer(
    _MODELS + "olmo2.modeling_olmo2:Olmo2DecoderLayer",
    _MODELS + "olmo3.modeling_olmo3:Olmo3DecoderLayer",
    _MODELS + "exaone4.modeling_exaone4:Exaone4DecoderLayer",
    models=["OLMo 2", "OLMo 3", "EXAONE 4"],
)
def _olmo2() -> Sequence[BranchCall]:
    def attention(b: Any, x: Tensor, skip: Gate, **kw: Any) -> Tensor:
        return add_skip(b.post_attention_layernorm(_attend(b, x, **kw)), x, skip)

    def mlp(b: Any, x: Tensor, skip: Gate, **_: Any) -> Tensor:
        return add_skip(b.post_feedforward_layernorm(b.mlp(x)), x, skip)

    return attention, mlp


@register_layer(_MODELS + "phi3.modeling_phi3:Phi3DecoderLayer", models=["Phi-3, Phi-4"])
def _phi3() -> Sequence[BranchCall]:
    def attention(b: Any, x: Tensor, skip: Gate, **kw: Any) -> Tensor:
        h = _attend(b, b.input_layernorm(x), **kw)
        return add_skip(b.resid_attn_dropout(h), x, skip)

    def mlp(b: Any, x: Tensor, skip: Gate, **_: Any) -> Tensor:
        return add_skip(b.resid_mlp_dropout(b.mlp(b.post_attention_layernorm(x))), x, skip)

    return attention, mlp


# -- attention and MLP in parallel: one skip over both ---------------------------------------------


@register_layer(_MODELS + "phi.modeling_phi:PhiDecoderLayer", models=["Phi-1, Phi-2"])
def _phi() -> Sequence[BranchCall]:
    def both(b: Any, x: Tensor, skip: Gate, **kw: Any) -> Tensor:
        h = b.input_layernorm(x)
        out = b.resid_dropout(_attend(b, h, **kw))
        return add_skip(out + b.resid_dropout(b.mlp(h)), x, skip)

    return (both,)


@register_layer(
    _MODELS + "cohere.modeling_cohere:CohereDecoderLayer",
    _MODELS + "cohere2.modeling_cohere2:Cohere2DecoderLayer",
    models=["Command R", "Command R7B"],
)
def _cohere() -> Sequence[BranchCall]:
    def both(b: Any, x: Tensor, skip: Gate, **kw: Any) -> Tensor:
        h = b.input_layernorm(x)
        out: Tensor = add_skip(_attend(b, h, **kw), x, skip) + b.mlp(h)
        return out

    return (both,)


def _is_parallel(layer: Any) -> bool:
    return bool(layer.use_parallel_residual)


def _is_sequential(layer: Any) -> bool:
    return not layer.use_parallel_residual


@register_layer(
    _MODELS + "gpt_neox.modeling_gpt_neox:GPTNeoXLayer",
    models=["GPT-NeoX, Pythia"],
    matches=_is_parallel,
)
def _gpt_neox() -> Sequence[BranchCall]:
    def both(b: Any, x: Tensor, skip: Gate, **kw: Any) -> Tensor:
        out = b.post_attention_dropout(b.attention(b.input_layernorm(x), **kw)[0])
        h = b.post_mlp_dropout(b.mlp(b.post_attention_layernorm(x)))
        return add_skip(h + out, x, skip)

    return (both,)


@register_layer(
    _MODELS + "stablelm.modeling_stablelm:StableLmDecoderLayer",
    models=["StableLM"],
    matches=_is_sequential,
)
def _stablelm() -> Sequence[BranchCall]:
    def attention(b: Any, x: Tensor, skip: Gate, **kw: Any) -> Tensor:
        return add_skip(_attend(b, b.input_layernorm(x), **kw), x, skip)

    def mlp(b: Any, x: Tensor, skip: Gate, **_: Any) -> Tensor:
        return add_skip(b.dropout(b.mlp(b.post_attention_layernorm(x))), x, skip)

    return attention, mlp
