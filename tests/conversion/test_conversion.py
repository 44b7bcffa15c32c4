"""Every supported network: conversion at (1, 0) is exact, and every depth is the cut's."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import nn

import autocompress as ac
from hosts import DECODERS, HOSTS, batch, every_host, every_kind, host, output
from marks import slow_but
from models_table import depths_of

HYBRID = {"name": "plane", "short": 0.3, "long": 0.7, "inner": 1.0}


def inputs_of(net: ac.Converted, model: nn.Module) -> Any:
    inputs = batch(model)
    return inputs.get("x", inputs)


@every_host
@torch.no_grad()
def test_a_residual_conversion_computes_what_the_original_does(name: str) -> None:
    model = host(name)
    before = copy.deepcopy(model.state_dict())
    expected = output(model, batch(model))
    net = ac.convert(model, "residual")
    assert float((net(inputs_of(net, model)) - expected).abs().max()) <= 1e-6
    assert float((output(net.model, batch(model)) - expected).abs().max()) <= 1e-6
    assert net.model.state_dict().keys() == before.keys()
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    assert torch.equal(output(model, batch(model)), expected)
    assert type(model).__name__ in type(net.model).__name__


@every_kind
def test_gradients_are_the_originals_also_in_training(name: str) -> None:
    """Same dropout and drop-path draws, same loss, same gradient of every parameter."""
    model = host(name)
    net = ac.convert(model.train(), "residual")
    assert net.training
    assert all(m.training for m in net.model.modules())
    losses = []
    for one in (model, net.model):
        torch.manual_seed(7)
        loss = output(one, batch(model)).square().mean()
        loss.backward()
        losses.append(float(loss.detach()))
    assert losses[0] == pytest.approx(losses[1], abs=1e-6)
    wanted = {key: p.grad for key, p in model.named_parameters()}
    for key, parameter in net.model.named_parameters():
        if wanted[key] is None:
            assert parameter.grad is None
        else:
            torch.testing.assert_close(parameter.grad, wanted[key], atol=1e-6, rtol=1e-5)


@every_kind
@pytest.mark.parametrize(
    "connectivity", slow_but(["residual", "acn", HYBRID, "hacn"], ["acn", HYBRID]), ids=str
)
@torch.no_grad()
def test_readout_equals_early_stop_equals_cut_bit_for_bit(name: str, connectivity: Any) -> None:
    model = host(name)
    net = ac.convert(model, connectivity).eval()
    x = inputs_of(net, model)
    readouts = list(net.readouts(x))
    assert len(readouts) == net.depth + 1
    for k, logits in enumerate(readouts):
        small = ac.cut(net, k)
        assert small.depth == k == small.config["depth"]
        assert torch.equal(logits, net(x, depth=k))
        assert torch.equal(logits, small(x))
    assert torch.equal(readouts[-1], net(x))


@every_kind
@torch.no_grad()
def test_one_pass_runs_every_layer_and_the_stem_once(name: str) -> None:
    model = host(name)
    net = ac.convert(model, "acn")
    layers = [layer for trunk in net.trunks for layer in trunk.blocks]
    calls: list[int] = []
    for index, layer in enumerate(layers):
        layer.register_forward_hook(lambda *_, index=index: calls.append(index))
    embeddings = [m for m in net.model.modules() if isinstance(m, (nn.Embedding, nn.Conv1d))]
    stem = (embeddings or [m for m in net.model.modules() if isinstance(m, nn.Conv2d)])[0]
    stem.register_forward_hook(lambda *_: calls.append(-1))
    list(net.readouts(inputs_of(net, model)))
    assert [call for call in calls if call >= 0] == list(range(len(layers)))
    if name != "timm-convmixer":  # its stem is called whole, so its convolution is not met again
        assert calls.count(-1) == 1


@every_kind
def test_shared_weights_are_the_originals(name: str) -> None:
    model = host(name)
    net = ac.convert(model, copy=False)
    theirs = {key: p.data_ptr() for key, p in model.named_parameters()}
    assert {key: p.data_ptr() for key, p in net.model.named_parameters()} == theirs
    copied = {p.data_ptr() for p in ac.convert(model).parameters()}
    assert not copied & set(theirs.values())
    assert not any("autocompress" in type(m).__module__ for m in model.modules())


#: One host of each library; a compilation takes seconds.
COMPILED = ("hf-llama", "timm-swin")


@pytest.mark.parametrize("name", slow_but(HOSTS, COMPILED))
def test_it_compiles_without_graph_breaks(name: str) -> None:
    model = host(name)
    net = ac.convert(model, "acn")
    x = inputs_of(net, model)
    compiled = torch.compile(net, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(x), net(x), atol=1e-5, rtol=1e-4)


@every_kind
@torch.no_grad()
def test_equation_1_by_hand(name: str) -> None:
    """y = sum of x_i with x_i = f_i(x_{i-1}): the layers called one by one, their skips at 0."""
    model = host(name)
    net = ac.convert(model, "acn")
    if len(net.trunks) > 1:
        pytest.skip("one sum per stage: see the test of stages")
    x = inputs_of(net, model)
    begun = net.begin(x)
    xs = [net.trunk.connectivity.readout(begun.inner)]
    for layer, (args, kwargs) in zip(net.trunk.blocks, begun.context["calls"], strict=True):
        h = xs[-1]
        for branch in layer.branches:
            h = branch(h, 0.0, *args, **kwargs)
        xs.append(h)
    for k, logits in depths_of(net, x):
        readout = torch.stack(xs[: k + 1]).sum(0)
        torch.testing.assert_close(logits, net.head(readout, x), atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_stages_have_their_own_sums() -> None:
    """In a stage-wise network the sum starts anew in every stage, after its downsampling."""
    model = host("timm-convnext")
    net = ac.convert(model, "acn")
    x = model.stem(batch(model)["x"])
    for stage in model.stages:
        x = stage.downsample(x)
        total = x
        for block in stage.blocks:
            x = block(x) - block.shortcut(x)
            total = total + x
        x = total
    expected = model.forward_head(model.norm_pre(x))
    torch.testing.assert_close(net(batch(model)["x"]), expected, atol=1e-5, rtol=1e-4)


@every_kind
@torch.no_grad()
def test_saved_and_loaded_without_the_original(name: str, tmp_path: Any) -> None:
    model = host(name)
    net = ac.cut(ac.convert(model, "acn"), 2)
    x = inputs_of(net, model)
    expected = net(x)
    own = net.config["source"] == "own"
    ac.save(net, tmp_path / "small")
    again = ac.load(tmp_path / "small", model=HOSTS[name]() if own else None)
    assert torch.equal(again(x), expected)
    assert again.depth == 2
    assert again.rule() == "acn"


@pytest.mark.parametrize("name", DECODERS)
def test_generation_with_a_cache_equals_generation_without(name: str) -> None:
    model = host(name)
    net = ac.cut(ac.convert(model, "acn"), 3)
    inputs = batch(model)
    inputs["attention_mask"] = inputs["attention_mask"].flip(1)  # padding stands on the left
    options = {"max_new_tokens": 12, "do_sample": False, "pad_token_id": 0}
    cached = net.model.generate(**inputs, **options, use_cache=True)
    assert torch.equal(cached, net.model.generate(**inputs, **options, use_cache=False))
    states = net.model.generate(
        **inputs, **options, return_dict_in_generate=True, use_cache=True
    ).past_key_values
    assert len(states) == 3 == net.model.config.num_hidden_layers


def test_hosts_whose_linear_layers_are_not_torchs() -> None:
    def paper(name: str) -> int:
        model = host(name)
        return ac.measure(ac.convert(model, "residual"), batch(model), latency=False).flops_paper

    assert paper("timm-beit") == paper("timm-vit")  # its qkv goes through F.linear
    tokens, width, vocabulary = 9, 16, 40  # GPT-2's Conv1D is a class of its own
    assert paper("hf-gpt2") == 2 * tokens * (4 * 12 * width**2 + vocabulary * width)
