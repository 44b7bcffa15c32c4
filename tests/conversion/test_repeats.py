"""Layers that stand in a list more than once, and hosts that call theirs in ways of their own."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import autocompress as ac
from autocompress.errors import ConvertError
from hosts import DEPTH, batch, host, output
from models_table import depths_of


class Layer(nn.Module):
    """x + f(x), of a class that nobody registered."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.norm, self.body = nn.LayerNorm(width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(self.norm(x))


class Net(nn.Module):
    """Layers, and what is done with them."""

    def __init__(self, layers: nn.Module, loop: Any) -> None:
        super().__init__()
        self.embed, self.layers, self.head = nn.Linear(4, 8), layers, nn.Linear(8, 3)
        self.loop = loop

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.loop(self, self.embed(x)))


def in_order(net: Any, x: Tensor) -> Tensor:
    for layer in net.layers:
        x = layer(x)
    return x


def by_index(net: Any, x: Tensor) -> Tensor:
    for index in range(len(net.layers)):
        x = net.layers[index](x)
    return x


def branch(layer: Any, x: Tensor, skip: Any) -> Tensor:
    return ac.add_skip(layer.body(layer.norm(x)), x, skip)


def layers(order: tuple[int, ...], container: Any = nn.ModuleList) -> nn.Module:
    torch.manual_seed(0)
    made = [Layer() for _ in range(max(order) + 1)]
    some = [made[i] for i in order]
    return container(some) if container is nn.ModuleList else container(*some)


def losses_and_gradients(model: nn.Module, x: Tensor) -> list[Tensor]:
    out = model(x)
    names = [p for p in model.parameters() if p.requires_grad]
    return [out, *torch.autograd.grad(out.square().mean(), names)]


# -- repeated layers -------------------------------------------------------------------------------


@pytest.mark.parametrize("order", [(0,) * 5, (0, 1, 0, 1), (0, 1, 2, 2)], ids=str)
@pytest.mark.parametrize("route", ["graph", "given"])
@pytest.mark.parametrize("container", [nn.ModuleList, nn.Sequential])
def test_every_call_of_a_shared_layer_is_kept(order: Any, route: str, container: Any) -> None:
    model = Net(layers(order, container), in_order).eval()
    x = torch.randn(5, 4)
    options = {"branches": branch} if route == "given" else {}
    net = ac.convert(model, "residual", example=x, **options)
    assert net.depth == len(order) == ac.plan(model, example=x, **options).depth
    for one, other in zip(
        losses_and_gradients(model, x), losses_and_gradients(net, x), strict=True
    ):
        assert torch.equal(one, other)
    assert net.model.state_dict().keys() == model.state_dict().keys()
    assert sum(p.numel() for p in net.parameters()) == sum(p.numel() for p in model.parameters())


def test_depths_and_cuts_of_shared_layers() -> None:
    x = torch.randn(5, 4)
    net = ac.convert(Net(layers((0, 1, 0, 0)), in_order), "acn", example=x)
    h = net.model.embed(x)
    total, order = h, net.trunk.blocks
    for k, readout in depths_of(net, x):
        torch.testing.assert_close(readout, net.model.head(total))
        assert torch.equal(readout, ac.cut(net, k)(x))
        if k < net.depth:
            h = order[k].body(order[k].norm(h))
            total = total + h


def test_an_encoder_of_torch_with_one_layer_for_all() -> None:
    """As ALBERT shares its layers; the encoder is torch's own."""
    torch.manual_seed(0)
    encoder = nn.TransformerEncoder(
        nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, norm_first=True), 3, None, False
    )
    encoder.layers = nn.ModuleList([encoder.layers[0]] * 3)
    model, x = Net(encoder, lambda net, x: net.layers(x)).eval(), torch.randn(2, 5, 4)
    net = ac.convert(model, "residual")
    assert net.depth == 3
    torch.testing.assert_close(net(x), model(x), atol=1e-6, rtol=0)


