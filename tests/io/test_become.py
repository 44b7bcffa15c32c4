"""What a host has become since it was built is what is saved, or is refused before training."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

import autocompress as ac
from autocompress.errors import CheckpointError, ConfigError
from folders import forge
from hosts import host
from marks import slow_but
from models_table import images, make


def saved_and_loaded(net: ac.Network, folder: Path) -> Any:
    ac.save(net, folder)
    return ac.load(folder)


def ids(rows: int = 2) -> Tensor:
    return torch.randint(3, 40, (rows, 7), generator=torch.Generator().manual_seed(3))


def same(one: ac.Network, other: ac.Network, x: Tensor) -> bool:
    with torch.no_grad():
        return torch.equal(one.eval()(x), other.eval()(x))


def modules_alike(one: nn.Module, other: nn.Module) -> bool:
    """Same modules of same classes, same parameters that are trained, same sharing."""
    kinds = [[(n, type(m)) for n, m in net.named_modules()] for net in (one, other)]
    names = [[n for n, _ in net.named_parameters()] for net in (one, other)]
    return set(kinds[0]) <= set(kinds[1]) and names[0] == names[1]


# -- transformers ----------------------------------------------------------------------------------


def grow(model: Any) -> None:
    model.resize_token_embeddings(45)


def new_head(model: Any) -> None:
    model.classifier = nn.Linear(16, 7)


def no_bias(model: Any) -> None:
    model.classifier = nn.Linear(16, 5, bias=False)


def deep_head(model: Any) -> None:
    parts = [nn.Linear(16, 8), nn.Tanh(), nn.Dropout(0.3), nn.LayerNorm(8), nn.Linear(8, 3)]
    model.classifier = nn.Sequential(*parts)


def no_head(model: Any) -> None:
    model.classifier = nn.Identity()


def drop(model: Any) -> None:
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.37


def eager(model: Any) -> None:
    model.set_attn_implementation("eager")


def epsilon(model: Any) -> None:
    for module in model.modules():
        if isinstance(module, nn.LayerNorm):
            module.eps = 0.01


def shared(model: Any) -> None:
    layers = model.bert.encoder.layer
    layers[1].intermediate.dense.weight = layers[0].intermediate.dense.weight
    layers[1].attention.self.query = layers[0].attention.self.query


BERT: dict[str, Callable[[Any], None]] = {
    f.__name__: f
    for f in (grow, new_head, no_bias, deep_head, no_head, drop, eager, epsilon, shared)
}
DTYPES = [torch.float32, torch.float64, torch.bfloat16, torch.float16]


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("change", slow_but(BERT, ["grow", "deep_head", "eager", "shared"]))
def test_a_changed_bert(change: str, when: str, tmp_path: Path) -> None:
    model: Any = host("hf-bert")
    if when == "before":
        BERT[change](model)
    net = ac.convert(model, "acn")
    if when == "after":
        if change == "shared":  # its layers are in the trunk by then
            net.trunk[1].intermediate.dense.weight = net.trunk[0].intermediate.dense.weight
        else:
            BERT[change](net.model)
    small = ac.cut(net, 3)
    again = saved_and_loaded(small, tmp_path / "net")
    assert same(small, again, ids())
    assert modules_alike(small, again)
    drops = [[m.p for m in one.modules() if isinstance(m, nn.Dropout)] for one in (small, again)]
    assert drops[0] == drops[1]
    once = json.loads((tmp_path / "net" / "config.json").read_text())
    ac.save(again, tmp_path / "again")
    twice = json.loads((tmp_path / "again" / "config.json").read_text())
    assert twice == once  # saving what was loaded says the same


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", ["hf-qwen2", "hf-gemma", "hf-modernbert", "hf-vit"])
def test_dtypes_and_the_buffers_that_were_rounded(
    name: str, dtype: torch.dtype, tmp_path: Path
) -> None:
    net = ac.convert(host(name), "acn").to(dtype).eval()
    x = net.example(2)
    x = x.to(dtype) if x.is_floating_point() else x
    again = saved_and_loaded(net, tmp_path / "net")
    assert {p.dtype for p in again.parameters()} == {dtype}
    assert [b.dtype for b in again.buffers()] == [b.dtype for b in net.buffers()]
    assert same(net, again, x)
    back = again.float()  # what was rounded stays rounded
    once_more = saved_and_loaded(back, tmp_path / "float")
    assert all(torch.equal(a, b) for a, b in zip(back.buffers(), once_more.buffers(), strict=True))


def test_return_dict(tmp_path: Path) -> None:
    net = ac.convert(host("hf-bert"), "acn")
    net.model.config.return_dict = False  # type: ignore[union-attr]
    again = saved_and_loaded(net, tmp_path / "net")
    assert again.model.config.return_dict is False
    with torch.no_grad():
        assert torch.equal(again.model(ids())[0], net.eval().model(ids())[0])


def test_mixed_dtypes(tmp_path: Path) -> None:
    net = ac.convert(host("hf-llama"), "acn").to(torch.bfloat16)
    for module in net.modules():
        if "Norm" in type(module).__name__:
            module.float()
    again = saved_and_loaded(net, tmp_path / "net")
    assert [p.dtype for p in again.parameters()] == [p.dtype for p in net.parameters()]


def test_tied_and_untied_embeddings(tmp_path: Path) -> None:
    net = ac.convert(host("hf-llama"), "acn")
    head = net.model.get_output_embeddings()  # type: ignore[operator]
    head.weight = net.model.get_input_embeddings().weight  # type: ignore[operator]
    again = saved_and_loaded(net, tmp_path / "tied")
    assert again.model.get_output_embeddings().weight is again.model.get_input_embeddings().weight
    head.weight = nn.Parameter(head.weight.detach().clone() + 1)
    again = saved_and_loaded(net, tmp_path / "untied")
    assert len(list(again.parameters())) == len(list(net.parameters()))
    assert same(net, again, ids())


# -- timm ------------------------------------------------------------------------------------------


def vit(**options: Any) -> Any:
    import timm

    sizes = {"img_size": 16, "patch_size": 4, "embed_dim": 16, "depth": 4, "num_heads": 2}
    torch.manual_seed(0)
    return timm.create_model("vit_tiny_patch16_224", **{**sizes, "num_classes": 5, **options})


TIMM: dict[str, tuple[Callable[[Any], None], int]] = {
    "head": (lambda model: model.reset_classifier(9), 16),
    "no head": (lambda model: model.reset_classifier(0), 16),
    "pooling": (lambda model: model.reset_classifier(5, "avg"), 16),
    "image size": (lambda model: model.set_input_size(img_size=32), 32),
    "patch size": (lambda model: model.set_input_size(img_size=24, patch_size=8), 24),
    "own head": (lambda model: setattr(model, "head", nn.Sequential(nn.Linear(16, 2))), 16),
    "drop": (drop, 16),
}


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("change", slow_but(TIMM, ["head", "patch size", "own head"]))
def test_a_changed_vit(change: str, when: str, tmp_path: Path) -> None:
    alter, size = TIMM[change]
    model = vit()
    if when == "before":
        alter(model)
    net = ac.convert(model, "acn")
    if when == "after":
        alter(net.model)
    again = saved_and_loaded(ac.cut(net, 2), tmp_path / "net")
    x = torch.randn(2, 3, size, size)
    assert same(ac.cut(net, 2), again, x)
    assert modules_alike(ac.cut(net, 2), again)
    assert again.classes == net.classes
    assert again.model.global_pool == net.model.global_pool


def test_drop_paths_and_heads_of_a_class_that_was_called_by_hand(tmp_path: Path) -> None:
    model = vit(drop_path_rate=0.3, init_values=0.1, qkv_bias=False)
    net = ac.convert(model, "acn")
    again = saved_and_loaded(net, tmp_path / "net")
    rates = [
        [m.drop_prob for m in one.modules() if hasattr(m, "drop_prob")] for one in (net, again)
    ]
    assert rates[0] == rates[1]
    assert same(net, again, torch.randn(2, 3, 16, 16))


# -- own models ------------------------------------------------------------------------------------


def test_own_networks_are_saved_as_they_are(tmp_path: Path) -> None:
    net = make("mixer", "learned")
    net.head = nn.Sequential(nn.LayerNorm(8), nn.Dropout(0.2))
    again = saved_and_loaded(net, tmp_path / "head")
    assert same(net, again, images())
    net = make("vit", "acn")
    net.trunk.blocks[2] = net.trunk.blocks[0]  # one block, run twice
    again = saved_and_loaded(net, tmp_path / "shared")
    assert sum(p.numel() for p in again.parameters()) == sum(p.numel() for p in net.parameters())
    assert same(net, again, images())


# -- what cannot be said ---------------------------------------------------------------------------


class LoRA(nn.Module):
    """A layer of the user's own beside a layer of the host."""

    def __init__(self, base: nn.Linear) -> None:
        super().__init__()
        self.base, self.scale = base, 2.0
        self.a, self.b = nn.Linear(base.in_features, 2), nn.Linear(2, base.out_features)

    def forward(self, x: Tensor) -> Tensor:
        return self.base(x) + self.scale * self.b(self.a(x))


