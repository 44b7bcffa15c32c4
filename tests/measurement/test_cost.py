"""Parameters and FLOPs: by hand, by depth, and against the paper's own figures."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

import autocompress as ac
from autocompress.errors import ShapeError, UnknownNameError
from autocompress.measurement import counted_readouts, depth_costs, flops, measure, parameters
from models_table import CONNECTIVITIES, MODELS, every_model, images, inputs, make


def test_linear_and_convolution_by_hand() -> None:
    linear, conv = nn.Linear(3, 2), nn.Conv2d(4, 6, 3, groups=2)
    for convention in ("torch", "paper"):
        assert flops(linear, torch.zeros(5, 3), convention) == 2 * 3 * 2
        # 5x5 pixels make 3x3, 6 outputs each, that read 4 / 2 channels of 3x3
        assert flops(conv, torch.zeros(2, 4, 5, 5), convention) == 2 * 9 * 6 * 2 * 9


def test_mixer_at_every_depth_by_hand() -> None:
    tokens, width, patch, token_width, channel_width, classes = 16, 8, 4, 5, 12, 3
    net = ac.models.Mixer(
        depth=3, width=width, classes=classes, token_width=token_width, channel_width=channel_width
    )
    stem = 2 * tokens * patch * width
    block = 2 * (2 * tokens * token_width * width) + 2 * (2 * width * channel_width * tokens)
    head = 2 * width * classes
    x = torch.randn(7, 1, 8, 8)
    for convention in ("torch", "paper"):
        counted = [cost for _, cost in counted_readouts(net, x, convention)]
        assert counted == [stem + k * block + head for k in range(4)]
    assert [cost.flops for cost in depth_costs(net, x)] == counted


@every_model
@pytest.mark.parametrize("connectivity", ["residual", "acn", "per-layer", "learned"])
def test_depth_k_costs_what_the_cut_costs(model: str, connectivity: str) -> None:
    net, x = make(model, connectivity), inputs(model)
    costs = depth_costs(net, x)
    with torch.inference_mode():
        readouts = list(counted_readouts(net, x))
        uncounted = list(net.readouts(x))
    assert len(costs) == len(readouts) == net.depth + 1
    for k, (cost, (logits, count)) in enumerate(zip(costs, readouts, strict=True)):
        small = net.cut(k)
        assert cost.depth == k
        assert cost.parameters == parameters(small)
        assert cost.flops == count == flops(small, x)
        assert torch.equal(logits, uncounted[k])


def test_depth_costs_without_example_run_nothing() -> None:
    net = make("mixer", "acn").to("meta")
    assert [cost.flops for cost in depth_costs(net)] == [None] * 5


@pytest.mark.parametrize(("depth", "paper"), [(12, 33.7), (7, 19.7)])
def test_vit_b_16_has_the_papers_figures(depth: int, paper: float) -> None:
    with torch.device("meta"):
        net = ac.models.ViT(depth, 768, 1000, 224, 16, 3, heads=12)
        image = torch.zeros(1, 3, 224, 224)
    assert flops(net, image, "paper") / 1e9 == pytest.approx(paper, abs=0.06)
    if depth == 12:
        assert parameters(net) == 86_567_656
        assert flops(net, image) / 1e9 == pytest.approx(35.1, abs=0.05)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("mode", [torch.inference_mode, torch.no_grad, torch.enable_grad])
def test_counting_is_torchs_own_and_changes_no_bit(model: str, mode: type[torch.no_grad]) -> None:
    net, x = make(model, "acn").to("meta"), inputs(model, 64)
    with FlopCounterMode(display=False) as torchs:
        net(x.to("meta"))  # there it takes attention apart; on the CPU it misses it
    net = make(model, "learned")
    with mode():
        *_, (logits, count) = counted_readouts(net, x)
        assert torch.equal(logits, net(x))
    assert count == torchs.get_total_flops() / 64


@pytest.mark.parametrize("grad", [True, False])
def test_attention_counts_the_same_on_the_cpu_as_elsewhere(grad: bool) -> None:
    net = ac.models.ViT(depth=1, width=8, heads=2)
    tokens, x = 17, torch.zeros(2, 1, 8, 8)
    products = 2 * (2 * tokens * tokens * 8)
    assert flops(net, x) - flops(net, x, "paper") == products
    with torch.set_grad_enabled(grad):
        assert list(counted_readouts(net, x))[-1][1] == flops(net, x)
    assert flops(net.to("meta"), x) == flops(net, x, "paper") + products


class Calls(nn.Module):
    """A layer, called as a function says."""

    def __init__(self, layer: nn.Module, call: Callable[[Any, torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.layer, self.call = layer, call

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.call(self.layer, x)


#: Tokens and width of the layers below; their linear layers and their attention, by hand.
N, D = 4, 16
PROJECTIONS, PRODUCTS = 2 * N * 4 * D * D, 2 * 2 * N * N * D


def self_attention() -> nn.Module:
    attention = nn.MultiheadAttention(D, 2, batch_first=True)
    return Calls(attention, lambda layer, x: layer(x, x, x, need_weights=False)[0])


def encoder_layer(norm_first: bool) -> nn.Module:
    return nn.TransformerEncoderLayer(D, 2, 32, batch_first=True, norm_first=norm_first)


def lstm() -> nn.Module:
    layers = nn.LSTM(D, 6, num_layers=2, bidirectional=True, batch_first=True)
    return Calls(layers, lambda layer, x: layer(x)[0])


@pytest.mark.parametrize(
    ("layer", "paper", "products"),
    [
        (self_attention(), PROJECTIONS, PRODUCTS),
        (encoder_layer(True), PROJECTIONS + 2 * N * 2 * D * 32, PRODUCTS),
        (encoder_layer(False), PROJECTIONS + 2 * N * 2 * D * 32, PRODUCTS),
        (lstm(), 2 * N * 2 * 24 * ((D + 6) + (12 + 6)), 0),
    ],
)
def test_layers_that_one_kernel_computes(layer: nn.Module, paper: int, products: int) -> None:
    x = torch.zeros(3, N, D)
    assert flops(layer, x, "paper") == paper
    assert flops(layer, x) == paper + products
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        assert flops(layer, x) == paper + products
    finally:
        torch.backends.mha.set_fastpath_enabled(True)


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors:UserWarning")
def test_padded_texts_in_an_encoder_of_torch() -> None:
    layers = nn.TransformerEncoder(nn.TransformerEncoderLayer(D, 2, 32, batch_first=True), 2)
    padding = torch.zeros(2, N, dtype=torch.bool)
    padding[1, 2:] = True  # N and 2 tokens: torch leaves out the others
    net = Calls(layers, lambda layer, x: layer(x, src_key_padding_mask=padding))
    rows = 2 * (N + 2) * (4 * D * D + 2 * D * 32)
    assert flops(net, torch.zeros(2, N, D), "paper") == 2 * rows / 2
    assert flops(net, torch.zeros(2, N, D)) == 2 * (rows + 4 * (N * N + 2 * 2) * D) / 2


def test_a_branch_of_torchs_attention_costs_something_and_keeps_its_bits() -> None:
    def block() -> ac.Block:
        return ac.Block([ac.Branch(self_attention(), nn.LayerNorm(D))])

    class Own(ac.Network):
        def __init__(self, depth: int = 3) -> None:
            head = Calls(nn.Linear(D, 3), lambda layer, x: layer(x.mean(1)))
            super().__init__(nn.Linear(8, D), ac.Trunk([block() for _ in range(depth)]), head)

        def example(self, batch: int = 2) -> torch.Tensor:
            return torch.randn(batch, N, 8)

    net = Own().eval()
    x = net.example(6)
    ends = 2 * N * 8 * D + 2 * D * 3
    curve = ac.probe(net, torch.utils.data.TensorDataset(x, torch.arange(6) % 3))
    assert curve.flops == [ends + k * (PROJECTIONS + PRODUCTS) for k in range(4)]
    assert measure(net, x, latency=False).flops_paper == ends + 3 * PROJECTIONS
    with torch.inference_mode():
        readouts = [logits for logits, _ in counted_readouts(net, x)]
        assert all(torch.equal(net(x, depth=k), readouts[k]) for k in range(4))


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("size", [1, 3])
@pytest.mark.parametrize(
    "call",
    [
        lambda layer, x: layer(x),
        lambda layer, x: F.linear(x, layer.weight),
        lambda layer, x: layer(x.transpose(1, 2).contiguous().transpose(1, 2)),
        lambda layer, x: torch.einsum("bnd,ed->bne", x, layer.weight),
        lambda layer, x: torch.addmm(layer.bias, x.flatten(0, 1), layer.weight.T),
    ],
)
def test_a_linear_layer_counts_however_it_is_written(call: Any, size: int, frozen: bool) -> None:
    layer = Calls(nn.Linear(D, 6).requires_grad_(not frozen), call)
    for convention in ("torch", "paper"):
        assert flops(layer, torch.zeros(size, N, D), convention) == 2 * N * D * 6


@pytest.mark.parametrize(
    "attend",
    [
        lambda x: x @ x.transpose(1, 2) @ x,
        lambda x: torch.baddbmm(torch.zeros(1), x, x.transpose(1, 2)).bmm(x),
        lambda x: torch.einsum("bij,bjd->bid", torch.einsum("bid,bjd->bij", x, x), x),
        lambda x: F.scaled_dot_product_attention(x, x, x),
    ],
)
@pytest.mark.parametrize("size", [1, 3])
def test_attention_counts_in_torchs_convention_only(attend: Any, size: int) -> None:
    net = Calls(nn.Identity(), lambda _, x: attend(x))
    assert flops(net, torch.zeros(size, N, D)) == PRODUCTS
    assert flops(net, torch.zeros(size, N, D), "paper") == 0


def test_counting_is_lazy_and_runs_each_part_once() -> None:
    net, calls = make("mlp", "acn"), []
    for name, part in [("stem", net.stem), *enumerate(net.trunk.blocks)]:
        part.register_forward_hook(lambda *_, name=name: calls.append(name))
    counted = counted_readouts(net, images())
    assert calls == []
    next(counted)
    assert calls == ["stem"]
    next(counted)
    assert calls == ["stem", 0]
    list(counted)
    assert calls == ["stem", 0, 1, 2, 3]


def test_nothing_is_counted_between_two_depths() -> None:
    net, x = make("mlp", "acn"), images()
    alone = [cost for _, cost in counted_readouts(net, x)]
    disturbed = []
    for logits, cost in counted_readouts(net, x):
        assert logits.requires_grad  # gradients are the caller's
        net(x)
        disturbed.append(cost)
    assert disturbed == alone


def test_a_tied_block_counts_once() -> None:
    net = make("mlp", "acn")
    net.trunk.blocks[2] = net.trunk.blocks[0]
    assert [c.parameters for c in depth_costs(net)] == [parameters(net.cut(k)) for k in range(5)]
    assert depth_costs(net)[3].parameters == depth_costs(net)[2].parameters


def test_the_network_is_left_as_it_was() -> None:
    net = ac.models.MLP(depth=2, width=4, dropout=0.5).train()
    net.head.eval()
    state = torch.get_rng_state()
    flops(net, torch.zeros(2, 1, 8, 8))
    assert net.training
    assert net.trunk.training
    assert not net.head.training
    assert torch.equal(state, torch.get_rng_state())
    with pytest.raises(ShapeError):
        flops(net, torch.zeros(2, 3, 8, 8), "paper")
    assert net.training
    assert not net.head[1]._forward_hooks


def test_unknown_convention() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'paper'"):
        flops(nn.Linear(2, 2), torch.zeros(1, 2), "papers")  # type: ignore[arg-type]


def test_the_table_covers_all_registered_models() -> None:
    assert {name.split("-")[0] for name in MODELS} >= set(ac.models.list_models()) - {"converted"}
    assert set(CONNECTIVITIES) >= {"ffn", "residual", "acn", "hacn"}
