"""Rules whose layers see more than the layer before them: input_fed and detached, by hand."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

import autocompress as ac
from autocompress.connectivity import make_rule
from autocompress.errors import ConfigError, DepthError, UnknownNameError
from models_table import DEPTH, RIVALS, images, inputs, make

ONE = torch.ones(1, 1, dtype=torch.float64)
NEW = [name for name in RIVALS if name.startswith(("input-fed", "detached"))]
every_new = pytest.mark.parametrize("name", NEW)


def scalar_trunk(rule: Any, *weights: float) -> ac.Trunk:
    """Layers f_i(x) = w_i x beside their skips."""
    blocks = []
    for weight in weights:
        layer = nn.Linear(1, 1, bias=False)
        nn.init.constant_(layer.weight, weight)
        blocks.append(ac.Block([ac.Branch(layer, nn.Identity())]))
    return ac.Trunk(blocks, rule).double()


def numbers(trunk: ac.Trunk, **options: Any) -> list[float]:
    return [y.item() for y in trunk.readouts(ONE, **options)]


def gradients(trunk: ac.Trunk, **options: Any) -> list[float]:
    trunk(ONE, **options).sum().backward()
    return [float(block.branches[0].body.weight.grad) for block in trunk.blocks]


def test_input_fed_by_hand() -> None:
    """x1 = 2; x2 = 3 (x1 + c) = 3 (2 + 0.5); x3 = 0.5 (x2 + c); the head reads all of them."""
    found = numbers(scalar_trunk({"name": "input_fed", "input": 0.5}, 2.0, 3.0, 0.5))
    assert found == [1.0, 1 + 2, 1 + 2 + 7.5, 1 + 2 + 7.5 + 4.0]


def test_input_fed_on_a_residual_stream_by_hand() -> None:
    """x1 = (1 + 2); x2 = (1 + 3)(x1 + 1); the head reads x2 + 0.5 x1 + 0.25 x0."""
    rule = {"name": "input_fed", "short": 1.0, "long": [0.25, 0.5]}
    assert numbers(scalar_trunk(rule, 2.0, 3.0)) == [1.0, 3 + 0.25, 16 + 0.5 * 3 + 0.25]


def test_input_fed_by_hand_in_a_layer_of_two_branches() -> None:
    """The skip that stays between the branches carries the input as well."""
    net = make("mixer", "input-fed")
    x0 = net.stem(images())
    xs = [x0]
    for index, block in enumerate(net.trunk.blocks):
        token, channel = block.branches
        u = xs[-1] + x0 if index else x0
        h = u + token.body(token.pre(u))
        xs.append(channel.body(channel.pre(h)))
    torch.testing.assert_close(net(images()), net.head(sum(xs)), atol=1e-6, rtol=1e-5)


def test_detached_forward_is_a_residual_network() -> None:
    weights = (2.0, -3.0, 0.5, 1.5)
    found = numbers(scalar_trunk("detached", *weights))
    assert found == numbers(scalar_trunk("residual", *weights))
    assert found[:3] == [1.0, 3.0, -6.0]


def test_detached_by_hand_in_a_layer_of_two_branches() -> None:
    """The stream gets what the last branch computes, from the sum of the stream and the first."""
    net = make("mixer", "detached-inner")
    stream = net.stem(images())
    for block in net.trunk.blocks:
        token, channel = block.branches
        h = stream + token.body(token.pre(stream))
        stream = stream + channel.body(channel.pre(h))
    torch.testing.assert_close(net(images()), net.head(stream), atol=1e-6, rtol=1e-5)


def test_detached_gradients_are_an_acn_s_at_the_inputs_of_a_residual_network() -> None:
    """With S_i the stream before layer i: d y / d w_i = S_i (1 + w_{i+1} + w_{i+1} w_{i+2} + ..).

    A residual network has (1 + w_{i+1}) (1 + w_{i+2}) .. in the place of that sum.
    """
    a, b, c, d = 2.0, 3.0, 0.5, -1.5
    streams = [1.0, 1 + a, (1 + a) * (1 + b), (1 + a) * (1 + b) * (1 + c)]
    sums = [1 + b + b * c + b * c * d, 1 + c + c * d, 1 + d, 1.0]
    found = gradients(scalar_trunk("detached", a, b, c, d))
    assert found == pytest.approx([s * g for s, g in zip(streams, sums, strict=True)])
    residual = gradients(scalar_trunk("residual", a, b, c, d))
    assert residual[0] == pytest.approx((1 + b) * (1 + c) * (1 + d))
    assert residual[0] != pytest.approx(found[0])


def test_detached_and_no_mediated_gradient_leaves_the_long_connection() -> None:
    found = gradients(scalar_trunk("detached", 2.0, 3.0, 0.5), mediated=0.0)
    assert found == pytest.approx([1.0, 3.0, 12.0])  # the input of each layer, times one


def test_the_input_learns_from_every_layer_that_it_is_fed_to() -> None:
    """d y / d x0 where y = x0 (1 + a + b (a + c) + d (b (a + c) + c))."""
    a, b, d, c = 2.0, 3.0, 0.5, 0.25
    x0 = ONE.clone().requires_grad_()
    scalar_trunk({"name": "input_fed", "input": c}, a, b, d)(x0).sum().backward()
    assert float(x0.grad) == pytest.approx(1 + a + b * (a + c) + d * (b * (a + c) + c))


class Counted(TorchDispatchMode):
    """Counts the additions and multiplications of a forward pass."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.calls[func.overloadpacket.__name__] += 1
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize(
    ("rule", "additions", "products"),
    [
        ("acn", 3, 0),
        ({"name": "input_fed", "input": 0.0}, 3, 0),
        ({"name": "input_fed", "input": 1.0}, 3 + 2, 0),
        ({"name": "input_fed", "input": 0.5}, 3 + 2, 2),
        ("detached", 3 + 2, 0),
    ],
)
def test_constants_cost_nothing(rule: Any, additions: int, products: int) -> None:
    trunk = scalar_trunk(rule, 2.0, 3.0, 0.5)
    with torch.no_grad(), Counted() as counted:
        trunk(ONE)
    assert (counted.calls["add"], counted.calls["mul"]) == (additions, products)


