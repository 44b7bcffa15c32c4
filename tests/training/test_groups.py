"""Which parameters learn at which rate, and which decay: against timm, and by hand."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import autocompress as ac
from autocompress.errors import ConfigError
from autocompress.training.groups import layer_ids, undecayed
from autocompress.training.optimization import make_optimizer
from models_table import make
from toy import config, quiet_fit, same, source, weights


def rates(net: ac.Network, **options: object) -> dict[str, tuple[float, float]]:
    """(learning rate, weight decay) of every parameter, by name."""
    found = {
        id(p): (group["lr"], group["weight_decay"])
        for group in make_optimizer(net, config(lr=1.0, **options)).param_groups
        for p in group["params"]
    }
    return {name: found[id(p)] for name, p in net.named_parameters() if p.requires_grad}


def timms(host: nn.Module, layer_decay: float, weight_decay: float) -> dict[str, tuple[float, ...]]:
    """The same of timm's own grouping."""
    from timm.optim import param_groups_layer_decay

    groups = param_groups_layer_decay(
        host,
        weight_decay=weight_decay,
        layer_decay=layer_decay,
        no_weight_decay_list=host.no_weight_decay(),  # type: ignore[operator]
    )
    found = {
        id(p): (group["lr_scale"], group["weight_decay"])
        for group in groups
        for p in group["params"]
    }
    return {name: found[id(p)] for name, p in host.named_parameters()}


HOSTS = {
    "vit_tiny_patch16_224": {"img_size": 32, "depth": 3},
    "deit_tiny_distilled_patch16_224": {"img_size": 32, "depth": 2},
    "beit_base_patch16_224": {"img_size": 32, "depth": 2, "embed_dim": 48, "num_heads": 2},
    "swin_tiny_patch4_window7_224": {"img_size": 56, "depths": (1, 1, 2, 1), "embed_dim": 24},
    "eva02_tiny_patch14_224": {"img_size": 28, "depth": 2},
}


@pytest.mark.parametrize("name", HOSTS)
def test_a_converted_host_is_grouped_as_timm_groups_it(name: str) -> None:
    timm = pytest.importorskip("timm")
    host = timm.create_model(name, **HOSTS[name], num_classes=3)
    expected = timms(host, 0.7, 0.05)
    net = ac.convert(host, "acn")
    found = rates(net, layer_decay=0.7, weight_decay=0.05)
    assert found == {f"model.{name}": pytest.approx(pair) for name, pair in expected.items()}


def test_our_vit_is_grouped_as_timms_of_the_same_shape() -> None:
    """Part by part: patches, class token, positions, each block, the norm after them, the head."""
    timm = pytest.importorskip("timm")
    host = timm.create_model("vit_tiny_patch16_224", img_size=32, depth=3, num_classes=3)
    theirs = timms(host, 0.8, 0.05)
    net = ac.models.ViT(depth=3, width=8, heads=2, classes=3, image_size=4, channels=1)
    ours = rates(net, layer_decay=0.8, weight_decay=0.05)
    parts = {
        "stem.embed.weight": "patch_embed.proj.weight",
        "stem.embed.bias": "patch_embed.proj.bias",
        "stem.class_token": "cls_token",
        "stem.positions": "pos_embed",
        "head.norm.weight": "norm.weight",
        "head.classifier.weight": "head.weight",
        "head.classifier.bias": "head.bias",
    }
    for mine, its in parts.items():
        assert ours[mine] == pytest.approx(theirs[its]), mine
    for index in range(3):
        block = {v for k, v in ours.items() if k.startswith(f"trunk.blocks.{index}.")}
        its_block = {v for k, v in theirs.items() if k.startswith(f"blocks.{index}.")}
        assert block == its_block
    assert len({lr for lr, _ in ours.values()}) == 5


def test_learning_rate_by_layer() -> None:
    """Layer i of 0 (the stem) .. 5 (the head) learns at 0.5^(5 - i)."""
    net = make("mixer", "acn")
    found = rates(net, layer_decay=0.5)
    expected = {
        "stem.": 0.5**5,
        **{f"trunk.blocks.{i}.": 0.5 ** (4 - i) for i in range(4)},
        "head.norm.": 0.5,
        "head.classifier.": 1.0,
    }
    for part, rate in expected.items():
        assert {lr for name, (lr, _) in found.items() if name.startswith(part)} == {rate}, part
    run = quiet_fit(net, source(), None, config(layer_decay=0.5, epochs=1, warmup_epochs=0))
    assert run.history[0]["lr"] == pytest.approx(1e-6), "the log says the highest of them"


@pytest.mark.parametrize("model", ["encoder", "encoder-pre", "decoder", "vit-post", "branched"])
def test_every_parameter_has_a_layer(model: str) -> None:
    net = make(model, "learned")
    ids = layer_ids(net)
    gates = {id(p) for p in net.trunk.connectivity.parameters()}
    assert ids.keys() == {name for name, p in net.named_parameters() if id(p) not in gates}
    for name, layer in ids.items():
        if ".blocks." in name:
            assert layer == 1 + int(name.split(".blocks.")[1].split(".")[0])
    assert {layer for name, layer in ids.items() if name.startswith("stem.")} == {0}
    assert max(ids.values()) == net.depth + 1