@pytest.mark.parametrize("shared", [True, False], ids=["shared", "copies"])
@pytest.mark.parametrize("name", ["hf-gpt2", "hf-qwen3", "hf-mistral"])
def test_merged_decoders_compute_and_write_what_they_did(name: str, shared: bool) -> None:
    """The order of a frankenmerge; the layers' own indices are those of the parent."""
    model: Any = host(name)
    decoder = model.transformer if name == "hf-gpt2" else model.model
    list_name = "h" if name == "hf-gpt2" else "layers"
    order = [getattr(decoder, list_name)[i] for i in (0, 1, 2, 1, 2, 3)]
    setattr(decoder, list_name, nn.ModuleList(order if shared else map(copy.deepcopy, order)))
    model.config.num_hidden_layers = len(order)
    if getattr(model.config, "layer_types", None):
        model.config.layer_types = ["full_attention"] * len(order)
    inputs = batch(model)
    expected = model(**inputs, use_cache=False).logits
    net: Any = ac.convert(model, "residual")
    assert net.depth == 6
    assert torch.equal(net.model(**inputs, use_cache=False).logits, expected)
    prompt = {"input_ids": inputs["input_ids"][1:], "max_new_tokens": 8, "do_sample": False}
    plain = model.generate(**prompt, use_cache=False, pad_token_id=0)
    assert torch.equal(net.model.generate(**prompt, use_cache=True, pad_token_id=0), plain)
    small = ac.cut(ac.convert(model, "acn"), 4).model
    assert torch.equal(
        small.generate(**prompt, use_cache=True, pad_token_id=0),
        small.generate(**prompt, use_cache=False, pad_token_id=0),
    )
    if not shared:
        parts = [m for b in net.trunk.blocks for m in b.modules() if hasattr(m, "layer_idx")]
        assert {part.layer_idx for part in parts} == set(range(6))
        assert ac.restore(net).generate(**prompt, use_cache=True, pad_token_id=0).equal(plain)


def test_an_index_that_is_computed_with_stays() -> None:
    """GPT-2 may scale its attention by the layer's index: another index is another network."""
    import transformers

    torch.manual_seed(0)
    config = transformers.GPT2Config(
        vocab_size=40, n_embd=16, n_layer=3, n_head=2, scale_attn_by_inverse_layer_idx=True
    )
    model: Any = transformers.GPT2LMHeadModel(config).eval()
    model.transformer.h = nn.ModuleList(copy.deepcopy(model.transformer.h[i]) for i in (2, 0, 1))
    ids = torch.randint(3, 40, (1, 6))
    net: Any = ac.convert(model, "residual")
    assert torch.equal(net(ids), model(ids, use_cache=False).logits)
    options = {"max_new_tokens": 6, "do_sample": False, "pad_token_id": 0}
    expected = model.generate(ids, use_cache=False, **options)
    assert torch.equal(net.model.generate(ids, use_cache=True, **options), expected)


def test_a_list_that_is_longer_than_its_config_says() -> None:
    model: Any = host("hf-bert")
    first = model.bert.encoder.layer
    model.bert.encoder.layer = nn.ModuleList([first[0], first[0], *first])
    net: Any = ac.convert(model, "residual")
    assert torch.equal(net(batch(model)), output(model, batch(model)))
    assert net.depth == DEPTH + 2 == net.model.config.num_hidden_layers
    assert net.config["arguments"]["num_hidden_layers"] == DEPTH + 2
    assert model.config.num_hidden_layers == DEPTH


def test_layers_that_the_host_never_reaches_are_refused() -> None:
    """Llama's loop stops where its config says: the layers after it would be dead weight."""
    model: Any = host("hf-llama")
    model.model.layers.append(copy.deepcopy(model.model.layers[0]))
    text = ac.plan(model).refusals[0]
    assert f"model.layers.{DEPTH} is called 0 times in a pass, not once" in text
    with pytest.raises(ConvertError, match="is called 0 times"):
        ac.convert(model)


