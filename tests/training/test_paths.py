"""Paths through the plane: who stands where, when, and what is left at the end."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import autocompress as ac
from autocompress.connectivity import Plane
from autocompress.errors import ConfigError, UnknownNameError
from autocompress.training import PATHS, find_path
from autocompress.training.paths import GateSchedule
from autocompress.trunk import add_skip
from models_table import RIVALS, images, make
from toy import config, quiet_fit, source


def test_shapes_by_hand() -> None:
    line = ac.PathConfig(start=0.2, stop=0.6)
    assert line.at(0.1) == (1.0, 0.0)
    assert line.at(0.4) == pytest.approx((0.5, 0.5))
    assert line.at(0.9) == (0.0, 1.0)
    cosine = ac.PathConfig(start=0.0, stop=1.0, shape="cosine")
    assert cosine.at(0.25)[0] == pytest.approx(0.5 + 0.5 * math.cos(math.pi / 4))
    elsewhere = ac.PathConfig(begin=(0.0, 1.0), end=(0.6, 0.2), start=0.0, stop=1.0)
    assert elsewhere.at(0.5) == pytest.approx((0.3, 0.6))


def test_layers_take_turns() -> None:
    top = ac.PathConfig(start=0.0, stop=1.0, order="top")
    assert [top.at(0.375, layer, 4)[0] for layer in range(4)] == [1.0, 1.0, 0.5, 0.0]
    bottom = ac.PathConfig(start=0.0, stop=1.0, order="bottom")
    assert [bottom.at(0.375, layer, 4)[0] for layer in range(4)] == [0.0, 0.5, 1.0, 1.0]


@given(
    progress=st.lists(st.floats(0, 1), min_size=2, max_size=2),
    shape=st.sampled_from(["linear", "cosine"]),
    order=st.sampled_from(["together", "top", "bottom"]),
    layers=st.integers(1, 6),
)
def test_a_path_never_turns_back(
    progress: list[float], shape: str, order: str, layers: int
) -> None:
    path = ac.PathConfig(start=0.1, stop=0.8, shape=shape, order=order)  # type: ignore[arg-type]
    early, late = sorted(progress)
    for layer in range(layers):
        (s0, g0), (s1, g1) = (path.at(p, layer, layers) for p in (early, late))
        assert 0 <= s1 <= s0 <= 1
        assert 0 <= g0 <= g1 <= 1
        assert s0 + g0 == pytest.approx(1)
        assert path.at(0.1, layer, layers) == (1.0, 0.0)
        assert path.at(0.8, layer, layers) == pytest.approx((0.0, 1.0))


def test_gates_stand_where_the_path_says() -> None:
    net = make("mixer", "acn")
    path = GateSchedule(ac.PathConfig(start=0.0, stop=1.0, order="top", inner=None), net)
    path.move(net, 0.375)
    rule = net.trunk.connectivity
    assert isinstance(rule, Plane)
    assert rule.gates.values() == ([1.0, 1.0, 0.5, 0.0], [0.0, 0.0, 0.5, 1.0])
    path.finish(net)
    assert net.config["connectivity"] == "acn"


def test_a_path_can_stop_anywhere() -> None:
    net = make("vit", "acn")
    halfway = ac.PathConfig(end=(0.4, 0.6), start=0.0, stop=0.5, inner=None)
    quiet_fit(net, source(), None, config(path=halfway))
    rule = net.config["connectivity"]
    assert isinstance(rule, dict)
    assert rule["short"] == pytest.approx([0.4] * 4)
    assert rule["long"] == pytest.approx([0.6] * 4)


@pytest.mark.parametrize("name", PATHS)
def test_a_path_by_its_name(name: str) -> None:
    by_name, itself = make("mlp", "residual"), make("mlp", "residual")
    quiet_fit(by_name, source(), None, config(epochs=2), path=name)
    quiet_fit(itself, source(), None, config(epochs=2, path=PATHS[name]))
    assert by_name.config["connectivity"] == {"name": "acn", "inner": 1.0}
    assert torch.equal(by_name(images()), itself(images()))


@pytest.mark.parametrize("ema", [None, 0.5])
@pytest.mark.parametrize("stop", [0.7, 1.0])
def test_the_last_scores_are_those_of_the_final_network(stop: float, ema: float | None) -> None:
    """Also those of a path that ends with the run."""
    net, validation = make("mlp", "acn"), source(200, seed=1)
    path = ac.PathConfig(start=0.0, stop=stop)
    run = quiet_fit(net, source(), validation, config(epochs=1, lr=1e-2, path=path, ema=ema))
    final = ac.probe(net, validation)
    assert run.history[-1]["depths"] == pytest.approx(final.scores)
    assert run.history[-1]["losses"] == pytest.approx(final.losses)


def test_a_path_begins_at_the_network_that_it_was_given() -> None:
    """Annealing starts at (1, 0): before the first step a residual network is what it was."""
    net = make("vit", "residual")
    before = net(images())
    GateSchedule(ac.PathConfig(), net)
    torch.testing.assert_close(net(images()), before)


def test_wrong_paths() -> None:
    assert find_path(None) is None
    with pytest.raises(UnknownNameError, match="anneal"):
        quiet_fit(make("mlp", "acn"), source(), None, config(), path="aneal")
    with pytest.raises(UnknownNameError, match="cosine"):
        ac.PathConfig(shape="square")  # type: ignore[arg-type]
    with pytest.raises(UnknownNameError, match="together"):
        ac.PathConfig(order="left")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="start < stop"):
        ac.PathConfig(start=0.9, stop=0.2)


@pytest.mark.parametrize("rule", [*RIVALS, "learned", "hacn", "per-channel"])
def test_a_path_does_not_replace_connections_of_another_kind(rule: str) -> None:
    """What they have learned would be lost, and what is trained would be another network."""
    net = make("mlp", rule)
    before = net(images())
    with pytest.raises(ConfigError, match="would replace those of this network, {'name': "):
        quiet_fit(net, source(), None, config(epochs=1), path="anneal")
    assert torch.equal(net(images()), before)
    assert net.config["connectivity"] != "acn"


# -- the share of the mediated gradient ------------------------------------------------------------


def gradients(share: float) -> tuple[list[torch.Tensor], ac.Network]:
    net = make("mlp", "acn")
    net(images(), mediated=share).square().sum().backward()
    found = [b.branches[0].body[0].weight.grad for b in net.trunk.blocks]  # type: ignore
    return [g for g in found if g is not None], net


def test_mediated_share_leaves_the_output_as_it_is() -> None:
    net = make("vit", "acn-inner")
    for share in (0.0, 0.3, 1.0):
        assert torch.equal(net(images(), mediated=share), net(images()))


class _Scale(torch.nn.Module):
    """A branch that multiplies by one number, in double precision."""

    def __init__(self, weight: float) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.tensor(weight, dtype=torch.float64))

    def forward(self, x: torch.Tensor, skip: object) -> torch.Tensor:
        return add_skip(self.weight * x, x, skip)  # type: ignore[arg-type]


@given(share=st.floats(0, 1))
def test_mediated_share_against_the_closed_form(share: float) -> None:
    """y = x0 + f1(x0) + f2(f1(x0)), f_i(x) = w_i x: dy/dw1 = x0 (1 + share w2)."""

    trunk = ac.Trunk([ac.Block([_Scale(w)]) for w in (0.5, -3.0)], "acn")
    x = torch.tensor([2.0], dtype=torch.float64)
    trunk(x, mediated=share).sum().backward()
    first, second = (parameter.grad for parameter in trunk.parameters())
    assert float(first) == pytest.approx(2.0 * (1 - 3.0 * share))  # type: ignore[arg-type]
    assert float(second) == pytest.approx(0.5 * 2.0)  # type: ignore[arg-type]


def test_mediated_share_is_linear_between_its_ends() -> None:
    """With two layers the gradient is linear in the share; the last layer's does not change."""
    direct, _ = gradients(0.0)
    full, _ = gradients(1.0)
    some, _ = gradients(0.3)
    torch.testing.assert_close(some[-1], full[-1])
    torch.testing.assert_close(some[-2], 0.7 * direct[-2] + 0.3 * full[-2])


def test_wrong_share() -> None:
    with pytest.raises(ConfigError, match="between 0 and 1"):
        make("mlp", "acn")(images(), mediated=1.5)
