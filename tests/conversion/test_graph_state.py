"""Layers that keep something of each pass, or whose options change after they were split."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import prune

import autocompress as ac
from autocompress.errors import ConvertError

WIDTH = 6


class Layer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.norm = nn.Linear(WIDTH, WIDTH), nn.LayerNorm(WIDTH)
        self.register_buffer("mean", torch.zeros(WIDTH))
        self.mean: Tensor
        self.p = 0.4
        self.seen: Any = None


class OwnStatistics(Layer):
    """It centres by the batch in training, and in evaluation by what it has seen there."""

    def forward(self, x: Tensor) -> Tensor:
        h = self.a(self.norm(x))
        if self.training:
            now = h.mean((0, 1))
            self.mean.lerp_(now.detach(), 0.1)
            return x + (h - now)
        return x + (h - self.mean)


class ByElement(OwnStatistics):
    def forward(self, x: Tensor) -> Tensor:
        h = self.a(self.norm(x))
        if self.training:
            self.mean[:] = h.detach().mean((0, 1))
        return x + h


class Penalty(Layer):
    """What it adds to the loss is read from the layer after each pass."""

    def forward(self, x: Tensor) -> Tensor:
        h = self.a(self.norm(x))
        self.seen = h.square().mean()
        return x + h


class Lazy(Layer):
    """What it keeps from its first pass stays the same."""

    def forward(self, x: Tensor) -> Tensor:
        if self.seen is None:
            self.seen = self.p / 2
        return x + self.a(self.norm(x)) * self.seen


class Pruned(Layer):
    """A hook of its part sets the part's weight in each pass, by graph as well."""

    def __init__(self) -> None:
        super().__init__()
        prune.l1_unstructured(self.a, "weight", 0.5)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.a(self.norm(x))


class Dropping(Layer):
    def forward(self, x: Tensor) -> Tensor:
        return x + F.dropout(self.a(self.norm(x)), self.p, self.training)