def lora(net: Any) -> str:
    layer = net.trunk[1].attention.self
    layer.value = LoRA(layer.value)
    return r"model\.bert\.encoder\.layer\.1\.attention\.self\.value is a .*LoRA"


def forward_of_its_own(net: Any) -> str:
    original = net.model.classifier.forward
    net.model.classifier.forward = lambda x: 2 * original(x)
    return r"classifier: its forward is replaced"


def hook(net: Any) -> str:
    net.model.classifier.register_forward_hook(lambda module, x, out: out + 1)
    return r"classifier: it has hooks"


def activation(net: Any) -> str:
    net.trunk[0].intermediate.intermediate_act_fn = nn.Softmax(-1)
    return r"intermediate_act_fn is a .*Softmax"


def parametrized(net: Any) -> str:
    nn.utils.parametrizations.weight_norm(net.model.classifier)
    return r"classifier is a .*ParametrizedLinear"


def pruned(net: Any) -> str:
    from torch.nn.utils import prune

    prune.l1_unstructured(net.model.classifier, "weight", 0.5)
    return r"classifier\.weight_mask is a buffer"


def not_a_number(net: Any) -> str:
    net.preprocess = {"mean": [float("nan")]}
    return r"preprocess cannot be written as JSON"


REFUSED = [lora, forward_of_its_own, hook, activation, parametrized, pruned, not_a_number]