# -- loops of the host's own -----------------------------------------------------------------------


def test_a_host_that_calls_its_layers_by_index() -> None:
    model, x = Net(layers((0, 1, 2)), by_index).eval(), torch.randn(5, 4)
    for example in (x, None):
        net = ac.convert(model, "residual", branches=branch, example=example)
        assert torch.equal(net(x), model(x))
        by_order = ac.convert(Net(layers((0, 1, 2)), in_order), "acn", branches=branch)
        by_order.load_state_dict(net.state_dict())
        net.set_connectivity("acn")
        assert torch.equal(net(x), by_order(x))
        assert not torch.equal(net(x), model(x))


def twice(net: Any, x: Tensor) -> Tensor:
    return in_order(net, in_order(net, x))


def backwards(net: Any, x: Tensor) -> Tensor:
    for index in reversed(range(len(net.layers))):
        x = net.layers[index](x)
    return x


def one_for_all(net: Any, x: Tensor) -> Tensor:
    for _ in range(3):
        x = net.layers[0](x)
    return x


def skipping(net: Any, x: Tensor) -> Tensor:
    for index, layer in enumerate(net.layers):
        x = x if index == 1 else layer(x)
    return x


def without_the_last(net: Any, x: Tensor) -> Tensor:
    for layer in list(net.layers)[:-1]:
        x = layer(x)
    return x


def with_work_between(net: Any, x: Tensor) -> Tensor:
    for layer in net.layers:
        x = torch.tanh(layer(x))
    return x


def all_outputs(net: Any, x: Tensor) -> Tensor:
    outputs = []
    for layer in net.layers:
        x = layer(x)
        outputs.append(x)
    return torch.stack(outputs).mean(0)


def unpacked(net: Any, x: Tensor) -> Tensor:
    for layer in net.layers:
        x, _ = layer(x), None
        x = x * 2
    return x


def side_by_side(net: Any, x: Tensor) -> Tensor:
    return sum(layer(x) for layer in net.layers)


def never(net: Any, x: Tensor) -> Tensor:
    return x * 2


@pytest.mark.parametrize(
    ("loop", "at_conversion", "at_the_first_pass"),
    [
        (twice, "called 2 times", "2 times in one pass"),
        (backwards, "not called in the order", "something else than layer"),
        (one_for_all, "called 3 times", "computes with|after layer|something else"),
        (skipping, "called 0 times", "called after layer 0"),
        (without_the_last, "called 0 times", "computes with what layer"),
        (with_work_between, "computes with what layer 0 returns", r"returns \(tanh\)"),
        (all_outputs, "computes with what layer 0 returns", r"returns \(stack\)"),
        (unpacked, "computes with what layer 0 returns", "computes with what layer 0"),
        (side_by_side, "computes with|something else", "computes with|something else"),
        (never, "called 0 times", "0 times in one pass"),
    ],
)
def test_no_other_loop_becomes_another_network_in_silence(
    loop: Any, at_conversion: str, at_the_first_pass: str
) -> None:
    """Refused on an example; without one, by the first pass."""
    model, x = Net(layers((0, 1, 2)), loop).eval(), torch.randn(5, 4)
    model(x)
    with pytest.raises(ConvertError, match=at_conversion):
        ac.convert(model, "residual", branches=branch, example=x)
    net = ac.convert(model, "residual", branches=branch)
    with pytest.raises(ConvertError, match=at_the_first_pass):
        net(x)


def test_a_second_round_for_some_inputs_is_not_scored_in_silence() -> None:
    """The example took one; what follows the layers would get each depth's readout twice."""

    def longer(net: Any, x: Tensor) -> Tensor:
        for _ in range(2 if len(x) > 5 else 1):
            for layer in net.layers:
                x = layer(x)
        return x

    model, x = Net(layers((0, 1, 2)), longer).eval(), torch.randn(5, 4)
    net = ac.convert(model, "acn", branches=branch, example=x)
    assert torch.equal([*net.readouts(x)][2], ac.cut(net, 2)(x))
    with pytest.raises(ConvertError, match="2 times in one pass"):
        list(net.readouts(torch.cat([x, x])))
    with pytest.raises(ConvertError, match="2 times in one pass"):
        net(torch.cat([x, x]), depth=2)