class Scale(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.by = 0.5

    def forward(self, x: Tensor) -> Tensor:
        return x + self.by * x.tanh()


class Inside(Layer):
    """The skip stands in a part, so the part is traced as well."""

    def __init__(self) -> None:
        super().__init__()
        self.part = Scale()

    def forward(self, x: Tensor) -> Tensor:
        return self.part(x)


class Net(nn.Module):
    def __init__(self, layer: type[nn.Module]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.ModuleList(layer() for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x)
        return x


def rows(batch: int = 2) -> Tensor:
    return torch.randn(batch, 5, WIDTH, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        (OwnStatistics, "in training its buffer mean differs by"),
        (ByElement, "in training its buffer mean differs by"),
        (Penalty, "sets its attribute 'seen' in each pass"),
    ],
)
def test_what_branches_would_not_keep_is_refused(layer: type[nn.Module], reason: str) -> None:
    with pytest.raises(ConvertError, match=reason):
        ac.convert(Net(layer), example=rows())


def test_branches_of_a_users_own_keep_buffers_as_well() -> None:
    def forgetful(layer: Any, x: Tensor, skip: Any) -> Tensor:
        h = layer.a(layer.norm(x))
        return ac.add_skip(h - (h.mean((0, 1)) if layer.training else layer.mean), x, skip)

    def careful(layer: Any, x: Tensor, skip: Any) -> Tensor:
        return ac.add_skip(OwnStatistics.forward(layer, x) - x, x, skip)

    model = Net(OwnStatistics)
    with pytest.raises(ConvertError, match=r"its buffer layers\.0\.mean differs by"):
        ac.convert(model, branches=forgetful, example=rows())
    net = ac.convert(model, "residual", branches=careful, example=rows())
    assert torch.equal(net.model.get_buffer("layers.0.mean"), torch.zeros(WIDTH))


@pytest.mark.parametrize("layer", [Lazy, Pruned])
def test_what_is_made_once_or_by_a_part_is_no_obstacle(layer: type[nn.Module]) -> None:
    model = Net(layer).eval()
    net = ac.convert(model, "residual", example=rows())
    assert torch.equal(net(rows(4)), model(rows(4)))


@pytest.mark.parametrize(("layer", "name"), [(Dropping, "p"), (Inside, "part.by")])
def test_an_option_that_changes_later_is_not_ignored(layer: type[nn.Module], name: str) -> None:
    """A graph holds the numbers and flags that the layer had when it was traced."""
    net = ac.convert(Net(layer), "residual", example=rows())
    for one in (net, ac.cut(net, 2), copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert torch.isfinite(one(rows())).all()
        block: Any = one.trunk.blocks[1]
        owner = block.get_submodule(name.rpartition(".")[0])
        before = getattr(owner, name.rpartition(".")[2])
        setattr(owner, name.rpartition(".")[2], 0.1)
        with pytest.raises(ConvertError, match=f"its {name} was {before}, and it is now 0.1"):
            one(rows())
        setattr(owner, name.rpartition(".")[2], before)
        assert torch.isfinite(one(rows())).all()


def test_layers_of_other_options_and_the_compiler() -> None:
    model = Net(Dropping)
    for index, layer in enumerate(model.layers):
        layer.p = 0.1 * index
    net = ac.convert(model, "residual", example=rows()).train()
    torch.manual_seed(0)
    expected = model.train()(rows())
    torch.manual_seed(0)
    assert torch.equal(net(rows()), expected)
    compiled = torch.compile(net.eval(), fullgraph=True, backend="eager")
    assert torch.equal(compiled(rows(3)), net(rows(3)))


@pytest.mark.parametrize("enabled", [False, True])
def test_a_layer_that_sets_autocast_itself_is_refused(enabled: bool) -> None:
    """A graph would lose it: in training with bf16, what is kept in fp32 would not be any more."""

    class Careful(Layer):
        def forward(self, x: Tensor) -> Tensor:
            with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
                return x + self.a(self.norm(x.float())).float()

    with pytest.raises(ConvertError, match="it enters torch.autocast"):
        ac.convert(Net(Careful), "residual", example=rows())
    with torch.autocast("cpu", torch.bfloat16):  # around the network it is the user's to choose
        ac.convert(Net(Dropping), "residual", example=rows())


class Replacing(Layer):
    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.mean = 0.9 * self.mean + 0.1 * x.detach().mean((0, 1))
        return x + self.a(self.norm(x)) - self.mean


def test_a_buffer_that_is_replaced_in_training_is_left_as_it_was() -> None:
    def branch(layer: Any, x: Tensor, skip: Any) -> Tensor:
        return ac.add_skip(Replacing.forward(layer, x) - x, x, skip)

    model = Net(Replacing).eval()
    net = ac.convert(model, "residual", branches=branch, example=rows())
    for one in (model, net):
        assert all(torch.equal(buffer, torch.zeros(WIDTH)) for buffer in one.buffers())


class Normed(nn.Module):
    """Batch norm trains on no batch of one row."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.norm = nn.Linear(WIDTH, WIDTH), nn.BatchNorm1d(WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.a(self.norm(x))


class Lowered(Net):
    """Its layers are given bfloat16, which they take inside its autocast only."""

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            return super().forward(x.bfloat16())


@pytest.mark.parametrize(
    ("model", "example", "mode"),
    [(Net(Normed), torch.ones(1, WIDTH), "training"), (Lowered(Pruned), rows(), "evaluation")],
)
def test_a_layer_that_does_not_run_by_itself_is_refused(
    model: nn.Module, example: Tensor, mode: str
) -> None:
    def branch(layer: Any, x: Tensor, skip: Any) -> Tensor:
        return ac.add_skip(layer.a(layer.norm(x)), x, skip)

    with pytest.raises(ConvertError, match=f"by itself in {mode} .*more rows, or .* branches="):
        ac.convert(model.eval(), "residual", example=example)
    net = ac.convert(model, "residual", branches=branch, example=example).eval()
    assert torch.equal(net(example), model(example))
