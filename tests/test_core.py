"""The mathematics that everything else stands on: equation 1, the readouts, the cut."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import autocompress as ac
from autocompress.connectivity import BlockCall, Connectivity, Plane
from autocompress.errors import ConfigError, DepthError, ShapeError, UnknownNameError
from marks import slow_but
from models_table import (
    CONNECTIVITIES,
    DEPTH,
    MODELS,
    depths_of,
    every_pair,
    images,
    inputs,
    make,
)

ONE = torch.ones(1, 1, dtype=torch.float64)


def strengths(net: ac.Network) -> tuple[list[float], list[float], float | None]:
    rule = net.trunk.connectivity
    assert isinstance(rule, Plane)
    short, long = rule.gates.values()
    return short, long, rule.inner


def by_hand(net: ac.Network, x: torch.Tensor) -> list[torch.Tensor]:
    """Readouts of depth 0..L from the equations alone: no Trunk, no Block, no Plane call."""
    short, long, inner = strengths(net)
    xs = [net.stem(x)]
    for i, block in enumerate(net.trunk.blocks):
        h = xs[-1]
        for j, branch in enumerate(block.branches):
            last = j == len(block.branches) - 1
            s = short[i] if last or inner is None else inner
            h = branch.post(s * h + branch.body(branch.pre(h)))
        if block.end is not None:
            h = block.end.norm(torch.relu(block.end.linear(h) + xs[-1]))
        xs.append(h)
    return [
        xs[k] + sum((long[i] * xs[i] for i in range(k)), torch.zeros(())) for k in range(len(xs))
    ]


@every_pair
def test_every_depth_equals_the_equations(model: str, connectivity: str) -> None:
    net, x = make(model, connectivity), inputs(model)
    expected = [net.head_at(k)(y) for k, y in enumerate(by_hand(net, x))]
    for k, logits in depths_of(net, x):
        torch.testing.assert_close(logits, expected[k], atol=1e-5, rtol=1e-4)


@every_pair
def test_readout_equals_early_stop_equals_cut_bit_for_bit(model: str, connectivity: str) -> None:
    net, x = make(model, connectivity), inputs(model)
    before = copy.deepcopy(net.state_dict())
    readouts = list(net.readouts(x))
    assert len(readouts) == DEPTH + 1
    for k, logits in enumerate(readouts):
        small = ac.cut(net, k)
        assert small.depth == k == small.config["depth"]
        assert torch.equal(logits, net(x, depth=k))
        assert torch.equal(logits, small(x))
    assert torch.equal(readouts[-1], net(x))
    assert all(torch.equal(before[key], value) for key, value in net.state_dict().items())


@every_pair
def test_a_cut_network_is_independent_and_can_be_cut_again(model: str, connectivity: str) -> None:
    net, x = make(model, connectivity), inputs(model)
    expected = net(x, depth=1)
    small = ac.cut(net, 3)
    assert set(small.state_dict()) < set(net.state_dict())
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.zero_()
    assert torch.equal(ac.cut(small, 1)(x), expected)


def test_equation_1_with_three_scalars() -> None:
    """x_i = f_i(x_{i-1}), y = sum x_i: with f_i = w_i x this is 1 + w1 + w1 w2 + w1 w2 w3."""
    trunk = scalar_trunk([2.0, 3.0, 0.5], "acn")
    y = [v.item() for v in trunk.readouts(ONE)]
    assert y == [1.0, 1 + 2.0, 1 + 2.0 + 6.0, 1 + 2.0 + 6.0 + 3.0]


@pytest.mark.parametrize(
    ("connectivity", "gradient"),
    [
        # d y / d w_1 for w = (2, 3, 0.5), from table 1 of the paper
        ("ffn", 3 * 0.5),
        ("residual", (1 + 3) * (1 + 0.5)),
        ("acn", 1 + 3 + 3 * 0.5),
    ],
)
def test_gradients_of_table_1(connectivity: str, gradient: float) -> None:
    trunk = scalar_trunk([2.0, 3.0, 0.5], connectivity)
    trunk(ONE).sum().backward()
    weight = trunk.blocks[0].branches[0].body.weight
    assert float(weight.grad) == pytest.approx(gradient)


def test_detached_leaves_the_direct_gradient_only() -> None:
    """DG of layer i in table 1: the '1' times what is before it, x_{i-1} = prod_{m<i} w_m."""
    trunk = scalar_trunk([2.0, 3.0, 0.5], "acn")
    attached = trunk(ONE)
    detached = trunk(ONE, mediated=0.0)
    assert torch.equal(attached, detached)
    detached.sum().backward()
    gradients = [float(block.branches[0].body.weight.grad) for block in trunk.blocks]
    assert gradients == pytest.approx([1.0, 2.0, 6.0])


@given(
    st.lists(st.floats(-2, 2), min_size=1, max_size=6),
    st.floats(0, 1),
    st.floats(0, 1),
)
@settings(max_examples=50, deadline=None)
def test_the_plane_between_its_corners(weights: list[float], s: float, g: float) -> None:
    trunk = scalar_trunk(weights, {"name": "plane", "short": s, "long": g})
    xs = [1.0]
    for w in weights:
        xs.append((s + w) * xs[-1])
    for k, y in enumerate(trunk.readouts(ONE)):
        assert y.item() == pytest.approx(xs[k] + g * sum(xs[:k]), rel=1e-9, abs=1e-9)


def scalar_trunk(weights: list[float], connectivity: object) -> ac.Trunk:
    """Linear layers of one number each, no norm."""
    blocks = []
    for weight in weights:
        layer = nn.Linear(1, 1, bias=False, dtype=torch.float64)
        nn.init.constant_(layer.weight, weight)
        blocks.append(ac.Block([ac.Branch(layer, nn.Identity())]))
    return ac.Trunk(blocks, connectivity).double()  # type: ignore[arg-type]


class PlainResidualMixer(nn.Module):
    """A pre-norm residual Mixer as anyone would write it, over the parts of one of ours."""

    def __init__(self, net: ac.Network) -> None:
        super().__init__()
        self.net = net

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        stem, head = self.net.stem, self.net.head
        x = stem.embed(images).flatten(2).transpose(1, 2)
        for block in self.net.trunk.blocks:
            token, channel = block.branches
            h = token.pre(x).transpose(1, 2)
            h = token.body.mlp.contract(nn.functional.gelu(token.body.mlp.expand(h)))
            x = x + h.transpose(1, 2)
            h = nn.functional.gelu(channel.body.expand(channel.pre(x)))
            x = x + channel.body.contract(h)
        return head.classifier(head.norm(x).mean(1))


class PlainResidualViT(nn.Module):
    """A pre-norm residual ViT on torch's own attention module."""

    def __init__(self, net: ac.Network, heads: int) -> None:
        super().__init__()
        self.net, self.heads = net, heads

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        stem, head = self.net.stem, self.net.head
        x = stem.embed(images).flatten(2).transpose(1, 2)
        x = torch.cat([stem.class_token.expand(len(x), -1, -1), x], 1) + stem.positions
        for block in self.net.trunk.blocks:
            attention, mlp = block.branches
            h = attention.pre(x)
            x = x + nn.functional.multi_head_attention_forward(
                *(3 * [h.transpose(0, 1)]),
                x.shape[-1],
                self.heads,
                attention.body.qkv.weight,
                attention.body.qkv.bias,
                None,
                None,
                False,
                0.0,
                attention.body.project.weight,
                attention.body.project.bias,
                need_weights=False,
            )[0].transpose(0, 1)
            h = nn.functional.gelu(mlp.body.expand(mlp.pre(x)))
            x = x + mlp.body.contract(h)
        return head.classifier(head.norm(x[:, 0]))


