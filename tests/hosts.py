"""The one table of networks that the conversion tests run through, small, of random weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from marks import slow_but

DEPTH = 4

_IMAGES = {"img_size": 16, "num_classes": 5}
_VIT = {**_IMAGES, "patch_size": 4, "embed_dim": 16, "depth": DEPTH, "num_heads": 2}
_MIXER = {**_IMAGES, "patch_size": 4, "embed_dim": 16, "num_blocks": DEPTH, "mlp_ratio": 4.0}
_TEXT: dict[str, Any] = {
    "vocab_size": 40,
    "hidden_size": 16,
    "num_hidden_layers": DEPTH,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 32,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
_LLAMA = {**_TEXT, "num_key_value_heads": 1, "head_dim": 8}
_SLIDING = {"use_sliding_window": True, "max_window_layers": 2, "sliding_window": 4}
_PIXELS = {
    "hidden_size": 16,
    "num_hidden_layers": DEPTH,
    "num_attention_heads": 2,
    "image_size": 16,
    "patch_size": 4,
    "num_labels": 5,
}
_GPT2 = {
    "vocab_size": 40,
    "n_embd": 16,
    "n_layer": DEPTH,
    "n_head": 2,
    "n_positions": 32,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
_DISTIL = {
    "vocab_size": 40,
    "dim": 16,
    "n_layers": DEPTH,
    "n_heads": 2,
    "hidden_dim": 32,
    "max_position_embeddings": 32,
}
_WHISPER = {
    "vocab_size": 40,
    "d_model": 16,
    "encoder_layers": DEPTH,
    "decoder_layers": 2,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 32,
    "decoder_ffn_dim": 32,
    "num_mel_bins": 8,
    "max_source_positions": 10,
    "max_target_positions": 12,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "decoder_start_token_id": 1,
}


def _timm(name: str, **arguments: Any) -> nn.Module:
    import timm

    model: nn.Module = timm.create_model(name, **arguments)
    return model


def _timm_class(module: str, cls: str, parts: dict[str, str] | None = None, **kw: Any) -> nn.Module:
    """A timm class by its constructor, where the named models fix its size."""
    import importlib

    home = importlib.import_module(f"timm.models.{module}")
    made = {key: getattr(home, value) for key, value in (parts or {}).items()}
    model: nn.Module = getattr(home, cls)(**made, **kw)
    return model


def _hf(name: str, **config: Any) -> nn.Module:
    import transformers

    cls = getattr(transformers, name)
    model: nn.Module = cls(cls.config_class(**config))
    return model


_RESMLP = {"block_layer": "ResBlock", "norm_layer": "Affine"}
_GMLP = {"block_layer": "SpatialGatingBlock", "mlp_layer": "GatedMlp"}

HOSTS: dict[str, Callable[[], nn.Module]] = {
    "timm-vit": lambda: _timm("vit_tiny_patch16_224", **_VIT, init_values=0.5, drop_path_rate=0.2),
    "timm-vit-registers": lambda: _timm("vit_small_patch14_reg4_dinov2", **_VIT),
    "timm-deit-distilled": lambda: _timm("deit_tiny_distilled_patch16_224", **_VIT),
    "timm-deit3": lambda: _timm("deit3_small_patch16_224", **_VIT),
    "timm-beit": lambda: _timm("beit_base_patch16_224", **_VIT),
    "timm-eva02": lambda: _timm("eva02_tiny_patch14_224", **_VIT, proj_drop_rate=0.1),
    "timm-mixer": lambda: _timm_class("mlp_mixer", "MlpMixer", **{**_MIXER, "mlp_ratio": (0.5, 4)}),
    "timm-resmlp": lambda: _timm_class("mlp_mixer", "MlpMixer", _RESMLP, **_MIXER),
    "timm-gmlp": lambda: _timm_class("mlp_mixer", "MlpMixer", _GMLP, **_MIXER),
    "timm-convmixer": lambda: _timm_class(
        "convmixer", "ConvMixer", dim=16, depth=DEPTH, num_classes=5
    ),
    "timm-convnext": lambda: _timm(
        "convnext_atto", depths=(1, 1, 2, 1), dims=(8, 8, 16, 16), num_classes=5, drop_path_rate=0.1
    ),
    "timm-swin": lambda: _timm(
        "swin_tiny_patch4_window7_224",
        img_size=32,
        window_size=2,
        embed_dim=8,
        depths=(1, 2, 1, 1),
        num_heads=(1, 2, 2, 2),
        num_classes=5,
    ),
    "hf-bert": lambda: _hf("BertForSequenceClassification", **_TEXT, num_labels=5),
    "hf-roberta": lambda: _hf("RobertaForMaskedLM", **_TEXT),
    "hf-distilbert": lambda: _hf("DistilBertForSequenceClassification", **_DISTIL),
    "hf-deberta-v2": lambda: _hf(
        "DebertaV2ForSequenceClassification",
        **_TEXT,
        relative_attention=True,
        pos_att_type=["c2p", "p2c"],
        position_buckets=4,
        norm_rel_ebd="layer_norm",
        share_att_key=True,
        num_labels=5,
    ),
    "hf-modernbert": lambda: _hf(
        "ModernBertForMaskedLM",
        **_TEXT,
        cls_token_id=1,
        sep_token_id=2,
        local_attention=4,
        global_attn_every_n_layers=3,
    ),
    "hf-vit": lambda: _hf("ViTForImageClassification", **_PIXELS, intermediate_size=32),
    "hf-dinov2": lambda: _hf("Dinov2ForImageClassification", **_PIXELS, drop_path_rate=0.2),
    "hf-gpt2": lambda: _hf("GPT2LMHeadModel", **_GPT2),
    "hf-llama": lambda: _hf("LlamaForCausalLM", **_LLAMA),
    "hf-qwen2": lambda: _hf("Qwen2ForCausalLM", **_LLAMA, **_SLIDING),
    "hf-qwen3": lambda: _hf("Qwen3ForCausalLM", **_LLAMA, **_SLIDING),
    "hf-gemma": lambda: _hf("GemmaForCausalLM", **_LLAMA),
    "hf-mistral": lambda: _hf("MistralForCausalLM", **_LLAMA, sliding_window=4),
    "hf-whisper": lambda: _hf("WhisperForAudioClassification", **_WHISPER),
}

DECODERS = [f"hf-{name}" for name in ("gpt2", "llama", "qwen2", "qwen3", "gemma", "mistral")]

#: One host of each kind of code; its kin are tried by `make thorough`.
KINDS = [
    *("timm-vit", "timm-mixer", "timm-convnext", "timm-swin"),
    *("hf-bert", "hf-deberta-v2", "hf-modernbert", "hf-gpt2", "hf-llama", "hf-whisper"),
]

every_host = pytest.mark.parametrize("name", HOSTS)
every_kind = pytest.mark.parametrize("name", slow_but(HOSTS, KINDS))


def host(name: str, seed: int = 0) -> nn.Module:
    """A network of the table in eval mode; norms, biases and scales are drawn too."""
    torch.manual_seed(seed)
    model = HOSTS[name]()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return model.eval()


def batch(model: nn.Module, size: int = 2, seed: int = 1) -> dict[str, torch.Tensor]:
    """Keyword arguments of the host; text with padding at the end of its first row."""
    torch.manual_seed(seed)
    if not hasattr(model, "main_input_name"):
        sides = 32 if hasattr(model, "stages") or hasattr(model, "layers") else 16
        return {"x": torch.randn(size, 3, sides, sides)}
    config: Any = model.config
    if model.main_input_name == "pixel_values":
        return {"pixel_values": torch.randn(size, 3, 16, 16)}
    if model.main_input_name == "input_features":
        return {"input_features": torch.randn(size, config.num_mel_bins, 20)}
    ids = torch.randint(3, config.vocab_size, (size, 9))
    mask = torch.ones_like(ids)
    mask[0, -3:] = 0
    return {"input_ids": ids, "attention_mask": mask}


def output(model: nn.Module, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
    """The host's logits, as its own library gives them."""
    out = model(**inputs)
    return out if isinstance(out, torch.Tensor) else out.logits
