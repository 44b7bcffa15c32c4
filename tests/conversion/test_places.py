"""Layers of a host whose place decides what they compute, and cuts that would move them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import autocompress as ac
from autocompress.errors import ConfigError, DepthError

timm = pytest.importorskip("timm")
transformers = pytest.importorskip("transformers")

_TEXT = {
    "vocab_size": 64,
    "hidden_size": 32,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 48,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
_EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16}
_SHARED = {**_EXPERTS, "shared_expert_intermediate_size": 16}
_IDS = torch.arange(3, 21).reshape(2, 9)


def _weighty(model: nn.Module) -> nn.Module:
    """In eval mode, with weights so large that every layer matters."""
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return model.eval()


def _decoder(name: str, **values: Any) -> nn.Module:
    cls = getattr(transformers, name + "ForCausalLM")
    return _weighty(cls(cls.config_class(**_TEXT, **values)))


def _swin(*depths: int) -> nn.Module:
    made = timm.create_model(
        "swin_tiny_patch4_window7_224",
        depths=depths,
        num_heads=(1,) * len(depths),
        img_size=64,
        window_size=4,
        embed_dim=16,
        num_classes=5,
    )
    return _weighty(made)


@pytest.mark.parametrize(
    ("name", "values", "kept", "words"),
    [
        ("SmolLM3", {"no_rope_layer_interval": 2}, [1, 2, 3], "self_attn.use_rope is 1 there"),
        ("Qwen2Moe", {**_SHARED, "mlp_only_layers": [1]}, [0, 2, 3], "mlp is 'Qwen2MoeMLP' there"),
        ("Qwen3Moe", {**_EXPERTS, "decoder_sparse_step": 2}, [0, 2], "Qwen3MoeSparseMoeBlock"),
    ],
)
def test_a_layer_takes_no_place_of_another_kind(
    name: str, values: dict[str, Any], kept: list[int], words: str
) -> None:
    net = ac.convert(_decoder(name, **values), "residual")
    with pytest.raises(ConfigError, match=words):
        ac.cut(net, kept)
    assert ac.cut(net, kept[0] + 2).depth == kept[0] + 2


def test_a_layer_may_take_a_place_of_its_own_kind(tmp_path: Path) -> None:
    net = ac.convert(_decoder("SmolLM3", no_rope_layer_interval=2), "residual")
    small = ac.cut(net, [2, 3])
    wanted = small(_IDS)
    small.model.save_pretrained(tmp_path / "ours")
    ac.restore(small).save_pretrained(tmp_path / "plain")  # type: ignore[operator]
    for folder in ("ours", "plain"):
        loaded = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / folder).eval()
        torch.testing.assert_close(loaded(_IDS).logits, wanted, rtol=0, atol=0)


def test_windows_are_shifted_by_place() -> None:
    net, images = ac.convert(_swin(4), "residual"), torch.randn(2, 3, 64, 64)
    with pytest.raises(ConfigError, match=r"layers.0.blocks.2 would become .*1.*shift_size is \(2"):
        ac.cut(net, [0, 2, 3])
    small, plain = ac.cut(net, [2, 3]), _swin(2)
    plain.load_state_dict(ac.restore(small).state_dict())
    torch.testing.assert_close(plain(images), small(images), rtol=0, atol=0)


class _Scaled(nn.Module):
    """A layer of the user's, who builds the network and knows what moves."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.scale, self.body = scale, nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.scale * self.body(x)


def test_layers_of_a_users_own_class_may_move() -> None:
    model = nn.Sequential(nn.Sequential(_Scaled(1.0), _Scaled(2.0), _Scaled(4.0)), nn.Linear(4, 2))
    x = torch.randn(3, 4)
    small = ac.cut(ac.convert(model.eval(), "residual", example=x), [0, 2])
    layers, head = model
    torch.testing.assert_close(small(x), head(layers[2](layers[0](x))))


def test_layers_of_several_stages_are_named_as_those_of_one() -> None:
    net = ac.convert(_swin(2, 2), "residual")
    for layers, words in (([-1, 0], "layer -1 is"), ([0, 4], "layer 4 is out of range.*0..3")):
        with pytest.raises(DepthError, match=words):
            ac.cut(net, layers)
    with pytest.raises(ConfigError, match=r"\[2, 0\] must be in ascending order"):
        ac.cut(net, [2, 0])
