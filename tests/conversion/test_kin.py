"""Families of transformers that share their layers' code with others, each converted once.

Outputs and gradients at residual are the original's to the bit, with padding and in training mode;
decoders write with a cache what they write without.
"""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor, nn

import autocompress as ac
from autocompress.conversion.layers import layer_kinds
from autocompress.errors import ConvertError

#: Sizes under all the names that configs have for them; a config takes those it knows.
SIZES: dict[str, Any] = {
    "vocab_size": 40,
    "hidden_size": 16,
    "embedding_size": 12,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 8,
    "intermediate_size": 24,
    "ffn_dim": 24,
    "n_embd": 16,
    "n_layer": 3,
    "n_head": 2,
    "n_positions": 32,
    "num_layers": 3,
    "num_heads": 2,
    "attention_types": [[["global", "local", "global"], 1]],
    "window_size": 4,
    "rotary_dim": 4,
    "word_embed_proj_dim": 16,
    "moe_intermediate_size": 8,
    "shared_expert_intermediate_size": 8,
    "num_experts": 4,
    "num_local_experts": 4,
    "num_experts_per_tok": 2,
    "max_position_embeddings": 32,
    "image_size": 8,
    "patch_size": 4,
    "max_length": 12,
    "num_mel_bins": 16,
    "frequency_stride": 4,
    "time_stride": 4,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 39,
}

TEXTS = [
    "XLMRobertaForSequenceClassification",
    "CamembertForTokenClassification",
    "ElectraForPreTraining",
    "ElectraForSequenceClassification",
    "ErnieForMaskedLM",
    "RoCBertForSequenceClassification",
    "Data2VecTextForMultipleChoice",
    "RobertaPreLayerNormForMaskedLM",
    "XLMRobertaXLForQuestionAnswering",
    "DebertaForSequenceClassification",
    "MPNetForSequenceClassification",
    "MegatronBertForSequenceClassification",
    "MegatronBertForMaskedLM",
    "RoFormerForSequenceClassification",
    "RoFormerForMultipleChoice",
]
OTHERS = [
    "DeiTForImageClassification",
    "IJepaForImageClassification",
    "ViTMSNForImageClassification",
    "Dinov2WithRegistersModel",
    "ASTForAudioClassification",
]
DECODERS = [
    *("Arcee", "Cohere", "Cohere2", "Cwm", "Ernie4_5", "Exaone4", "Gemma2", "Glm", "GPTNeoX"),
    *("Granite", "Helium", "HunYuanDenseV1", "Ministral", "Mixtral", "NanoChat", "Olmo", "Olmo2"),
    *("Olmo3", "Olmoe", "Phi", "Phi3", "Phimoe", "Qwen2Moe", "Qwen3Moe", "SeedOss", "SmolLM3"),
    *("StableLm", "Starcoder2", "GPTNeo", "GPTJ", "OPT", "Bloom", "Falcon"),
    *("MegatronBert", "RoFormer"),
]


def made(name: str, **values: Any) -> Any:
    """A small model with random norms, biases and scales too."""
    torch.manual_seed(0)
    cls = getattr(transformers, name)
    known = cls.config_class().to_dict()
    sizes = {key: value for key, value in SIZES.items() if key in known}
    if "is_decoder" in known and name.endswith("ForCausalLM"):  # an encoder that may write as well
        sizes["is_decoder"] = True
    model = cls(cls.config_class(**sizes | values)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return model


def inputs_of(model: Any) -> dict[str, Tensor]:
    torch.manual_seed(1)
    if model.main_input_name == "pixel_values":
        return {"pixel_values": torch.randn(2, 3, 8, 8)}
    if model.main_input_name == "input_values":
        return {"input_values": torch.randn(2, 12, 16)}
    ids = torch.randint(3, 39, (2, 9))
    mask = torch.ones_like(ids)
    mask[1, -4:] = 0
    text = {"input_ids": ids, "attention_mask": mask}
    if "MultipleChoice" in type(model).__name__:
        text = {key: value[:, None].repeat(1, 2, 1) for key, value in text.items()}
    return text


def results(model: nn.Module, inputs: dict[str, Tensor], training: bool) -> list[Tensor]:
    """All outputs, and the gradients of all parameters."""
    torch.manual_seed(3)
    out = model.train(training)(**inputs)
    found = [v for v in out.values() if isinstance(v, Tensor) and v.requires_grad]
    leaves = [p for p in model.parameters() if p.requires_grad]
    grads = torch.autograd.grad(sum(v.square().mean() for v in found), leaves, allow_unused=True)
    pairs = zip(grads, leaves, strict=True)
    return [*found, *(torch.zeros_like(p) if g is None else g for g, p in pairs)]


def check_exact(model: Any, net: Any) -> None:
    inputs = inputs_of(model)
    for training in (False, True):
        wanted, found = (results(one, inputs, training) for one in (model, net.model))
        for one, other in zip(wanted, found, strict=True):
            assert torch.equal(one, other)


@pytest.mark.parametrize("name", [*TEXTS, *OTHERS])
def test_encoders_of_the_same_code_are_exact(name: str) -> None:
    model = made(name)
    net = ac.convert(model, "residual")
    assert net.depth == 3
    check_exact(model, net)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("OPTForCausalLM", {"do_layer_norm_before": False}),
        ("BloomForCausalLM", {"apply_residual_connection_post_layernorm": True}),
        ("FalconForCausalLM", {"new_decoder_architecture": True, "num_kv_heads": 2}),
        ("FalconForCausalLM", {"new_decoder_architecture": True, "num_ln_in_parallel_attn": 1}),
    ],
)
def test_other_forms_of_a_layer_are_exact(name: str, values: dict[str, Any]) -> None:
    model = made(name, **values)
    check_exact(model, ac.convert(model, "residual"))


