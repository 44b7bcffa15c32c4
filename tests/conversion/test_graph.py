"""Layers that nobody registered, split by their graphs: what is found, what is refused."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import autocompress as ac
from autocompress.errors import CheckpointError, ConvertError

WIDTH = 6


class Parts(nn.Module):
    """What the layers below are made of."""

    def __init__(self) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.a, self.b = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)
        self.drop, self.p = nn.Dropout(0.3), 0.4
        self.scale = nn.Parameter(torch.full((WIDTH,), 0.3))


class PreNorm(Parts):
    def forward(self, x: Tensor) -> Tensor:
        x = x + self.drop(self.scale * self.a(self.norm1(x)))
        return x + F.dropout(self.b(self.norm2(x)).relu(), self.p, self.training)


class PostNorm(Parts):
    def forward(self, x: Tensor) -> Tensor:
        x = self.norm1(self.a(x) + x)
        return self.norm2(torch.add(x, self.b(x)))


class InPlace(Parts):
    def forward(self, x: Tensor) -> Tensor:
        out = self.a(self.norm1(x))
        out += x
        return self.b(out).add_(out)


class Parallel(Parts):
    def forward(self, x: Tensor) -> Tensor:
        h = self.norm1(x)
        return x + self.a(h) + self.b(h).relu()


class Masked(Parts):
    """Other arguments, shapes that two branches need, functional attention."""

    def forward(self, x: Tensor, mask: Tensor, causal: bool = False, *, temperature: float) -> Any:
        batch, tokens, width = x.shape
        h = self.a(self.norm1(x)).reshape(batch, tokens, 2, width // 2).transpose(1, 2)
        h = F.scaled_dot_product_attention(h / temperature, h, h, mask, is_causal=causal)
        x = x + h.transpose(1, 2).reshape(batch, tokens, width)
        return x + self.b(self.norm2(x)).view(batch, tokens, width)


class Inner(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.linear(x).tanh()


class Nested(Parts):
    """A skip inside the body stays there; skips inside parts in a row are found."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = Inner(), Inner()

    def forward(self, x: Tensor) -> Tensor:
        return x + self.first(self.norm1(x))


class InARow(Nested):
    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.first(x))


class Shortcut(Parts):
    """As in a ResNet: what could be a projection is none."""

    def __init__(self) -> None:
        super().__init__()
        self.shortcut = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.shortcut(x) + self.a(self.norm1(x)).relu()


class Conv(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv1d(5, 5, 3, padding=1), nn.BatchNorm1d(5)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.norm(self.conv(x)).relu()


class Net(nn.Module):
    """Embedding, layers, head; other arguments of the layers are the same for all."""

    def __init__(self, layer: type[nn.Module], **arguments: Any) -> None:
        super().__init__()
        self.embed, self.head = nn.Linear(4, WIDTH), nn.Linear(WIDTH, 3)
        self.layers = nn.ModuleList(layer() for _ in range(3))
        self.arguments = arguments

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x)
        for layer in self.layers:
            x = layer(x, **self.arguments)
        out: Tensor = self.head(x.mean(1))
        return out


def network(layer: type[nn.Module]) -> Net:
    torch.manual_seed(0)
    masked = {"mask": torch.ones(5, 5).tril().bool(), "temperature": 2.0}
    return Net(layer, **(masked if layer is Masked else {})).eval()


def images(batch: int = 2) -> Tensor:
    return torch.randn(batch, 5, 4, generator=torch.Generator().manual_seed(1))


SKIPS = {
    **{PreNorm: 2, PostNorm: 2, InPlace: 2, Parallel: 1, Masked: 2},
    **{Nested: 1, InARow: 2, Shortcut: 1, Conv: 1},
}
every_form = pytest.mark.parametrize("layer", SKIPS, ids=lambda layer: layer.__name__)


@every_form
def test_each_form_is_found_and_exact(layer: type[nn.Module]) -> None:
    model = network(layer)
    found = ac.plan(model, example=images())
    assert found, str(found)
    assert found.stages[0].route == "graph"
    assert found.stages[0].branches == SKIPS[layer]
    net = ac.convert(model, "residual", example=images())
    assert torch.equal(net(images(7)), model(images(7)))
    for one in (model, net):
        one.train()
    torch.manual_seed(0)
    expected = model(images(7))
    torch.manual_seed(0)
    assert torch.equal(net(images(7)), expected)


