"""Hidden states are the layers' outputs or the readouts, as asked for, and never stand-ins."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor, nn

import autocompress as ac
from autocompress.errors import ConfigError, ConvertError, UnknownNameError
from hosts import batch, host

#: DeBERTa collects the states in its own loop, the others by hooks; Llama's last one is normed.
NAMES = ["hf-bert", "hf-deberta-v2", "hf-llama", "hf-vit", "hf-dinov2"]


def states(model: Any, name: str) -> tuple[Tensor, ...]:
    with torch.no_grad():
        found: tuple[Tensor, ...] = model(**batch(host(name)), output_hidden_states=True)[
            "hidden_states"
        ]
    return found


def trunk_states(net: Any, name: str) -> tuple[list[Tensor], list[Tensor]]:
    """What the layers return and what the head reads, by the connectivity's own running state."""
    layers: list[Tensor] = []
    handles = [
        block.register_forward_hook(lambda _, __, out: layers.append(out))
        for block in net.trunk.blocks
    ]
    with torch.no_grad():
        x0 = net.stem(batch(host(name)))
        readouts = [net.trunk.connectivity.readout(s.inner) for s in net.states(batch(host(name)))]
    for handle in handles:
        handle.remove()
    return [x0, *(out[0] if isinstance(out, tuple) else out for out in layers)], readouts


@pytest.mark.parametrize("name", NAMES)
def test_both_kinds(name: str, tmp_path: Path) -> None:
    plain = host(name)
    expected = states(plain, name)
    for kind in ("layers", "readouts"):
        net = ac.convert(plain, "residual")
        net.hidden_states_are = kind
        found = states(net.model, name)
        assert len(found) == len(expected)
        assert all(map(torch.equal, found, expected))
        assert all(map(torch.equal, states(net, name), expected))

    net = ac.convert(plain, "acn")
    assert net.hidden_states_are == "layers"
    layers, readouts = trunk_states(net, name)
    assert all(map(torch.equal, states(net.model, name)[:-1], layers[:-1]))
    assert not torch.allclose(layers[2], readouts[2])
    net.hidden_states_are = "readouts"
    found = states(net.model, name)
    assert all(map(torch.equal, found[:-1], readouts[:-1]))
    with torch.no_grad():
        if "last_hidden_state" not in plain(**batch(plain)) and name != "hf-llama":
            assert torch.equal(found[-1], readouts[-1])
    net.model.save_pretrained(tmp_path)
    again = type(net.model).from_pretrained(tmp_path)
    assert all(map(torch.equal, states(again, name), found))
    small = ac.cut(net, 2)
    assert all(map(torch.equal, states(small.model, name)[:2], found[:2]))
    ac.save(net, tmp_path / "ours")
    loaded: Any = ac.load(tmp_path / "ours")
    assert loaded.hidden_states_are == "readouts"
    assert all(map(torch.equal, states(loaded, name), found))


def test_a_depth_shows_its_own_states_each_time() -> None:
    net, inputs = ac.convert(host("hf-bert"), "acn"), batch(host("hf-bert"))
    with torch.no_grad():
        for _ in range(2):
            assert len(net(**inputs, depth=2, output_hidden_states=True).hidden_states) == 3
            assert len(net(**inputs, output_hidden_states=True).hidden_states) == net.depth + 1


def test_readouts_have_gradients() -> None:
    net = ac.convert(host("hf-bert"), "acn")
    net.hidden_states_are = "readouts"
    out = net(**batch(host("hf-bert")), output_hidden_states=True)
    out.hidden_states[1].sum().backward()
    grads = [next(block.parameters()).grad for block in net.trunk.blocks]
    assert grads[0] is not None
    assert all(grad is None for grad in grads[1:])


@torch.no_grad()
def test_timms_intermediates(tmp_path: Path) -> None:
    plain, x = host("timm-vit"), batch(host("timm-vit"))["x"]
    net = ac.convert(plain, "residual")
    final, expected = plain.forward_intermediates(x, norm=True)
    for kind in ("readouts", "layers"):
        net.hidden_states_are = kind
        out, found = net.model.forward_intermediates(x, norm=True)
        torch.testing.assert_close(out, final)
        for ours, theirs in zip(found, expected, strict=True):
            torch.testing.assert_close(ours, theirs)
    net = ac.convert(plain, "acn")
    out, readouts = net.model.forward_intermediates(x)
    before = set(vars(net.trunk.blocks[0]))
    net.hidden_states_are = "layers"
    again, layers = net.model.forward_intermediates(x)
    assert torch.equal(out, again)
    taken: list[Tensor] = []
    handle = net.trunk.blocks[2].register_forward_hook(lambda _, __, out: taken.append(out))
    net(x)
    handle.remove()
    patches = taken[0][:, net.model.num_prefix_tokens :].transpose(1, 2)
    assert torch.equal(layers[2].flatten(2), patches)
    assert not torch.allclose(layers[2], readouts[2])
    only = net.model.forward_intermediates(x, indices=[1], intermediates_only=True)
    assert torch.equal(only[0], layers[1])
    ac.save(ac.cut(net, 3), tmp_path / "net")
    loaded: Any = ac.load(tmp_path / "net")
    assert loaded.hidden_states_are == "layers"
    assert torch.equal(loaded.model.forward_intermediates(x)[1][1], layers[1])
    config = json.loads((tmp_path / "net" / "config.json").read_text())
    assert config["hidden_states_are"] == "layers"
    net.hidden_states_are = "readouts"
    assert "hidden_states_are" not in net.recipe()  # as every folder before
    assert set(vars(net.trunk.blocks[0])) == before  # nothing of a pass stays on a layer
    with pytest.raises(UnknownNameError, match="hidden states"):
        net.hidden_states_are = "both"


@pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")
def test_no_stand_in_is_handed_out() -> None:
    net = ac.convert(host("hf-bert"), "acn")
    layers = net.model.bert.encoder.layer
    for taken in (copy.deepcopy(layers[0]), copy.copy(layers[0])):
        assert isinstance(taken, transformers.models.bert.modeling_bert.BertLayer)
    own = copy.deepcopy(layers[0])
    assert own.output.dense.weight is not layers[0].output.dense.weight
    with pytest.raises(TypeError):
        nn.Sequential(layers[0])
    for change in (layers.append, layers.extend, layers.insert, layers.pop):
        with pytest.raises(ConfigError, match="exchanged"):
            change(own)
    for model in (net, net.model):
        with pytest.raises(ConvertError, match=r"use torch\.compile"):
            torch.jit.script(model)
