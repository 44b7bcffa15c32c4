"""What a subclass of Network may override, and what it may not."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import nn

import autocompress as ac
from autocompress.errors import ConfigError
from autocompress.network import Network
from autocompress.trunk import Block, Branch, Trunk
from models_table import make

FINAL = {
    "_from_pretrained",
    "_save_pretrained",
    "check_depth",
    "check_savable",
    "cut",
    "first",
    "from_pretrained",
    "keep",
    "predict",
    "readouts",
    "settle",
}


class Words(Network):
    """A network that takes token ids and says nothing of images."""

    def __init__(self, depth: int = 2, width: int = 4, connectivity: Any = "acn") -> None:
        blocks = [Block([Branch(nn.Linear(width, width), nn.Identity())]) for _ in range(depth)]
        super().__init__(nn.Embedding(7, width), Trunk(blocks, connectivity), nn.Linear(width, 3))


def test_what_is_final() -> None:
    methods = {name: inspect.getattr_static(Network, name) for name in dir(Network)}
    assert {name for name, of in methods.items() if getattr(of, "__final__", False)} == FINAL


@pytest.mark.parametrize("name", sorted(FINAL))
def test_a_final_method_is_not_overridden(name: str) -> None:
    with pytest.raises(ConfigError, match=f"Mine overrides {name}, .*Override states, read, only"):
        type("Mine", (ac.models.MLP,), {name: lambda self, *_: self})


def test_nor_by_a_class_that_comes_first() -> None:
    class Quick:
        def readouts(self, x: torch.Tensor) -> Iterator[torch.Tensor]:
            yield x

    with pytest.raises(ConfigError, match="Mine overrides readouts"):
        type("Mine", (Quick, ac.models.Mixer), {})


@pytest.mark.parametrize("model", ["mlp", "branched"])
@pytest.mark.parametrize("shorten", [Network.cut, Network.keep])
def test_cut_and_keep_tell_the_network(
    model: str, shorten: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    net = make(model, "acn")
    told: list[int] = []
    monkeypatch.setattr(type(net), "shortened", lambda self: told.append(self.depth))
    small = shorten(net, 1) or net
    assert small.depth == 1
    assert told == [1]


def test_a_second_name_of_the_layers_does_not_keep_them() -> None:
    net = Words()
    net.layers, net.note = net.trunk.blocks, nn.Linear(2, 2)
    small = net.cut(1)
    assert (hasattr(small, "layers"), small.note.weight.shape) == (False, (2, 2))
    per_layer = sum(p.numel() for p in net.trunk.blocks[0].parameters())
    sizes = [sum(p.numel() for p in each.parameters()) for each in (net, small)]
    assert sizes[0] - sizes[1] == (net.depth - 1) * per_layer


def test_inputs_of_a_network_that_takes_no_images_are_its_own_to_say() -> None:
    with pytest.raises(ConfigError, match=r"Words has no image_size .* override example"):
        Words().example()
