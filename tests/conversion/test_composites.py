"""Hosts made of several models, with a trunk in one, and GPT-Neo with its lists by layer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import autocompress as ac
from autocompress.errors import ConfigError

transformers = pytest.importorskip("transformers")

_TEXT = {
    "vocab_size": 64,
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 48,
}
_PIXELS = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 48,
    "image_size": 28,
    "patch_size": 14,
}
_IDS = torch.arange(3, 21).reshape(2, 9)


def _two_towers() -> nn.Module:
    model: nn.Module = transformers.VisionTextDualEncoderModel(
        vision_model=transformers.ViTModel(transformers.ViTConfig(**_PIXELS)),
        text_model=transformers.BertModel(transformers.BertConfig(**_TEXT)),
    )
    return model


def _encoder_decoder() -> nn.Module:
    two = (transformers.BertConfig(**_TEXT), transformers.BertConfig(**_TEXT))
    config = transformers.EncoderDecoderConfig.from_encoder_decoder_configs(*two)
    model: nn.Module = transformers.EncoderDecoderModel(config)
    return model


def _llava(vision: str) -> nn.Module:
    config = transformers.LlavaConfig(
        text_config=transformers.LlamaConfig(**_TEXT),
        vision_config=getattr(transformers, vision)(**_PIXELS),
        image_token_index=63,
        vision_feature_layer=-1,
        image_seq_length=4,
    )
    model: nn.Module = transformers.LlavaForConditionalGeneration(config)
    return model


_PIXELS_TOO = {"input_ids": _IDS, "pixel_values": torch.linspace(-1, 1, 4704).view(2, 3, 28, 28)}

#: Name -> how it is made, which list is converted, and what it takes.
_COMPOSITES: dict[str, tuple[Callable[[], nn.Module], str | None, dict[str, Tensor]]] = {
    "text tower": (_two_towers, "text_model.encoder.layer", _PIXELS_TOO),
    "vision tower": (_two_towers, "vision_model.layers", _PIXELS_TOO),
    "encoder": (
        _encoder_decoder,
        "encoder.encoder.layer",
        {"input_ids": _IDS, "decoder_input_ids": _IDS},
    ),
    "llava": (lambda: _llava("CLIPVisionConfig"), None, {"input_ids": _IDS}),
    "llava-vit": (
        lambda: _llava("ViTConfig"),
        "model.language_model.layers",
        {"input_ids": _IDS},
    ),
}


def _drawn(model: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return model.eval()


def _first(out: Any) -> Tensor:
    """The first tensor that a model returns."""
    found: Tensor = next(value for value in out.values() if isinstance(value, Tensor))
    return found


@pytest.mark.parametrize("name", _COMPOSITES)
def test_one_of_several_models_is_saved_in_both_ways(name: str, tmp_path: Path) -> None:
    make, blocks, inputs = _COMPOSITES[name]
    model = _drawn(make())
    net = ac.convert(model, blocks=blocks)
    for small in (net, ac.cut(net, 1), ac.cut(net, 0)):
        wanted = _first(small.model(**inputs))
        ours, again, theirs = (tmp_path / f"{kind}{small.depth}" for kind in ("a", "b", "c"))
        ac.save(small, ours)
        ac.save(ac.load(ours), again)
        host: Any = small.model
        host.save_pretrained(theirs)
        loaded = ac.load(again)
        assert isinstance(loaded, ac.Converted)
        assert loaded.depth == small.depth
        torch.testing.assert_close(_first(loaded.model(**inputs)), wanted, rtol=0, atol=0)
        opened = type(host).from_pretrained(theirs).eval()
        torch.testing.assert_close(_first(opened(**inputs)), wanted, rtol=0, atol=0)
    plain: Any = ac.restore(ac.cut(ac.convert(model, "residual", blocks=blocks), 1))
    plain.save_pretrained(tmp_path / "plain")
    assert type(plain) is type(model)
    assert not hasattr(plain.config, "blocks")
    opened = type(plain).from_pretrained(tmp_path / "plain").eval()
    torch.testing.assert_close(_first(opened(**inputs)), _first(plain(**inputs)), rtol=0, atol=0)


@pytest.mark.parametrize("split", [5, "x", ["a"], {"encoder.layer": ["x"]}])
def test_a_record_of_lists_that_is_none_is_refused(split: Any) -> None:
    with pytest.raises(ConfigError, match="'split' maps paths of lists to routes, and is"):
        ac.Converted.from_config(source="hf:BertModel", arguments=_TEXT, split=split)


def _neo() -> nn.Module:
    config = transformers.GPTNeoConfig(
        vocab_size=64,
        hidden_size=32,
        num_layers=4,
        num_heads=4,
        window_size=4,
        attention_types=[[["global", "local"], 2]],
        bos_token_id=1,
        eos_token_id=2,
    )
    return _drawn(transformers.GPTNeoForCausalLM(config))


@pytest.mark.parametrize("depth", [4, 3, 0])
def test_gpt_neo_is_saved_whole_and_cut(depth: int, tmp_path: Path) -> None:
    small = ac.cut(ac.convert(_neo(), "residual"), depth)
    wanted = small(_IDS)
    ac.save(small, tmp_path / "ours")
    torch.testing.assert_close(ac.load(tmp_path / "ours")(_IDS), wanted, rtol=0, atol=0)
    small.model.save_pretrained(tmp_path / "theirs")
    ac.restore(small).save_pretrained(tmp_path / "plain")  # type: ignore[operator]
    for folder in ("theirs", "plain"):
        opened = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / folder).eval()
        torch.testing.assert_close(opened(_IDS).logits, wanted, rtol=0, atol=0)


def test_an_invalid_config_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    host: Any = ac.convert(_neo()).model
    host.config.num_layers = 3
    with pytest.raises(Exception, match="attention_layers"):
        host.save_pretrained(tmp_path / "none")
    assert not (tmp_path / "none").exists()
