"""Hosts that compute in place on what their stem or their layers return."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import autocompress as ac

WIDTH = 8


class Layer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.norm = nn.Linear(WIDTH, WIDTH), nn.LayerNorm(WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.a(self.norm(x))


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem, self.place = nn.Linear(4, WIDTH), nn.Parameter(torch.randn(5, WIDTH))
        self.layers = nn.ModuleList(Layer() for _ in range(4))
        self.act, self.head = nn.ReLU(inplace=True), nn.Linear(WIDTH, 3)

    def run(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x)
        return x


class Positions(Net):
    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x += self.place
        return self.head(self.run(x).mean(1))


class Element(Net):
    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x[:, 0] = x[:, 0] * 0.5
        return self.head(self.run(x).mean(1))


class Activation(Net):
    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.act(self.run(self.act(self.stem(x)))).mean(1))


class LongSkip(Net):
    """It uses the stem's output again, after the layers."""

    def forward(self, x: Tensor) -> Tensor:
        first = self.stem(x)
        x = self.run(self.place + first)
        return self.head((x + first.mul_(2.0)).mean(1))


@pytest.mark.parametrize("host", [Positions, Element, Activation, LongSkip])
@pytest.mark.parametrize("rule", ["residual", "acn"])
@torch.no_grad()
def test_readouts_are_those_of_the_cuts(host: type[Net], rule: str) -> None:
    x = torch.randn(3, 5, 4, generator=torch.Generator().manual_seed(1))
    net = ac.convert(host().eval(), rule, example=x)
    cuts = [ac.cut(net, depth)(x) for depth in range(5)]
    kept = list(net.readouts(x))
    for depth, (cut, readout) in enumerate(zip(cuts, kept, strict=True)):
        assert torch.equal(readout, cut)
        assert torch.equal(net(x, depth=depth), cut)


@pytest.mark.parametrize("host", [Positions, LongSkip])
def test_gradients_through_all_depths(host: type[Net]) -> None:
    x = torch.randn(3, 5, 4, generator=torch.Generator().manual_seed(1))
    net = ac.convert(host(), "acn", example=x)
    weights = list(net.parameters())
    at_once = torch.autograd.grad(torch.stack(list(net.readouts(x))).sum(), weights)
    one_by_one = torch.stack([net(x, depth=depth) for depth in range(5)]).sum()
    expected = torch.autograd.grad(one_by_one, weights)
    for found, wanted in zip(at_once, expected, strict=True):
        torch.testing.assert_close(found, wanted)
