"""DenseFormer, hyper-connections and dense connections, against cases computed by hand."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest
import torch
from torch import nn

import autocompress as ac
from autocompress.connectivity import Connectivity
from autocompress.errors import ConfigError, ShapeError, UnknownNameError
from autocompress.trunk import add_skip
from marks import slow_but
from models_table import (
    DEPTH,
    MODELS,
    RIVALS,
    depths_of,
    every_model,
    every_rival,
    images,
    inputs,
    make,
)
from toy import config, quiet_fit, same, source, weights


class Scale(nn.Module):
    """A branch that multiplies by one number."""

    def __init__(self, weight: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(weight))

    def forward(self, x: torch.Tensor, skip: object) -> torch.Tensor:
        return add_skip(self.weight * x, x, skip)  # type: ignore[arg-type]


def trunk(rule: object) -> ac.Trunk:
    """Two layers, f_1(x) = 2 x and f_2(x) = 3 x beside their skips."""
    return ac.Trunk([ac.Block([Scale(w)]) for w in (2.0, 3.0)], rule)  # type: ignore[arg-type]


def shaken(net: ac.Network) -> ac.Network:
    """With learned parts of the rule away from where they start."""
    torch.manual_seed(7)
    with torch.no_grad():
        for parameter in net.trunk.connectivity.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return net


def test_denseformer_by_hand() -> None:
    """x0 = 1; x1 = 3 y0; y1 = a x0 + b x1; x2 = 4 y1; y2 = c x0 + d x1 + e x2."""
    net = trunk("denseformer")
    with torch.no_grad():
        net.connectivity.weights.copy_(torch.tensor([[0.5, 2.0, 0.0], [0.1, 0.2, 0.3]]))
    y = [float(v.detach()) for v in net.readouts(torch.ones(1, 1))]
    y1 = 0.5 * 1 + 2.0 * 3
    assert y == pytest.approx([1.0, y1, 0.1 * 1 + 0.2 * 3 + 0.3 * 4 * y1])


def test_hyper_connections_by_hand() -> None:
    """Two streams; layer 1 reads 0.5 h1 + h2, mixes by R, writes 2 f and -f."""
    net = trunk({"name": "hyper", "streams": 2})
    rule = net.connectivity
    with torch.no_grad():
        rule.read[0] = torch.tensor([0.5, 1.0])
        rule.mix[0] = torch.tensor([[1.0, 0.25], [0.0, 1.0]])
        rule.write[0] = torch.tensor([2.0, -1.0])
    h = 1.5
    streams = (1 + 2 * 2 * h, 0.25 + 1 - 2 * h)
    read = streams[1]  # layer 2 starts with the second stream
    last = [s + 3 * read for s in streams]
    y = [float(v.detach()) for v in net.readouts(torch.ones(1, 1))]
    assert y == pytest.approx([1.0, sum(streams) / 2, sum(last) / 2])


def test_dense_by_hand() -> None:
    """x1 = 2 (0.5 x0); x2 = 3 (w0 x0 + w1 x1)."""
    net = trunk({"name": "dense", "channels": 1})
    with torch.no_grad():
        net.connectivity.maps[0].weight.copy_(torch.tensor([[0.5]]))
        net.connectivity.maps[1].weight.copy_(torch.tensor([[0.25, -2.0]]))
    y = [float(v.detach()) for v in net.readouts(torch.ones(1, 1))]
    assert y == pytest.approx([1.0, 1.0, 3 * (0.25 - 2.0)])


@every_model
@pytest.mark.parametrize("rival", ["denseformer", "hyper"])
def test_a_residual_network_at_the_start(model: str, rival: str) -> None:
    x = inputs(model)
    torch.testing.assert_close(
        make(model, rival)(x), make(model, "residual")(x), atol=1e-5, rtol=1e-5
    )


@pytest.mark.parametrize(
    ("model", "rival"),
    slow_but(
        list(product(MODELS, RIVALS)),
        [*((model, "hyper") for model in MODELS), *(("mixer", rival) for rival in RIVALS)],
    ),
)
def test_cut_equals_readout_bit_for_bit(model: str, rival: str) -> None:
    net, x = shaken(make(model, rival)), inputs(model)
    for depth, logits in depths_of(net, x):
        assert torch.equal(ac.cut(net, depth)(x), logits)
        assert torch.equal(net(x, depth=depth), logits)


@every_rival
def test_saved_and_read_again(rival: str, tmp_path: Path) -> None:
    net = shaken(make("mixer", rival))
    ac.save(net, tmp_path / "net")
    again = ac.load(tmp_path / "net")
    assert same(weights(net), weights(again))
    assert torch.equal(again(images()), net(images()))


@pytest.mark.parametrize("rival", slow_but(RIVALS, ["hyper"]))
def test_no_graph_breaks(rival: str) -> None:
    net = shaken(make("vit", rival))
    fast = torch.compile(net, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(fast(images()), net(images()), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("rival", slow_but(RIVALS, ["denseformer", "hyper", "detached"]))
def test_it_learns(rival: str) -> None:
    net = make("mixer", rival, width=16)
    run = quiet_fit(net, source(), source(48, seed=1), config(epochs=20))
    assert run.history[-1]["validation"] > 0.9


@every_rival
def test_it_drops_layers_while_training(rival: str) -> None:
    net = make("vit", rival)
    live = ac.LiveConfig(tolerance=0.999, patience=1, start=0.5, spare=1)
    quiet_fit(net, source(), source(48, seed=1), config(epochs=4, live=live))
    assert net.depth < DEPTH


#: Rules with parameters of their own, of the library and of a user.
LEARNING = ["hacn", "learned", "per-channel", "denseformer", "hyper", "dense"]


@pytest.mark.parametrize("rule", LEARNING)
@pytest.mark.parametrize("how", ["cut", "first", "keep"])
def test_what_is_frozen_stays_frozen_in_fewer_layers(rule: str, how: str) -> None:
    """Every second parameter of the rule; the rest goes on learning."""
    net = make("mixer", rule)
    for index, parameter in enumerate(net.trunk.connectivity.parameters()):
        parameter.requires_grad_(index % 2 == 1)
    before = {name: p.requires_grad for name, p in net.named_parameters()}
    small = net
    if how == "keep":
        net.keep(2)
    else:
        small = getattr(net, how)(2)
    after = {name: p.requires_grad for name, p in small.named_parameters()}
    assert after == {name: before[name] for name in after}
    assert any(name.startswith("trunk.connectivity") and not on for name, on in after.items())


def test_a_rule_of_ones_own_stays_frozen_and_in_its_mode() -> None:
    """Its ``cut`` makes a new rule and need not think of either."""

    class Faded(Connectivity[torch.Tensor]):
        def __init__(self, depth: int) -> None:
            super().__init__()
            self.depth, self.fade = depth, nn.Parameter(torch.ones(depth))
            self.noise = nn.Dropout(0.5)

        def begin(self, x0: torch.Tensor) -> torch.Tensor:
            return x0

        def step(self, state: torch.Tensor, index: int, block: object) -> torch.Tensor:
            return self.noise(self.fade[index] * block(state))  # type: ignore[operator, no-any-return]

        def readout(self, state: torch.Tensor) -> torch.Tensor:
            return state

        def cut(self, depth: int) -> Faded:
            twin = Faded(depth)
            twin.fade.data = self.fade.detach()[:depth].clone()
            return twin

        def to_config(self) -> dict[str, object]:
            return {"name": "faded"}

    net = make("mlp", "acn")
    net.set_connectivity(Faded(net.depth))
    net.trunk.connectivity.requires_grad_(False)
    small = ac.cut(net, 2)
    assert not small.trunk.connectivity.fade.requires_grad
    assert torch.equal(small(images()), net(images(), depth=2))  # nothing dropped: eval mode
    assert not any(module.training for module in small.modules())
    assert all(module.training for module in ac.cut(net.train(), 2).modules())


def test_frozen_gates_have_no_gradient_after_a_cut_in_a_run() -> None:
    """No optimizer holds them, so a gradient would be kept for ever and clipped with the others."""

    class Watch(ac.Hook):
        found: list[bool] = []  # noqa: RUF012 - of one test

        def before_step(self, net: ac.Network) -> None:
            self.found.append(net.trunk.connectivity.gates.share.grad is None)

    net = make("mlp", "hacn")
    net.trunk.connectivity.requires_grad_(False)
    halved = ac.CutConfig(at=(0.5,), layers=(2,))
    quiet_fit(net, source(), None, config(epochs=4, cut=halved), hooks=[Watch()])
    assert net.depth == 2
    assert Watch.found == [True] * 12  # three batches an epoch


def test_wrong_options() -> None:
    with pytest.raises(ConfigError, match="streams 0"):
        trunk({"name": "hyper", "streams": 0})
    with pytest.raises(ShapeError, match="dense rule of 5 channels"):
        trunk({"name": "dense", "channels": 5})(torch.ones(1, 1))
    with pytest.raises(UnknownNameError, match="denseformer"):
        trunk("densformer")