def test_input_at_zero_is_the_plane_bit_for_bit() -> None:
    net, fed = make("vit", "acn-inner"), make("vit", "acn-inner")
    fed.set_connectivity({"name": "input_fed", "input": 0.0, "inner": 1.0})
    assert torch.equal(net(images()), fed(images()))


@every_new
@pytest.mark.parametrize("depth", range(DEPTH + 1))
def test_config_there_and_back(name: str, depth: int) -> None:
    rule = make_rule(RIVALS[name], DEPTH).cut(depth)
    again = make_rule(rule.to_config(), depth)
    assert again.depth == depth
    assert (type(again), again.to_config()) == (type(rule), rule.to_config())
    small = ac.cut(make("mixer", name), depth)
    rebuilt = ac.cut(make("mixer", name), depth)
    rebuilt.set_connectivity(rule.to_config())
    assert torch.equal(small(images()), rebuilt(images()))


@every_new
def test_two_passes_may_interleave(name: str) -> None:
    net = make("mixer", name)
    one, two = net.readouts(images()), net.readouts(images(seed=5))
    pairs = list(zip(one, two, strict=True))
    assert torch.equal(pairs[-1][0], net(images()))
    assert torch.equal(pairs[-1][1], net(images(seed=5)))


def test_who_is_an_ordinary_residual_network() -> None:
    """A forward pass does not tell: detached trains otherwise, and no host has its gradient."""
    assert make_rule(
        {"name": "input_fed", "input": 0.0, "short": 1.0, "long": 0.0}, 3
    ).is_residual()
    assert not make_rule({"name": "input_fed", "short": 1.0, "long": 0.0}, 3).is_residual()
    assert not make_rule("detached", 3).is_residual()


def test_wrong_options() -> None:
    with pytest.raises(ConfigError, match="input nan must be a finite number"):
        make_rule({"name": "input_fed", "input": float("nan")}, 3)
    with pytest.raises(ConfigError, match="2 values for 3 layers"):
        make_rule({"name": "input_fed", "long": [1.0, 0.5]}, 3)
    with pytest.raises(UnknownNameError, match="did you mean 'inner'"):
        make_rule({"name": "detached", "iner": 1.0}, 3)
    with pytest.raises(DepthError):
        make_rule("detached", 3).cut(4)
    with pytest.raises(ConfigError, match="no gates that can be moved"):
        make_rule("input_fed", 3).move(1.0, 0.0)


@every_new
@pytest.mark.parametrize("model", ["encoder", "decoder"])
def test_token_models_take_them(model: str, name: str) -> None:
    net, ids = make(model, name), inputs(model)
    assert torch.equal(ac.cut(net, 2)(ids), net(ids, depth=2))