@pytest.mark.parametrize(
    ("name", "values", "words"),
    [
        ("OPTForCausalLM", {"layerdrop": 0.1}, "layerdrop is set"),
        ("FalconForCausalLM", {"parallel_attn": False}, "no layer class"),
    ],
)
def test_forms_that_cannot_be_split(name: str, values: dict[str, Any], words: str) -> None:
    with pytest.raises(ConvertError, match=words):
        ac.convert(made(name, **values), "residual")


@pytest.mark.parametrize("name", DECODERS)
def test_decoders_of_the_same_code_are_exact_and_write(name: str) -> None:
    model = made(f"{name}ForCausalLM")
    net: Any = ac.convert(model, "residual")
    assert net.depth == 3
    check_exact(model, net)
    options = {"max_new_tokens": 5, "do_sample": False, "pad_token_id": 0}
    prompt = inputs_of(model)["input_ids"]
    expected = model.eval().generate(prompt, **options, use_cache=True)
    assert torch.equal(net.model.eval().generate(prompt, **options, use_cache=True), expected)
    small = ac.cut(ac.convert(model, "acn"), 2).model.eval()
    assert torch.equal(
        small.generate(prompt, **options, use_cache=True),
        small.generate(prompt, **options, use_cache=False),
    )


#: Hosts that collect the weights of attention in their own loop, before any layer has run.
COLLECTING = [
    *("DebertaForSequenceClassification", "DebertaV2ForMaskedLM", "MPNetForMaskedLM"),
    *(f"{n}ForCausalLM" for n in ("GPTNeo", "GPTJ", "Bloom", "Falcon", "MegatronBert", "RoFormer")),
]


@pytest.mark.parametrize("name", [*COLLECTING, "ElectraForSequenceClassification"])
@torch.no_grad()
def test_weights_of_attention_are_those_of_every_layer(name: str) -> None:
    model = made(name, attn_implementation="eager")
    inputs: dict[str, Any] = {**inputs_of(model), "output_attentions": True}
    wanted = model(**inputs).attentions
    assert len(wanted) == 3
    net: Any = ac.convert(model, "residual")
    assert all(map(torch.equal, net(**inputs).attentions, wanted))
    for one, other in zip(net(**inputs, return_dict=False)[-1], wanted, strict=True):
        assert torch.equal(one, other)
    assert len(net(**inputs, depth=2).attentions) == 2
    assert all(map(torch.equal, ac.cut(net, 2)(**inputs).attentions, wanted[:2]))
    net = ac.convert(model, "acn")
    first, second, _ = net(**inputs).attentions
    assert torch.equal(first, wanted[0])  # both layers read x_0 and what follows from it
    assert not torch.allclose(second, wanted[1])
    assert net(**inputs_of(model)).attentions is None


def test_every_registered_family_is_tried() -> None:
    """Here, or in the table of hosts."""
    from hosts import HOSTS

    names = [*TEXTS, *OTHERS, *(f"{name}ForCausalLM" for name in DECODERS)]
    tried = {getattr(transformers, name).__module__.split(".")[2] for name in names}
    tried |= {name.removeprefix("hf-").replace("-", "_") for name in HOSTS}
    known = {name.split(".")[2] for name in layer_kinds() if name.startswith("transformers.")}
    assert known <= tried


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("GPTNeoXForCausalLM", {"use_parallel_residual": False}),
        ("StableLmForCausalLM", {"use_parallel_residual": True}),
        ("Gemma3ForCausalLM", {}),
        ("Glm4ForCausalLM", {}),
    ],
)
def test_layers_that_are_not_registered_are_split_on_an_example(name: str, values: Any) -> None:
    """The host hands no inference tensors to its layers, so gradients can be compared."""
    model = made(name, **values)
    assert "example=" in ac.plan(model).refusals[0]
    example = inputs_of(model)["input_ids"]
    net: Any = ac.convert(model, "residual", example=example)
    for training in (False, True):
        for one, other in zip(
            results(model, {"input_ids": example, "use_cache": False}, training),
            results(net.model, {"input_ids": example, "use_cache": False}, training),
            strict=True,
        ):
            torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-5)