def test_weight_decay_is_for_matrices_alone() -> None:
    for model, free in {
        "vit": {"stem.class_token", "stem.positions"},
        "encoder": {"stem.positions.weight"},
        "decoder": {"stem.positions.weight"},
        "mixer": set(),
        "mlp": set(),
        "mixer-authors": {"stem.class_token"},
    }.items():
        net = make(model, "per-channel")
        gates = {id(p) for p in net.trunk.connectivity.parameters()}
        for name, (_, decay) in rates(net, weight_decay=0.1).items():
            p = net.get_parameter(name)
            kept = p.ndim < 2 or id(p) in gates or name in free
            assert decay == (0.0 if kept else 0.1), (model, name)


def test_transformers_class_tokens_and_positions_do_not_decay() -> None:
    transformers = pytest.importorskip("transformers")
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    vit = transformers.ViTForImageClassification(
        transformers.ViTConfig(**sizes, intermediate_size=32, image_size=8, patch_size=4)
    )
    bert = transformers.BertForSequenceClassification(
        transformers.BertConfig(**sizes, intermediate_size=32, vocab_size=20)
    )
    gpt = transformers.GPT2LMHeadModel(
        transformers.GPT2Config(n_embd=16, n_layer=2, n_head=2, vocab_size=20, n_positions=8)
    )
    kept = {
        "vit": {"cls_token", "position_embeddings"},
        "bert": {"position_embeddings.weight"},
        "gpt2": {"wpe.weight"},
    }
    for (name, endings), host in zip(kept.items(), (vit, bert, gpt), strict=True):
        found = undecayed(ac.convert(host, "acn"))
        assert {path.split("embeddings.", 1)[-1].split("transformer.")[-1] for path in found} == (
            endings
        ), name
    ids = layer_ids(ac.convert(vit, "acn"))
    assert {ids[name] for name in ids if "embeddings" in name} == {0}
    assert {ids[name] for name in ids if ".vit.layernorm." in name} == {2}, "with the last block"
    assert {ids[name] for name in ids if ".classifier." in name} == {3}


def test_what_any_module_names_does_not_decay() -> None:
    """Also a part of somebody's own network, by names or by wildcards, relative to the part."""

    class Named(nn.Linear):
        def no_weight_decay(self) -> set[str]:
            return {"wei*"}

    net = make("mixer", "acn")
    net.head.classifier = Named(8, 3)
    assert undecayed(net) == {"head.classifier.weight"}
    assert rates(net, weight_decay=0.3)["head.classifier.weight"] == (1.0, 0.0)


@pytest.mark.parametrize("connectivity", ["learned", "per-channel", "hacn"])
def test_gates_learn_at_a_rate_of_their_own(connectivity: str) -> None:
    net = make("mixer", connectivity)
    gates = {n for n, _ in net.named_parameters() if ".connectivity." in n}
    assert gates
    for options, rate in (({}, 0.01), ({"gate_lr": 0.5, "layer_decay": 0.9}, 0.5)):
        found = rates(net, **options)
        assert {found[name] for name in gates} == {(rate, 0.0)}
    with pytest.raises(ConfigError, match="gate_lr 0"):
        config(gate_lr=0.0)


def test_one_step_moves_gates_a_hundredth_as_far() -> None:
    """AdamW's first step is lr in every direction, whatever the gradient's size."""
    net = make("mlp", "learned")
    before = weights(net)
    for p in net.parameters():
        p.grad = torch.ones_like(p)
    make_optimizer(net, config(lr=0.1, weight_decay=0.0)).step()
    for name, p in net.named_parameters():
        far = 0.001 if ".connectivity." in name else 0.1
        torch.testing.assert_close(before[name] - p, torch.full_like(p, far), atol=1e-5, rtol=0)


@pytest.mark.parametrize("model", ["mixer", "mlp"])
def test_networks_without_positions_train_as_before(model: str) -> None:
    """Two groups, matrices and the rest, as they always were: the same weights bit for bit."""
    net, other = make(model, "acn"), make(model, "acn")
    quiet_fit(net, source(), None, config(epochs=1))
    groups = make_optimizer(other, config()).param_groups
    assert [group["weight_decay"] for group in groups] == [0.05, 0.0]
    assert [group["lr"] for group in groups] == [5e-3, 5e-3]
    matrices = [p for p in other.parameters() if p.ndim > 1]
    assert [id(p) for p in groups[0]["params"]] == [id(p) for p in matrices]
    again = make(model, "acn")
    quiet_fit(again, source(), None, config(epochs=1, gate_lr=0.7))
    assert same(weights(net), weights(again))