@every_form
def test_gradients_are_the_layers_own(layer: type[nn.Module]) -> None:
    model = network(layer)
    net = ac.convert(model, "residual", example=images(), copy=False)
    parameters = [p for name, p in model.named_parameters() if "second" not in name]
    expected = torch.autograd.grad(model(images()).square().sum(), parameters, allow_unused=True)
    found = torch.autograd.grad(net(images()).square().sum(), parameters, allow_unused=True)
    assert any(one is not None and one.abs().max() > 0 for one in expected)
    for one, other in zip(expected, found, strict=True):
        assert (one is None and other is None) or torch.equal(one, other)


@every_form
def test_one_class_for_all_layers_and_no_graph_breaks(layer: type[nn.Module]) -> None:
    net = ac.convert(network(layer), "acn", example=images())
    assert len({type(one) for one in net.trunk.blocks}) == 1
    compiled = torch.compile(net, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(images(3)), net(images(3)))


def acn_layer(layer: Any, x: Tensor) -> Tensor:
    """The layers above with their skips at 0, by hand."""
    if isinstance(layer, PreNorm):
        h = layer.scale * layer.a(layer.norm1(x))
        return layer.b(layer.norm2(h)).relu()
    if isinstance(layer, PostNorm):
        return layer.norm2(layer.b(layer.norm1(layer.a(x))))
    if isinstance(layer, InPlace):
        return layer.b(layer.a(layer.norm1(x)))
    if isinstance(layer, Parallel):
        h = layer.norm1(x)
        return layer.a(h) + layer.b(h).relu()
    if isinstance(layer, Shortcut):
        return layer.a(layer.norm1(x)).relu()
    if isinstance(layer, InARow):
        return layer.second.linear(layer.first.linear(x).tanh()).tanh()
    if isinstance(layer, Nested):
        return layer.first(layer.norm1(x))
    if isinstance(layer, Masked):
        batch, tokens, width = x.shape
        h = layer.a(layer.norm1(x)).reshape(batch, tokens, 2, width // 2).transpose(1, 2)
        mask = torch.ones(5, 5).tril().bool()
        h = F.scaled_dot_product_attention(h / 2.0, h, h, mask).transpose(1, 2)
        return layer.b(layer.norm2(h.reshape(x.shape)))
    return layer.norm(layer.conv(x)).relu()


@every_form
def test_long_connections_are_equation_one(layer: type[nn.Module]) -> None:
    model = network(layer)
    net = ac.convert(model, "acn", example=images())
    x = model.embed(images())
    total = x
    for one in model.layers:
        x = acn_layer(one, x)
        total = total + x
    torch.testing.assert_close(net(images()), model.head(total.mean(1)))


def test_weights_stay_live_through_copies_and_cuts() -> None:
    net = ac.convert(network(PreNorm), "acn", example=images())
    small = copy.deepcopy(ac.cut(net, 2))
    before = small(images())
    with torch.no_grad():
        small.trunk[0].a.weight.mul_(2.0)
    assert not torch.equal(small(images()), before)
    assert torch.equal(ac.cut(net, 2)(images()), before)


def test_shared_weights_with_the_original() -> None:
    model = network(PreNorm)
    net = ac.convert(model, "residual", example=images(), copy=False)
    with torch.no_grad():
        model.layers[1].a.weight.mul_(2.0)
    assert torch.equal(net(images()), model(images()))


def test_a_plan_leaves_batch_statistics_and_random_numbers_alone() -> None:
    model = network(Conv)
    state, random = copy.deepcopy(model.state_dict()), torch.get_rng_state()
    assert ac.plan(model, example=images())
    assert all(torch.equal(state[key], value) for key, value in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), random)


# -- refused ---------------------------------------------------------------------------------------


class NoSkip(Parts):
    def forward(self, x: Tensor) -> Tensor:
        return self.b(self.a(x).relu())


class Scaled(Parts):
    def forward(self, x: Tensor) -> Tensor:
        return self.norm1(0.5 * x + self.a(x))


class Gated(Parts):
    def forward(self, x: Tensor) -> Tensor:
        return (x + self.a(x)) * self.b(x).sigmoid()


class Half(Parts):
    """One skip is plain, the other goes through a layer."""

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.a(x)
        return self.norm1(x) + self.b(x)