def test_layers_that_reshape_their_input_are_refused_by_name() -> None:
    """OPT's MLP works on (tokens, width): the trace holds for one number of tokens only."""
    model = made("OPTForCausalLM", ffn_dim=24, word_embed_proj_dim=16, num_attention_heads=2)
    plain = type(model.model.decoder.layers[0])
    own = type("OwnLayer", (plain,), {})  # not registered
    for layer in model.model.decoder.layers:
        layer.__class__ = own
    with pytest.raises(ConvertError, match=r"OwnLayer split by its graph|cannot be split"):
        ac.convert(model, example=inputs_of(model)["input_ids"])


# -- the state that a host is in -------------------------------------------------------------------


@pytest.mark.parametrize("name", ["CamembertForTokenClassification", "Olmo2ForCausalLM"])
@pytest.mark.parametrize("reentrant", [False, True])
def test_gradient_checkpointing_that_is_on_stays_on(name: str, reentrant: bool) -> None:
    model = made(name).train()
    plain = copy.deepcopy(model)
    model.activation_checkpointing_enable({"use_reentrant": reentrant})
    model.enable_input_require_grads()
    net: Any = ac.convert(model, "residual")
    assert net.model.is_activation_checkpointing
    inputs = inputs_of(model)
    losses = []
    for one in (plain, net.model):
        torch.manual_seed(3)
        out = one(**inputs).logits.square().mean()
        out.backward()
        losses.append(out.detach())
    assert torch.equal(*losses)
    for one, other in zip(plain.parameters(), net.model.parameters(), strict=True):
        assert (one.grad is None) == (other.grad is None)
        if one.grad is not None:
            torch.testing.assert_close(one.grad, other.grad, atol=1e-7, rtol=1e-5)


def test_timm_models_that_recompute_go_on_doing_so() -> None:
    from hosts import batch, host

    for name in ("timm-vit", "timm-swin", "timm-eva02"):
        model: Any = host(name).train()
        model.set_grad_checkpointing(True)
        net: Any = ac.convert(model, "residual")
        x, calls = batch(model)["x"], []
        net.trunks[0].blocks[0].norm1.register_forward_hook(lambda *_, calls=calls: calls.append(1))
        grads = []
        for one in (model, net):
            torch.manual_seed(3)
            grads.append(torch.autograd.grad(one(x).square().mean(), list(one.parameters())))
        assert len(calls) == 2
        for one, other in zip(*grads, strict=True):
            torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-5)


def test_hooks_run_or_the_conversion_is_refused() -> None:
    model = made("ElectraForSequenceClassification")
    layer, seen = model.electra.encoder.layer[1], []
    louder = layer.register_forward_hook(lambda _, __, out: out * 1.5)
    layer.intermediate.register_forward_hook(lambda *_: seen.append(1))
    net: Any = ac.convert(model, "residual")
    seen.clear()
    for one in (model, net.model):
        results(one, inputs_of(model), False)
    assert len(seen) == 2
    check_exact(model, net)
    louder.remove()
    layer.output.register_forward_hook(lambda *_: seen.append(1))  # branches do not call it whole
    with pytest.raises(ConvertError, match=r"hooks on electra.encoder.layer.1.output would not"):
        ac.convert(model)


def test_wrapped_compiled_and_replaced_networks_are_refused_by_name() -> None:
    def message(model: nn.Module) -> str:
        with pytest.raises(ConvertError) as error:
            ac.convert(model)
        return str(error.value)

    whole = made("ElectraForSequenceClassification")
    whole.compile()
    assert "is compiled; convert it first" in message(whole)
    part = made("ElectraForSequenceClassification")
    part.electra.encoder.layer[0].compile()
    assert "electra.encoder.layer.0 of this network is compiled" in message(part)
    inner = nn.ModuleDict({"net": nn.DataParallel(made("ElectraForSequenceClassification"))})
    assert "convert its .module" in message(inner)

    replaced = made("ElectraForSequenceClassification")
    layer = replaced.electra.encoder.layer[2]
    layer.forward = lambda *args, **kwargs: args[0]
    assert "electra.encoder.layer.2 was replaced on the object" in message(replaced)
