"""LayerSkip and Aligned: probabilities, weights and what a pass without some layers computes."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import autocompress as ac
from autocompress.errors import ConfigError
from autocompress.training.distil import Readouts, shallow_loss
from autocompress.training.layer_dropout import layer_drop
from autocompress.trunk import add_skip
from hosts import batch, host
from models_table import CONNECTIVITIES, DEPTH, RIVALS, images, inputs, make
from toy import config, quiet_fit, same, source, weights


class Scale(nn.Module):
    """A branch that multiplies by one number."""

    def __init__(self, weight: float) -> None:
        super().__init__()
        self.weight = weight

    def forward(self, x: torch.Tensor, skip: Any) -> torch.Tensor:
        return add_skip(self.weight * x, x, skip)


def readouts(rule: Any, dropped: set[int]) -> list[float]:
    """Of f_1 = 2 x, f_2 = 3 x, f_3 = 5 x at x_0 = 1, the dropped ones left out."""
    trunk = ac.Trunk([ac.Block([Scale(w)]) for w in (2.0, 3.0, 5.0)], rule)
    states = trunk.states(torch.ones(1, 1), dropped=dropped)
    return [float(trunk.connectivity.readout(state).detach()) for state in states]


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("residual", [1, 3, 3, 18]),  # x1 = 3; left out; 3 + 5 * 3
        ("ffn", [1, 2, 2, 10]),
        ("acn", [1, 3, 3, 13]),  # x1 = 2: 1 + 2; left out; x3 = 10: 1 + 2 + 10
        ("denseformer", [1, 3, 3, 18]),
        ({"name": "hyper", "streams": 1}, [1, 3, 3, 18]),
    ],
)
def test_a_pass_without_the_second_layer(rule: Any, expected: list[float]) -> None:
    assert readouts(rule, {1}) == pytest.approx(expected)


@pytest.mark.parametrize("rule", [*CONNECTIVITIES, *RIVALS])
def test_nothing_dropped_and_everything_dropped(rule: str) -> None:
    net = make("mixer", rule)
    depths = list(range(1, DEPTH + 1))
    whole, _ = Readouts(net)(images(), depths, 1.0, ())
    none, _ = Readouts(net)(images(), depths)
    assert all(torch.equal(a, b) for a, b in zip(whole, none, strict=True))
    if rule not in ("dense", "hyper"):  # these mix what they have without a layer, too
        bare, _ = Readouts(net)(images(), [DEPTH], 1.0, set(range(DEPTH)))
        torch.testing.assert_close(bare[0], net(images(), depth=0))


def test_dropping_the_top_is_cutting() -> None:
    for rule in ("residual", "acn", "hacn"):
        net = make("vit", rule)
        (dropped,), _ = Readouts(net)(images(), [DEPTH], 1.0, {DEPTH - 1, DEPTH - 2})
        assert torch.equal(dropped, net(images(), depth=DEPTH - 2))


@pytest.mark.parametrize("rule", ["residual", "acn", "acn-inner"])
@torch.no_grad()
def test_an_encoder_with_padding_and_without_a_layer(rule: str) -> None:
    """The layer is left out, not the mask: as in the network that has the other layers only."""
    net, fewer = make("encoder", rule), make("encoder", rule, depth=DEPTH - 1)
    for part in ("stem", "head"):
        getattr(fewer, part).load_state_dict(getattr(net, part).state_dict())
    others = [block for index, block in enumerate(net.trunk.blocks) if index != 1]
    for new, block in zip(fewer.trunk.blocks, others, strict=True):
        new.load_state_dict(block.state_dict())
    ids = inputs("encoder")
    ids[:, -2:] = net.config["pad"]
    (found,), _ = Readouts(net)(ids, [DEPTH], 1.0, {1})
    assert torch.equal(found, fewer(ids))


@pytest.mark.parametrize("name", ["timm-vit", "timm-convnext", "hf-bert"])
@torch.no_grad()
def test_layers_of_converted_networks(name: str) -> None:
    """Also of stage-wise ones, whose layers are counted through all stages."""
    model = host(name)
    net, inputs = ac.convert(model, "acn"), batch(model)
    x = inputs.get("x", inputs)
    called: list[int] = []
    layers = [layer for trunk in net.trunks for layer in trunk.blocks]
    for index, layer in enumerate(layers):
        layer.register_forward_hook(lambda *_, i=index: called.append(i))
    *_, last = net.states(x, dropped={1})
    assert called == [k for k in range(net.depth) if k != 1]
    *_, last = net.states(x, dropped={net.depth - 1})
    torch.testing.assert_close(net.read(last), net(x, depth=net.depth - 1))


def test_the_probabilities_by_hand() -> None:
    """p_l = p_max (e^(l ln 2 / (L - 1)) - 1), times e^(t ln 2) - 1 in training from scratch."""
    expected = [0.2 * (math.exp(layer * math.log(2) / 4) - 1) for layer in range(5)]
    assert layer_drop(0.2, 5) == pytest.approx(expected)
    late = [p * (math.exp(0.3 * math.log(2)) - 1) for p in expected]
    assert layer_drop(0.2, 5, progress=0.3) == pytest.approx(late)
    assert layer_drop(0.2, 5, progress=0.0) == [0.0] * 5


def test_layers_are_dropped_as_often_as_they_should() -> None:
    """200 steps of a four-layer net: the gradient of a layer is missing as often as its p says."""
    net, calls = make("mlp", "residual"), [0] * DEPTH

    def count(index: int) -> Any:
        def step(_: Any, inputs: Any, __: Any) -> None:  # the look at a first batch has no gradient
            calls[index] += int(torch.is_grad_enabled())

        return step

    for index, block in enumerate(net.trunk.blocks):
        block.register_forward_hook(count(index))
    steps = 200
    quiet_fit(net, source(64), None, config(epochs=steps // 2, batch_size=32, layer_drop=0.6))
    for p, called in zip(layer_drop(0.6, DEPTH), calls, strict=True):
        assert abs(called - steps * (1 - p)) <= 4 * math.sqrt(steps * p * (1 - p)), (p, called)


def test_rotation_visits_every_depth() -> None:
    distil = ac.DistilConfig.layerskip(every=4)
    taught = [distil.depths(8, step) for step in range(4)]
    assert taught == [[4, 8], [3, 7, 8], [2, 6, 8], [1, 5, 8]]
    assert distil.depths(8, 4) == taught[0]


def test_layerskip_loss_by_hand() -> None:
    """L = 4, e_scale 0.2, depths 2, 3, 4 are layers l = 1, 2, 3: e = 0.2, 0.6, 3 + 0.6."""
    torch.manual_seed(0)
    logits, labels = [torch.randn(5, 3) for _ in range(3)], torch.tensor([0, 1, 2, 0, 1])
    losses = [F.cross_entropy(one, labels) for one in logits]
    distil = ac.DistilConfig(teacher="labels", profile="layerskip", weight=0.2)
    full, shallow = distil.balance([2, 3, 4])
    found = full * losses[-1] + shallow * shallow_loss(logits, [2, 3, 4], labels, distil)
    by_hand = (0.2 * losses[0] + 0.6 * losses[1] + 3.6 * losses[2]) / (0.2 + 0.6 + 3.6)
    torch.testing.assert_close(found, by_hand)


def test_aligned_loss_is_the_papers_up_to_a_factor() -> None:
    """Sum over l of 2 (l + 1) / (L (L + 1)) loss_l, l from 0; here times (L + 1) / 2."""
    torch.manual_seed(0)
    logits, labels = [torch.randn(5, 3) for _ in range(4)], torch.tensor([0, 1, 2, 0, 1])
    losses = [F.cross_entropy(one, labels) for one in logits]
    distil, depths = ac.DistilConfig.aligned(4), [1, 2, 3, 4]
    full, shallow = distil.balance(depths)
    found = full * losses[-1] + shallow * shallow_loss(logits, depths, labels, distil)
    papers = sum(2 * (layer + 1) / (4 * 5) * loss for layer, loss in enumerate(losses))
    torch.testing.assert_close(found, 5 / 2 * papers)


def test_named_depths_by_hand() -> None:
    """Weights 0.8 and 0.6 at depths 1 and 2, full depth 1 (BranchyNet's, paper appendix H)."""
    torch.manual_seed(0)
    logits, labels = [torch.randn(5, 3) for _ in range(3)], torch.tensor([0, 1, 2, 0, 1])
    distil = ac.DistilConfig(teacher="labels", at={1: 0.8, 2: 0.6, 9: 0.4})
    assert distil.depths(4) == [1, 2, 4]
    full, shallow = distil.balance([1, 2, 4])
    losses = [F.cross_entropy(one, labels) for one in logits]
    found = full * losses[-1] + shallow * shallow_loss(logits, [1, 2, 4], labels, distil)
    torch.testing.assert_close(found, 0.8 * losses[0] + 0.6 * losses[1] + losses[2])


def test_it_resumes_bit_for_bit_and_learns(tmp_path: Path) -> None:
    whole, half = (make("mixer", "acn", width=16) for _ in range(2))
    settings = config(epochs=4, layer_drop=0.4, layer_drop_grows=True)
    settings = ac.FitConfig(**{**vars(settings), "distil": ac.DistilConfig.layerskip(every=2)})
    quiet_fit(whole, source(), None, settings)

    from autocompress.errors import InterruptedRunError
    from toy import StopsAfter

    inner = source()
    with pytest.raises(InterruptedRunError):
        quiet_fit(half, StopsAfter(inner, 2), None, settings, run=tmp_path)
    again = make("mixer", "acn", width=16)
    quiet_fit(again, inner, None, settings, run=tmp_path, resume=True)
    assert same(weights(whole), weights(again))


def test_wrong_settings() -> None:
    with pytest.raises(ConfigError, match=r"layer_drop 1\.0"):
        ac.FitConfig(layer_drop=1.0)
    with pytest.raises(ConfigError, match="compile"):
        ac.FitConfig(layer_drop=0.1, compile="default")
    with pytest.raises(ConfigError, match=r"distil\.at"):
        ac.DistilConfig(at={0: 1.0})