class PlainPostNormMLP(nn.Module):
    """x = LN(x + GELU(W x)), the post-norm residual block."""

    def __init__(self, net: ac.Network) -> None:
        super().__init__()
        self.net = net

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        x = self.net.stem.embed(images.flatten(1))
        for block in self.net.trunk.blocks:
            (branch,) = block.branches
            x = branch.post(x + nn.functional.gelu(branch.body[0](x)))
        return self.net.head(x)


@pytest.mark.parametrize(
    ("model", "plain"),
    [
        ("mixer", PlainResidualMixer),
        ("vit", lambda net: PlainResidualViT(net, heads=2)),
        ("mlp-post", PlainPostNormMLP),
    ],
)
def test_residual_is_an_ordinary_residual_network(model: str, plain: type[nn.Module]) -> None:
    net, x = make(model, "residual"), images()
    torch.testing.assert_close(plain(net)(x), net(x), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize(("start", "corner"), [(0.0, "acn"), (1.0, "residual")])
def test_hacn_reaches_both_corners(start: float, corner: str) -> None:
    hybrid = make("mixer", "acn")
    exact = hybrid(images()) if corner == "acn" else make("mixer", "residual")(images())
    hybrid.set_connectivity({"name": "hacn", "start": start})
    torch.testing.assert_close(hybrid(images()), exact, atol=1e-6, rtol=1e-5)


def test_learned_gates_get_gradients() -> None:
    net = make("mixer", "learned")
    net(images()).sum().backward()
    gates = net.trunk.connectivity.gates
    assert gates.short.grad.abs().min() > 0
    assert gates.long.grad.abs().min() > 0


def test_gates_per_channel() -> None:
    """Each channel of x_{i-1} reaches block and head by its own gates; config says the means."""
    net = make("mixer", "per-channel")
    gates = net.trunk.connectivity.gates
    with torch.no_grad():
        gates.long.copy_(torch.rand(gates.long.shape))
    x0 = net.stem(images())
    x1 = net.trunk.blocks[0](x0, gates.short[0])
    torch.testing.assert_close(net.trunk(x0, depth=1), x1 + gates.long[0] * x0)
    assert net.rule()["channels"] == 8
    assert net.rule()["long"] == pytest.approx(gates.long.mean(1).tolist())
    hybrid = make("mixer", "acn")
    hybrid.set_connectivity({"name": "hacn", "start": 0.0, "channels": 8})
    torch.testing.assert_close(hybrid(images()), make("mixer", "acn")(images()))


def test_scheduled_gates_move_without_recompilation() -> None:
    net, x = make("mixer", "scheduled"), images()
    compiles = []

    def backend(graph, inputs):  # type: ignore[no-untyped-def]
        compiles.append(graph)
        return graph.forward

    fast = torch.compile(net, fullgraph=True, backend=backend)
    for share in (0.0, 0.25, 1.0):
        net.trunk.connectivity.move(1 - share, share)
        torch.testing.assert_close(fast(x), net(x), atol=1e-6, rtol=1e-5)
    assert len(compiles) == 1
    assert net.trunk.connectivity.settled().name == "acn"


@pytest.mark.parametrize("connectivity", CONNECTIVITIES)
def test_settling_changes_nothing_that_is_computed(connectivity: str) -> None:
    """Gates that are learned, each at a value of its own, are none of a schedule's."""
    net, x = make("mixer", connectivity), images()
    with torch.no_grad():
        for gate in net.trunk.connectivity.parameters():
            gate.add_(torch.rand_like(gate))
    before = net(x)
    learns = sum(p.numel() for p in net.parameters())
    net.settle()
    assert torch.equal(net(x), before)
    assert sum(p.numel() for p in net.parameters()) == learns
    if connectivity == "scheduled":
        assert net.trunk.connectivity.gates.kind == "fixed"


def test_gates_are_moved_whole_or_not_at_all() -> None:
    rule = make("mixer", "scheduled").trunk.connectivity
    rule.move([0.1, 0.2, 0.3, 0.4], 0.5)
    rule.move(torch.tensor([0.1, 0.2, 0.3, 0.4]), np.full(4, 0.5))
    before = rule.gates.values()
    assert before == (pytest.approx([0.1, 0.2, 0.3, 0.4]), [0.5] * DEPTH)
    for short, long, words in (
        (0.0, [1.0, 1.0], "long has 2 values for 4 layers"),
        ([1.0] * 5, 0.0, "short has 5 values for 4 layers"),
        (0.0, float("nan"), "long nan must be a finite number"),
        (0.0, "one", "long 'one' must be a finite number"),
    ):
        with pytest.raises(ConfigError, match=words):
            rule.move(short, long)  # type: ignore[arg-type]
        assert rule.gates.values() == before


@given(st.sampled_from(["short", "long", "inner"]), st.sampled_from(["inf", "-inf", "nan"]))
@settings(max_examples=9, deadline=None)
def test_strengths_are_finite(option: str, value: str) -> None:
    for name in ("plane", "input_fed"):
        with pytest.raises(ConfigError, match=f"{option} {value} must be a finite number"):
            ac.models.MLP(depth=2, connectivity={"name": name, option: float(value)})


class Normed(ac.Network):
    """A network whose readouts pass a norm that is none of stem, trunk and head."""

    def __init__(self, depth: int = 3, connectivity: str = "acn") -> None:
        blocks = [ac.Block([ac.Branch(nn.Linear(4, 4), nn.LayerNorm(4))]) for _ in range(depth)]
        super().__init__(nn.Flatten(), ac.Trunk(blocks, connectivity), nn.Linear(4, 3))
        self.norm = nn.LayerNorm(4)

    def hidden(self, state: object) -> torch.Tensor:
        return self.norm(super().hidden(state))  # type: ignore[no-any-return]


def test_a_cut_keeps_every_part_of_a_network_of_ones_own() -> None:
    net, x = Normed().eval(), torch.randn(5, 1, 2, 2)
    with torch.no_grad():
        net.norm.bias.add_(1.0)
    for depth, logits in enumerate(net.readouts(x)):
        small = ac.cut(net, depth)
        assert torch.equal(list(small.readouts(x))[-1], logits)
        assert small.norm is not net.norm
    readouts = list(net.readouts(x))
    net.keep(1)
    assert torch.equal(list(net.readouts(x))[-1], readouts[1])


#: every model with one rule, every rule with one model: a compilation takes a second
CROSS = [(model, "acn") for model in MODELS] + [("mixer", rule) for rule in CONNECTIVITIES]


#: Images, tokens, and gates that learn.
COMPILED = [("vit", "acn"), ("decoder", "acn"), ("mixer", "learned")]


@pytest.mark.parametrize(("model", "connectivity"), slow_but(dict.fromkeys(CROSS), COMPILED))
def test_compiles_without_graph_breaks_and_exports(model: str, connectivity: str) -> None:
    net, x = make(model, connectivity), inputs(model)

    def all_depths(x: torch.Tensor) -> torch.Tensor:
        return torch.stack(list(net.readouts(x)))

    compiled = torch.compile(all_depths, fullgraph=True, backend="eager")(x)
    torch.testing.assert_close(compiled, all_depths(x), atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(compiled[-1], net(x), atol=1e-6, rtol=1e-5)
    batch = torch.export.Dim("batch", min=2)
    exported = torch.export.export(net, (x,), dynamic_shapes=({0: batch},)).module()
    y = inputs(model, 5)
    torch.testing.assert_close(exported(y), net(y), atol=1e-6, rtol=1e-5)


def test_forward_compiles_without_graph_breaks() -> None:
    net, x = make("vit", "acn"), images()
    for options in ({}, {"depth": 2}, {"mediated": 0.0}, {"mediated": 0.3}):
        compiled = torch.compile(net, fullgraph=True, backend="eager")
        torch.testing.assert_close(compiled(x, **options), net(x, **options), atol=1e-6, rtol=1e-5)


def test_two_passes_may_interleave() -> None:
    """Nothing of a pass is kept on a module."""
    net, a, b = make("mixer", "acn"), images(seed=1), images(seed=2)
    pairs = list(zip(net.readouts(a), net.readouts(b), strict=True))
    assert all(torch.equal(x, y) for (x, _), y in zip(pairs, net.readouts(a), strict=True))
    assert all(torch.equal(x, y) for (_, x), y in zip(pairs, net.readouts(b), strict=True))


def test_readouts_are_lazy() -> None:
    net = make("mlp", "acn")
    calls: list[int] = []
    for i, block in enumerate(net.trunk.blocks):
        block.register_forward_hook(lambda *_, i=i: calls.append(i))
    readouts = net.readouts(images())
    next(readouts)
    assert calls == []
    next(readouts)
    next(readouts)
    assert calls == [0, 1]


def test_paper_sizes() -> None:
    mixer = ac.models.Mixer(
        depth=16,
        width=128,
        classes=10,
        image_size=32,
        patch_size=4,
        channels=3,
        token_width=64,
        channel_width=512,
        pool="class",
        end_stage=True,
    )
    assert sum(p.numel() for p in mixer.parameters()) == 2_527_002
    with torch.device("meta"):
        vit = ac.models.ViT(
            depth=12,
            width=768,
            heads=12,
            classes=1000,
            image_size=224,
            patch_size=16,
            channels=3,
        )
    assert sum(p.numel() for p in vit.parameters()) == 86_567_656


def test_the_registry_takes_another_rule() -> None:
    """A rule that is not a point of the plane: the head reads the mean of all layers."""
    from autocompress.connectivity import register_connectivity

    @register_connectivity("mean_of_layers")
    class Mean(Connectivity[list[torch.Tensor]]):
        def __init__(self, depth: int) -> None:
            super().__init__()
            self.depth = depth

        def begin(self, x0):  # type: ignore[no-untyped-def]
            return [x0]

        def step(self, state, index, block):  # type: ignore[no-untyped-def]
            return [*state, block(state[-1], 1.0)]

        def readout(self, state):  # type: ignore[no-untyped-def]
            return torch.stack(state).mean(0)

        def cut(self, depth: int) -> Mean:
            return Mean(depth)

        def to_config(self) -> dict[str, object]:
            return {"name": "mean_of_layers"}

    net, x = make("mixer", "acn"), images()
    net.set_connectivity("mean_of_layers")
    for k, logits in depths_of(net, x):
        assert torch.equal(logits, ac.cut(net, k)(x))
    with pytest.raises(ConfigError, match="registered already"):
        register_connectivity("acn")(Mean)


class Scaled(Connectivity[torch.Tensor]):
    """A residual network with a learned factor for each layer, whose cut may forget them."""

    def __init__(self, depth: int, copies: bool = True) -> None:
        super().__init__()
        self.depth, self.copies = depth, copies
        self.factors = torch.nn.Parameter(torch.ones(depth))

    def begin(self, x0: torch.Tensor) -> torch.Tensor:
        return x0

    def step(self, state: torch.Tensor, index: int, block: BlockCall) -> torch.Tensor:
        return self.factors[index] * block(state, 1.0)

    def readout(self, state: torch.Tensor) -> torch.Tensor:
        return state

    def cut(self, depth: int) -> Scaled:
        rule = Scaled(depth, self.copies)
        if self.copies:
            rule.factors = torch.nn.Parameter(self.factors.detach()[:depth].clone())
        return rule

    def to_config(self) -> dict[str, object]:
        return {"name": "scaled"}


def test_a_rule_whose_cut_forgets_what_it_has_learned_is_refused() -> None:
    """Otherwise the cut network would silently be another one than the one that was scored."""
    for copies in (True, False):
        net, x = make("mlp", "acn"), images()
        net.set_connectivity(Scaled(net.depth, copies))
        assert torch.equal(ac.cut(net, 2)(x), net(x, depth=2))  # nothing has been learned yet
        with torch.no_grad():
            dict(net.named_parameters())["trunk.connectivity.factors"][0] = 1.5
        if copies:
            assert torch.equal(ac.cut(net, 2)(x), net(x, depth=2))
        else:
            with pytest.raises(ConfigError, match=r"Scaled.cut\(2\) changes the values of factors"):
                ac.cut(net, 2)


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (lambda depth: depth, "made 4 for depth 4; expected a Connectivity"),
        (lambda depth: Scaled(9), "depth 9 in"),
    ],
)
def test_a_name_that_makes_no_rule_of_this_depth_is_refused(
    made: Callable[[int], Any], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from autocompress import connectivity

    monkeypatch.setattr(connectivity, "find_connectivity", lambda name: made)
    with pytest.raises(ConfigError, match=words):
        ac.models.MLP(depth=4, connectivity="acn")


@pytest.mark.parametrize(
    ("act", "error", "words"),
    [
        (lambda: make("mlp", "acn")(images(), depth=9), DepthError, "depths 0..4"),
        (lambda: ac.cut(make("mlp", "acn"), -1), DepthError, "depth -1"),
        (lambda: make("vit", "acn")(torch.zeros(1, 3, 4, 4)), ShapeError, r"\(batch, 1, 4, 4\)"),
        (lambda: make("mlp", "acn")(torch.zeros(4, 4)), ShapeError, "takes"),
        (lambda: ac.models.MLP(connectivity="acm"), UnknownNameError, "did you mean 'acn'"),
        (
            lambda: ac.models.MLP(connectivity={"name": "acn", "iner": 1}),
            UnknownNameError,
            "did you mean 'inner'",
        ),
        (lambda: ac.models.MLP(connectivity="dense"), ConfigError, "'dense' needs channels"),
        (
            lambda: ac.models.MLP(connectivity={"name": "plane", "gates": "learnt"}),
            UnknownNameError,
            "learned",
        ),
        (
            lambda: ac.models.MLP(connectivity={"name": "plane", "channels": 128}),
            ConfigError,
            "one per layer",
        ),
        (
            lambda: ac.Trunk([], {"name": "hacn", "channels": 3})(torch.zeros(2, 8)),
            ShapeError,
            "gates of 3 channels",
        ),
        (
            lambda: ac.models.MLP(depth=3, connectivity={"name": "plane", "short": [0.5]}),
            ConfigError,
            "1 values for 3 layers",
        ),
        (
            lambda: ac.models.MLP(connectivity={"name": "hacn", "channels": 0}),
            ConfigError,
            "channels 0 must be at least 1",
        ),
        (
            lambda: ac.models.MLP(connectivity={"name": "dense", "channels": 0}),
            ConfigError,
            "channels 0 must be at least 1",
        ),
        (
            lambda: ac.models.MLP(connectivity={"name": "detached", "inner": float("nan")}),
            ConfigError,
            "inner nan must be a finite number",
        ),
        (lambda: ac.models.build("mixr"), UnknownNameError, "did you mean 'mixer'"),
        (lambda: ac.models.build("vit", dept=3), UnknownNameError, "did you mean 'depth'"),
        (lambda: ac.models.Mixer(image_size=9, patch_size=2), ConfigError, "must divide"),
        (lambda: ac.models.ViT(width=10, heads=3), ConfigError, "must divide"),
        (lambda: ac.models.ViT(pool="max"), ConfigError, "neither"),
        (lambda: ac.models.MLP(norm="mid"), ConfigError, "neither"),
        (lambda: make("mlp", "acn").trunk.connectivity.move(1, 0), ConfigError, "scheduled"),
    ],
)
def test_wrong_input(act, error, words) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(error, match=words):
        act()


def test_the_table_names_every_registered_model() -> None:
    assert {name.split("-")[0] for name in MODELS} == set(ac.models.list_models()) - {"converted"}
    assert set(CONNECTIVITIES) >= {"ffn", "residual", "acn", "hacn"}
