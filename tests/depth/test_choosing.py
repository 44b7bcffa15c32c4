"""Layers left out of the middle of a residual network, and the choice of them."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import autocompress as ac
from autocompress.errors import ConfigError, DepthError, UnknownNameError
from hosts import batch, host, output
from models_table import CONNECTIVITIES, DEPTH, RIVALS, inputs, make
from toy import source

SOME = st.lists(st.integers(0, DEPTH - 1), unique=True).map(sorted)


def without(net: ac.Network, kept: list[int], x: torch.Tensor) -> torch.Tensor:
    """The output of the blocks in ``kept``, called by hand as a residual network."""
    with torch.no_grad():
        state = net.stem(x)
        for index in kept:
            state = net.trunk.blocks[index](state, 1.0)
        return net.head(state)


@pytest.mark.parametrize("model", ["mlp", "mixer", "vit", "encoder", "decoder"])
@settings(max_examples=8)
@given(kept=SOME)
def test_a_residual_network_keeps_the_layers_that_are_named(model: str, kept: list[int]) -> None:
    net = make(model, "residual")
    small, x = net.cut(kept), inputs(model)
    assert small.depth == len(kept)
    torch.testing.assert_close(small(x), without(net, kept, x))
    if kept:
        first = next(small.trunk.blocks[0].parameters())
        assert first.data_ptr() != next(net.trunk.blocks[kept[0]].parameters()).data_ptr()


@pytest.mark.parametrize("rule", sorted(set(CONNECTIVITIES | RIVALS) - {"residual"}))
def test_another_rule_only_loses_its_last_layers(rule: str) -> None:
    net, x = make("mlp", rule), inputs("mlp")
    assert torch.equal(ac.cut(net, [0, 1])(x), ac.cut(net, 2)(x))
    with pytest.raises(ConfigError, match="only a residual network allows"):
        ac.cut(net, [0, 2])


@pytest.mark.parametrize("kept", [[1, 0], [0, 0, 1], [-1, 2]])
def test_layers_that_cannot_be_kept(kept: list[int]) -> None:
    with pytest.raises((ConfigError, DepthError)):
        ac.cut(make("mlp", "residual"), kept)
    with pytest.raises(DepthError):
        ac.cut(make("mlp", "residual"), [0, DEPTH])


@pytest.mark.parametrize("name", ["hf-bert", "hf-gpt2", "timm-vit"])
def test_a_converted_network_is_its_host_without_the_others(name: str, tmp_path: Path) -> None:
    pytest.importorskip(name.partition("-")[0].replace("hf", "transformers"))
    model = host(name)
    net = ac.convert(model, "residual")
    assert isinstance(net, ac.Converted)
    small = ac.cut(net, [0, net.depth - 1])
    x = batch(model)
    seen = output(ac.restore(small), x)
    ac.save(small, tmp_path / "small")
    torch.testing.assert_close(output(ac.load(tmp_path / "small"), x), seen, rtol=0, atol=0)
    layers = model.get_submodule(net.paths[0])
    assert isinstance(layers, nn.ModuleList | nn.Sequential)
    for index in sorted(range(1, net.depth - 1), reverse=True):
        del layers[index]
    for place, layer in enumerate(layers):
        for module in layer.modules():
            if hasattr(module, "layer_idx"):  # the place in the cache of keys and values
                module.layer_idx = place  # type: ignore[assignment]
    torch.testing.assert_close(output(model, x), seen)


def test_the_greedy_choice_is_the_best_that_leaves_out_one() -> None:
    net, data = make("mixer", "residual"), source(60)
    losses = {
        kept: ac.probe(ac.cut(net, kept), data).losses[-1]  # type: ignore[index]
        for kept in combinations(range(DEPTH), DEPTH - 1)
    }
    best = min(losses, key=lambda kept: losses[kept])
    assert tuple(ac.choose_layers(net, DEPTH - 1, data)) == best
    fewer = ac.choose_layers(net, DEPTH - 2, data)
    assert set(fewer) < set(best)
    after = [
        ac.probe(ac.cut(net, [i for i in best if i != out]), data).losses[-1]  # type: ignore[index]
        for out in best
    ]
    assert after[best.index((set(best) - set(fewer)).pop())] == min(after)


@pytest.mark.parametrize(
    ("options", "error"),
    [({}, ConfigError), ({"by": "loudness"}, UnknownNameError), ({"count": 9}, DepthError)],
)
def test_wrong_choices(options: dict[str, object], error: type[Exception]) -> None:
    with pytest.raises(error):
        ac.choose_layers(make("mlp", "residual"), **{"count": 2, **options})  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="only a residual network"):
        ac.choose_layers(make("mlp", "acn"), 2, by="spread")


def test_every_other_layer() -> None:
    assert ac.choose_layers(make("mlp", "residual"), 2, by="spread") == [0, 2]
    assert ac.choose_layers(make("mlp", "acn"), 2, by="first") == [0, 1]
