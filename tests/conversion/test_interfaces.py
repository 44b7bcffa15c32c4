"""What hosts take and return: batches made for them, and outputs that are no plain logits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import autocompress as ac
from autocompress.errors import ConfigError, ConvertError

timm = pytest.importorskip("timm")
transformers = pytest.importorskip("transformers")

_TEXT = {
    "vocab_size": 64,
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 48,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
_WHISPER = {
    "vocab_size": 64,
    "d_model": 32,
    "encoder_layers": 3,
    "decoder_layers": 2,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 48,
    "decoder_ffn_dim": 48,
    "num_mel_bins": 8,
    "max_source_positions": 20,
    "max_target_positions": 20,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "decoder_start_token_id": 1,
    "classifier_proj_size": 16,
}
_SPECTRA = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 48,
    "max_length": 64,
    "num_mel_bins": 16,
}
_IDS = torch.arange(3, 21).reshape(2, 9)


def _hf(name: str, values: dict[str, Any]) -> nn.Module:
    torch.manual_seed(0)
    cls = getattr(transformers, name)
    model: nn.Module = cls(cls.config_class(**values))
    return model.eval()


@pytest.mark.parametrize(
    ("name", "values", "shapes"),
    [
        ("BertModel", _TEXT, (3, 16)),
        ("ASTForAudioClassification", _SPECTRA, (3, 64, 16)),
        (
            "BertForMultipleChoice",
            _TEXT,
            {"input_ids": (3, 2, 7), "attention_mask": (3, 2, 7)},
        ),
        (
            "WhisperForConditionalGeneration",
            _WHISPER,
            {"input_features": (3, 8, 40), "decoder_input_ids": (3, 7)},
        ),
        (
            "RobertaModel",
            {**_TEXT, "max_position_embeddings": 10},
            {"input_ids": (3, 7), "attention_mask": (3, 7)},
        ),
    ],
)
def test_an_example_is_a_batch_that_the_host_takes(
    name: str, values: dict[str, Any], shapes: Any
) -> None:
    model = _hf(name, values)
    example = ac.convert(model).example(3)
    named = isinstance(example, dict)
    found = {k: tuple(v.shape) for k, v in example.items()} if named else tuple(example.shape)
    assert found == shapes
    out = model(**example) if named else model(example)
    assert len(next(iter(out.values()))) == 3


def test_an_example_of_tokens_takes_no_more_random_numbers_than_its_own() -> None:
    net = ac.convert(_hf("BertModel", _TEXT))
    torch.manual_seed(0)
    example, after = net.example(3), torch.rand(1)
    torch.manual_seed(0)
    assert torch.equal(torch.randint(3, 64, (3, 16)), example)
    assert torch.equal(torch.rand(1), after)


def test_a_host_of_spectra_is_exported(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    net = ac.convert(_hf("ASTForAudioClassification", _SPECTRA))
    assert ac.export(net, tmp_path / "net.onnx").max_abs_difference < 1e-5


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("MixtralForCausalLM", {"num_local_experts": 4}),
        ("Qwen3MoeForCausalLM", {"num_experts": 4, "num_experts_per_tok": 2}),
    ],
)
def test_depths_of_experts_that_show_their_routing_are_read(
    name: str, values: dict[str, Any]
) -> None:
    net = ac.convert(_hf(name, {**_TEXT, **values, "output_router_logits": True}))
    for depth, readout in enumerate(net.readouts(_IDS)):
        torch.testing.assert_close(readout, ac.cut(net, depth)(_IDS), rtol=0, atol=0)
    out = net(input_ids=_IDS, labels=_IDS)  # as the host: its loss has the auxiliary part
    bare = net(input_ids=_IDS, labels=_IDS, output_router_logits=False)
    share = net.model.config.router_aux_loss_coef
    torch.testing.assert_close(out.loss, bare.loss + share * out.aux_loss)
    assert out.aux_loss > 0


def test_a_host_that_returns_tuples_has_logits() -> None:
    plain = _hf("BertForSequenceClassification", _TEXT)
    model = _hf("BertForSequenceClassification", {**_TEXT, "return_dict": False})
    model.load_state_dict(plain.state_dict())
    net = ac.convert(model, "residual")
    torch.testing.assert_close(net(_IDS), plain(_IDS).logits, rtol=0, atol=0)
    assert len(list(net.readouts(_IDS))) == 4
    assert isinstance(net(input_ids=_IDS), tuple)


def test_a_head_that_reads_every_layer_is_refused() -> None:
    values = {**_WHISPER, "use_weighted_layer_sum": True}
    model = _hf("WhisperForAudioClassification", values)
    with pytest.raises(ConvertError, match="use_weighted_layer_sum is set: .* set it to False"):
        ac.convert(model)
    assert ac.plan(_hf("WhisperModel", values)).depth == 3  # it has no such head


class _Layer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


class _Named(nn.Module):
    """A network of the user's that returns its logits by name."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([_Layer(), _Layer()])
        self.head = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        for layer in self.layers:
            x = layer(x)
        return {"out": self.head(x)}


def test_an_output_that_is_no_tensor_is_named() -> None:
    x = torch.randn(6, 4)
    net = ac.convert(_Named().eval(), example=x)
    with pytest.raises(ConfigError, match="_Named returns a dict, and .* logits as one tensor"):
        ac.probe(net, [(x, torch.tensor([0, 1, 2, 0, 1, 2]))])
    assert net.model(x)["out"].shape == (6, 3)


def test_a_buffer_of_another_size_is_named_with_both(tmp_path: Path) -> None:
    model = timm.create_model(
        "eva02_tiny_patch14_224", img_size=56, embed_dim=32, num_heads=2, depth=2
    )
    net = ac.convert(model.eval())
    net.model.set_input_size((112, 112))
    with pytest.raises(ConfigError, match=r"a buffer of \[64, 32\], which .* as \[16, 32\]"):
        ac.save(net, tmp_path / "net")


@pytest.mark.parametrize("rule", ["residual", "acn"])
def test_a_network_without_layers_is_restored(rule: str) -> None:
    net = ac.cut(ac.convert(_hf("BertModel", _TEXT), rule), 0)
    plain: Any = ac.restore(net)
    torch.testing.assert_close(plain(_IDS).last_hidden_state, net(_IDS), rtol=0, atol=0)


@pytest.mark.parametrize("spec", [(1, 0), 0.5, ["acn"]])
def test_a_connectivity_of_another_type_is_refused(spec: Any) -> None:
    with pytest.raises(ConfigError, match=r"a name \(one of acn, .*\), a mapping or a rule, not"):
        ac.convert(_hf("BertModel", _TEXT), spec)
