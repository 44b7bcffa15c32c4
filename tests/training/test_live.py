"""Depth that changes while training: the rule, and that everything else follows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

import autocompress as ac
from autocompress.errors import ConfigError, InterruptedRunError
from autocompress.training.carrying import carry_over
from autocompress.training.optimization import make_optimizer
from hosts import host
from marks import slow_but
from models_table import DEPTH, every_connectivity, images, make
from toy import StopsAfter, config, quiet_fit, same, source, weights

#: Drops to one layer as soon as it may, whatever the scores.
AT_ONCE = ac.LiveConfig(tolerance=0.999, patience=1, start=0.0, spare=1)


def seen(*depths: list[float]) -> list[dict[str, Any]]:
    return [{"epoch": i + 1, "depths": scores} for i, scores in enumerate(depths)]


def test_the_rule() -> None:
    rule = ac.LiveConfig(tolerance=0.01, patience=2, start=0.0, spare=0)
    needs_one, needs_two = [0.1, 0.9, 0.9, 0.9], [0.1, 0.5, 0.9, 0.9]
    assert rule.depth(seen(needs_one, needs_one), 4) == 1
    assert rule.depth(seen(needs_two, needs_one), 4) == 2, "the deepest of the last two"
    assert rule.depth(seen(needs_one), 4) is None, "not for long enough"
    assert rule.depth(seen([0.1, 0.2, 0.5, 0.9], needs_one), 4) is None, "one needed them all"
    assert rule.depth(seen(needs_one[:3], needs_one), 4) is None, "not of one depth"
    assert rule.depth([*seen(needs_one, needs_one), {"epoch": 3}], 4) is None, "not evaluated now"
    assert ac.LiveConfig(tolerance=0.01, patience=2, start=0.0, spare=1).depth(
        seen(needs_one, needs_one), 4
    ) == 2  # fmt: skip
    assert ac.LiveConfig(patience=1, start=0.5).depth(seen(needs_one), 4) is None, "too early"
    assert ac.LiveConfig(patience=1, start=0.0, spare=0).depth(seen([0.9, 0.9, 0.9]), 4) == 1


@every_connectivity
def test_keep_equals_cut(connectivity: str) -> None:
    net = make("vit", connectivity)
    small, kept = net.cut(2), list(net.trunk.blocks[:2])
    net.keep(2)
    assert net.config == small.config
    assert torch.equal(net(images()), small(images()))
    assert all(a is b for a, b in zip(net.trunk.blocks, kept, strict=True)), "not copies"
    assert net.keep(2) is None


def test_keep_shortens_a_converted_network() -> None:
    net = ac.convert(host("hf-bert"), "acn")
    small = net.cut(1)
    net.keep(1)
    assert net.depth == 1
    assert net.model.config.num_hidden_layers == 1
    assert same(weights(net), weights(small))


@pytest.mark.parametrize("connectivity", ["acn", "hacn", "learned"])
@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_the_optimizer_keeps_its_memory(connectivity: str, optimizer: str) -> None:
    net = make("mixer", connectivity)
    memory = make_optimizer(net, config(optimizer=optimizer))
    net(images()).square().sum().backward()
    memory.step()
    before = {name: dict(memory.state[p]) for name, p in net.named_parameters()}
    parameters = list(net.named_parameters())
    net.keep(2)
    carry_over(memory, parameters, net.named_parameters())
    left = dict(net.named_parameters())
    in_groups = [p for group in memory.param_groups for p in group["params"]]
    assert {id(p) for p in in_groups} == {id(p) for p in left.values()}
    for name, parameter in left.items():
        assert memory.state[parameter].keys() == before[name].keys()
        for key, value in memory.state[parameter].items():
            was = before[name][key]
            if isinstance(was, torch.Tensor) and was.ndim:
                assert value.shape == parameter.shape
                assert torch.equal(value, was[: len(value)])
            else:
                assert value == was
    net(images()).square().sum().backward()
    memory.step()


def test_dropping_what_adds_nothing_changes_nothing() -> None:
    """Layers above the kept ones whose bodies are zero: live depth and full depth train alike."""

    def net() -> ac.Network:
        made = make("mlp", "acn")
        for block in made.trunk.blocks[1:]:
            for parameter in block.parameters():
                parameter.requires_grad_(False).zero_()
        return made

    whole, live = net(), net()
    options = {"epochs": 4, "weight_decay": 0.0, "clip_norm": None}
    quiet_fit(whole, source(), source(48, seed=1), config(**options))
    rule = ac.LiveConfig(patience=2, start=0.0, spare=0)
    run = quiet_fit(live, source(), source(48, seed=1), config(**options, live=rule))
    assert [r.get("kept") for r in run.history] == [None, 1, None, None]
    assert live.depth == 1
    assert torch.equal(whole(images()), live(images()))


@pytest.mark.parametrize(
    "options",
    slow_but(
        [
            {},
            {"ema": 0.9},
            {"optimizer": "sgd", "lr": 0.05},
            {"optimizer": "muon", "lr": 0.01},
            {"path": ac.PathConfig(start=0.1, stop=0.8, order="top")},
            {"distil": ac.DistilConfig()},
            {"compile": "default"},
        ],
        [{}, {"ema": 0.9}],
    ),
    ids=["adamw", "ema", "sgd", "muon", "path", "distil", "compiled"],
)
def test_live_depth_resumes_bit_for_bit(options: dict[str, object], tmp_path: Path) -> None:
    data, options = source(48, seed=1), {"epochs": 4, "live": AT_ONCE, **options}
    rule = "residual" if "path" in options else "hacn"  # whose gates a path would replace
    whole, stopped, resumed = (make("mixer", rule, dropout=0.1) for _ in range(3))
    run = quiet_fit(whole, source(), data, config(**options), run=tmp_path / "a")
    with pytest.raises(InterruptedRunError):
        quiet_fit(stopped, StopsAfter(source(), 2), data, config(**options), run=tmp_path / "b")
    quiet_fit(resumed, source(), data, config(**options), run=tmp_path / "b", resume=True)
    assert run.history[0]["kept"] == whole.depth < DEPTH
    assert same(weights(whole), weights(resumed))
    lines = (tmp_path / "b" / "metrics.jsonl").read_text().splitlines()
    assert json.loads(lines[0])["kept"] == whole.depth


def test_live_depth_is_what_is_saved(tmp_path: Path) -> None:
    net = make("mixer", "acn")
    quiet_fit(net, source(), source(48, seed=1), config(live=AT_ONCE))
    ac.save(net, tmp_path / "net")
    again = ac.load(tmp_path / "net")
    assert again.depth == net.depth < DEPTH
    assert torch.equal(again(images()), net(images()))


# -- progressive start -----------------------------------------------------------------------------


def test_growth_by_hand() -> None:
    grow = ac.GrowConfig(layers=1, until=0.6)
    assert [grow.depth(p, 3) for p in (0.0, 0.19, 0.21, 0.41, 0.6, 1.0)] == [1, 1, 2, 3, 3, 3]
    assert ac.GrowConfig(layers=9).depth(0.0, 4) == 4


def test_layers_that_have_not_joined_stay_as_they_were() -> None:
    """Of four layers the last joins after 3/4 of ``until``: three steps of four are too few."""
    net = make("mlp", "acn")
    before = [weights(block) for block in net.trunk.blocks]
    grow = ac.GrowConfig(layers=1, until=1.0)
    quiet_fit(net, source(96), None, config(epochs=1, grow=grow))
    now = [weights(block) for block in net.trunk.blocks]
    assert [same(a, b) for a, b in zip(before, now, strict=True)] == [False, False, False, True]


def test_growth_costs_less_and_resumes(tmp_path: Path) -> None:
    options = {"epochs": 4, "grow": ac.GrowConfig(layers=1, until=0.9)}
    calls = []
    whole, stopped, resumed = (make("mixer", "acn") for _ in range(3))
    whole.trunk.blocks[3].register_forward_hook(lambda *_: calls.append(1))
    run = quiet_fit(whole, source(), None, config(**options), run=tmp_path / "a")
    assert len(calls) < 4 * 3
    with pytest.raises(InterruptedRunError):
        quiet_fit(stopped, StopsAfter(source(), 2), None, config(**options), run=tmp_path / "b")
    quiet_fit(resumed, source(), None, config(**options), run=tmp_path / "b", resume=True)
    assert same(weights(whole), weights(resumed))
    assert len(run.history) == 4


def test_wrong_settings() -> None:
    for options in ({"tolerance": 2.0}, {"patience": 0}, {"start": -1.0}, {"spare": -1}):
        with pytest.raises(ConfigError, match="live"):
            ac.LiveConfig(**options)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="grow"):
        ac.GrowConfig(layers=0)
    with pytest.raises(ConfigError, match="cannot be combined"):
        config(live=AT_ONCE, grow=ac.GrowConfig())