def test_a_host_may_ask_for_the_form_of_what_waits() -> None:
    def asking(net: Any, x: Tensor) -> Tensor:
        for layer in net.layers:
            assert x.shape[-1] == 8
            assert x.dtype == torch.float32
            assert x.size(0) == 5
            x = layer(x)
        return x

    model, x = Net(layers((0, 1)), asking).eval(), torch.randn(5, 4)
    assert torch.equal(ac.convert(model, "residual", example=x)(x), model(x))


# -- the check on a small batch --------------------------------------------------------------------


def test_a_layer_that_computes_otherwise_is_found_without_an_example() -> None:
    """The class is registered, but this object's attention is somebody's own."""
    model: Any = host("hf-bert")

    class Louder(type(model.bert.encoder.layer[1].output)):  # type: ignore[misc]
        def forward(self, h: Tensor, x: Tensor) -> Tensor:
            return 1.5 * super().forward(h, x)

    model.bert.encoder.layer[1].output.__class__ = Louder
    with pytest.raises(ConvertError, match=r"computes something else: its output differs by \d"):
        ac.convert(model)


def test_nothing_is_run_on_the_meta_device() -> None:
    import transformers

    with torch.device("meta"):
        model = transformers.GPT2Model(transformers.GPT2Config(n_layer=3, n_embd=24, n_head=2))
    assert ac.convert(model).depth == 3


def test_the_check_leaves_random_numbers_modes_and_statistics_alone() -> None:
    torch.manual_seed(3)
    model = host("timm-convmixer").train()
    statistics = copy.deepcopy(dict(model.named_buffers()))
    torch.manual_seed(3)
    expected = torch.randn(4)
    torch.manual_seed(3)
    net = ac.convert(model, "residual")
    assert torch.equal(torch.randn(4), expected)
    assert net.training
    for name, before in statistics.items():
        assert torch.equal(before, model.get_buffer(name))
        assert torch.equal(before, net.model.get_buffer(name))


@pytest.mark.filterwarnings("ignore:None of the inputs:UserWarning")
def test_a_host_that_trains_otherwise_is_refused() -> None:
    """Old-style checkpoints lose the gradient of what a trunk runs in their last call."""
    from torch.utils.checkpoint import checkpoint

    def recomputed(reentrant: bool) -> Any:
        def loop(net: Any, x: Tensor) -> Tensor:
            for layer in net.layers:
                x = checkpoint(layer, x, use_reentrant=reentrant) if net.training else layer(x)
            return x

        return loop

    x = torch.randn(5, 4)
    model = Net(layers((0, 1, 2)), recomputed(False)).train()
    net = ac.convert(model, "residual", branches=branch, example=x)
    for one, other in zip(
        losses_and_gradients(model, x), losses_and_gradients(net, x), strict=True
    ):
        assert torch.equal(one, other)
    model = Net(layers((0, 1, 2)), recomputed(True))
    with pytest.raises(ConvertError, match="trains differently: its gradient by"):
        ac.convert(model, "residual", branches=branch, example=x)


def test_every_layer_cut_from_a_host_that_loops_over_them() -> None:
    """Its loop over no layers calls nothing, and yet it is read, probed and trained as others."""
    x = torch.randn(12, 4)
    net = ac.convert(Net(layers((0, 1)), in_order), "residual", example=x).eval()
    stump = ac.cut(net, 0)
    assert [torch.equal(y, net(x, depth=0)) for y in stump.readouts(x)] == [True]
    data = torch.utils.data.TensorDataset(x, torch.arange(12) % 2)
    assert ac.probe(stump, data).scores == ac.probe(net, data).scores[:1]
    ac.fit(stump, data, data, epochs=1, progress=False)