class Branching(Parts):
    def forward(self, x: Tensor) -> Tensor:
        return x + self.a(x) if x.sum() > 0 else x


class Pair(Parts):
    def forward(self, x: Tensor) -> tuple[Tensor, None]:
        return x + self.a(x), None


class Constant(Parts):
    def forward(self, x: Tensor) -> Tensor:
        return x + self.a(x) * torch.tensor([0.5])


class Wild(Parts):
    """What one trace sees is not what the next call does."""

    calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return x + self.a(x) * self.calls


class Broadcast(Parts):
    """The result has another shape than x."""

    def forward(self, x: Tensor) -> Tensor:
        return x + self.a(x).unsqueeze(0)


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        (NoSkip, r"no addition on the way from its input to its output is x \+ f\(x\)"),
        (Scaled, "are added, and neither is just what came before"),
        (Gated, r"no addition .* is x \+ f\(x\)"),
        (Half, "norm1 and b are added, and neither is just what came before"),
        (Branching, "cannot be traced .*control flow"),
        (Constant, "makes a constant tensor"),
        (Wild, "computes something else: in training its output differs by"),
        (Broadcast, r"changes the shape, \(2, 5, 6\) to \(1, 2, 5, 6\)"),
    ],
)
def test_what_cannot_be_proven_is_refused(layer: type[nn.Module], reason: str) -> None:
    model = network(layer)
    found = ac.plan(model, example=images())
    assert not found
    with pytest.raises(ConvertError, match=reason):
        ac.convert(model, example=images())


def test_layers_that_return_more_than_a_tensor() -> None:
    class Unpacks(Net):
        def forward(self, x: Tensor) -> Tensor:
            x = self.embed(x)
            for layer in self.layers:
                x, _ = layer(x)
            return self.head(x.mean(1))

    with pytest.raises(ConvertError, match="returns a tuple, not a tensor"):
        ac.convert(Unpacks(Pair).eval(), example=images())


def test_arguments_that_the_code_does_not_hold_for() -> None:
    model = network(Masked)
    net = ac.convert(model, "residual", example=images())
    net.model.arguments = {**net.model.arguments, "temperature": 3.0}
    with pytest.raises(ConvertError, match="is called with others"):
        net(images())
    net.model.arguments = {"mask": None, "causal": True, "temperature": 2.0}
    with pytest.raises(ConvertError, match="is called with others"):
        net(images())


def test_examples_that_the_network_does_not_take() -> None:
    assert (
        "does not take the example" in ac.plan(network(PreNorm), example=torch.randn(2)).refusals[0]
    )


# -- torch's own layer -----------------------------------------------------------------------------


@pytest.mark.parametrize("norm_first", [True, False])
def test_torch_encoder_layers_are_known(norm_first: bool) -> None:
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, norm_first=norm_first)
    model = nn.TransformerEncoder(layer, 3, enable_nested_tensor=False).eval()
    x, padding = torch.randn(2, 5, 8), torch.zeros(2, 5, dtype=torch.bool)
    padding[0, 3:] = True
    batch = {"src": x, "src_key_padding_mask": padding}
    net = ac.convert(model, "residual", example=batch)
    assert ac.plan(model).stages[0].route == "registered"
    assert torch.equal(net(batch), model(**batch))
    small = ac.cut(net, 2)
    assert small.model.num_layers == 2
    assert torch.equal(small(batch), net(batch, depth=2))


def test_a_library_network_split_by_its_graph_is_saved(tmp_path: Path) -> None:
    """A folder holds no batch, so its owner converts a fresh host, as with a class of their own."""
    import timm

    def host() -> nn.Module:
        sizes = {"img_size": 16, "patch_size": 8, "embed_dim": 8, "num_heads": 2, "num_classes": 3}
        return timm.create_model("cait_xxs24_224", depth=3, depth_token_only=1, **sizes).eval()

    x = torch.randn(2, 3, 16, 16)
    small = ac.cut(ac.convert(host(), "acn", example=x), 2)
    ac.save(small, tmp_path)
    with pytest.raises(CheckpointError, match=r"Cait.*load\(FOLDER, model="):
        ac.load(tmp_path)
    again = ac.load(tmp_path, model=ac.convert(host(), example=x))
    assert torch.equal(again(x), small(x))