@pytest.mark.parametrize("change", REFUSED, ids=lambda change: change.__name__)
def test_what_cannot_be_saved_is_refused_before_training(
    change: Callable[[Any], str], tmp_path: Path
) -> None:
    net = ac.convert(host("hf-bert"), "acn")
    words = change(net)
    with pytest.raises(ConfigError, match=words):
        ac.save(net, tmp_path / "net")
    data = TensorDataset(ids(4), torch.arange(4) % 5)
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    with pytest.raises(ConfigError, match=words):
        ac.fit(net, data, config=ac.FitConfig(epochs=1), run=tmp_path / "run", progress=False)
    assert list(tmp_path.iterdir()) == []
    assert all(torch.equal(before[name], tensor) for name, tensor in net.state_dict().items())


def test_a_network_that_nobody_registered(tmp_path: Path) -> None:
    class Mine(ac.models.MLP):
        model_name = ""

    net = Mine(depth=2, width=8, classes=3, image_size=4, channels=1)
    with pytest.raises(ConfigError, match=r"Mine has no name in the registry.*register_model"):
        ac.save(net, tmp_path / "net")


def test_a_network_without_weights(tmp_path: Path) -> None:
    net = make("mlp", "acn").to("meta")
    with pytest.raises(ConfigError, match="no weights"):
        ac.save(net, tmp_path / "net")


def test_a_network_of_numbers_that_are_none(tmp_path: Path) -> None:
    net = make("mlp", "acn")
    net.head[1].weight.data[0, 0] = float("nan")  # type: ignore[index]
    assert torch.isnan(saved_and_loaded(net, tmp_path / "net")(images())).any()


def test_checking_changes_nothing() -> None:
    net = ac.convert(host("hf-bert"), "acn").train()
    net.trunk[0].eval()
    modes = [module.training for module in net.modules()]
    state = torch.get_rng_state()
    net.check_savable()
    assert [module.training for module in net.modules()] == modes
    assert torch.equal(torch.get_rng_state(), state)


# -- changes that do not fit this network ---------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {"modules": {"head": {"class": "os.system", "arguments": {}}}},
        {"modules": {"head": {"class": "Module"}}},
        {"modules": {"head": {"class": "LazyLinear", "arguments": {"out_features": 3}}}},
        {"modules": {"head": {"class": "Linear", "arguments": {"in_features": 8}}}},
        {"modules": {"": {"class": "Identity"}}},
        {"modules": {"nowhere.head": {"class": "Identity"}}},
        {"modules": {"head": {"class": "Identity", "parts": {"a": {"class": "Identity"}}}}},
        {"modules": {"head": 3}},
        {"modules": []},
        {"values": {"head": {"forward": "x"}}},
        {"values": {"head": {"_forward_hooks": {}}}},
        {"values": {"head": {"__class__": "x"}}},
        {"values": {"head": {"training": True}}},
        {"values": {"head.classifier": {"out_features": "three"}}},
        {"values": {"head.classifier": {"out_features": [3]}}},
        {"values": {"head.classifier": {"out_features": 10**12}}},
        {"values": {"stem": 3}},
        {"tensors": {"head.classifier.weight": [3]}},
        {"tensors": {"head.classifier.weight": [10**9, 10**9]}},
        {"tensors": {"head.classifier.weight": None}},
        {"tensors": {"head.classifier.forward": [3]}},
        {"tensors": {"head.classifier.__class__": [3]}},
        {"tensors": {"head.classifier.bias": "x"}},
        {"others": {}},
        [],
    ],
    ids=str,
)
def test_changes_that_are_none(changes: Any, tmp_path: Path) -> None:
    ac.save(make("mixer", "acn"), tmp_path / "net")
    forge(tmp_path / "net", changes=changes)
    with pytest.raises(CheckpointError):
        ac.load(tmp_path / "net")
