"""A cut within the run, growth by copies, and the schedule that suits them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import autocompress as ac
from autocompress.errors import ConfigError, InterruptedRunError
from autocompress.training import CutConfig, GrowConfig
from autocompress.training.optimization import make_optimizer, make_schedule
from models_table import DEPTH, make
from toy import StopsAfter, config, quiet_fit, same, source, weights


def rates(epochs: int, warmup: float, steps: int) -> list[float]:
    options = ac.FitConfig(epochs=epochs, warmup_epochs=warmup, schedule="wsd", lr=1.0, min_lr=0)
    net = make("mlp", "acn")
    optimizer = make_optimizer(net, options)
    schedule = make_schedule(optimizer, options, steps)
    found = []
    for _ in range(epochs * steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return found


def test_wsd_is_constant_to_85_per_cent_and_falls_to_nearly_nothing() -> None:
    found = rates(epochs=10, warmup=1, steps=20)
    assert found[:20] == pytest.approx([(step + 1) / 20 for step in range(20)])
    assert found[20:171] == [1.0] * 151
    assert found[185] == pytest.approx(0.5)
    assert found[199] == pytest.approx(1 / 30)
    assert found[171:] == sorted(found[171:], reverse=True)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"at": (0.5, 0.2)}, "ascending shares"),
        ({"at": ()}, "ascending shares"),
        ({"at": (0.0,)}, "ascending shares"),
        ({"at": (1.0,)}, "below 1"),
        ({"at": (0.3, 0.6), "layers": (2,)}, "one number for each of the 2"),
        ({"at": (0.3, 0.6), "layers": (2, 2)}, "smaller than the one before"),
        ({"layers": (2,), "tolerance": 0.1}, "one rule"),
        ({"tolerance": 1.5}, "fraction"),
        ({"layers": (2,), "spare": 1}, "goes with a tolerance"),
    ],
)
def test_cuts_that_make_no_sense_are_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        CutConfig(**options)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"live": ac.LiveConfig()}, "no validation data: give fit some, or leave live out"),
        ({"cut": CutConfig(at=(0.6,))}, "no validation data: give fit some, or cut.layers"),
        ({"cut": CutConfig(layers=(12,))}, r"\[12\]: there is nothing to cut in a network of 4"),
        ({"cut": CutConfig(parameters=3)}, "no depth keeps fit.cut's budget 3"),
        ({"cut": CutConfig(flops=3)}, "no depth keeps fit.cut's budget 3"),
        ({"distil": ac.DistilConfig(at={2: 1.0, 99: 1.0})}, "depth 99, and the network 4 layers"),
        ({"distil": ac.DistilConfig(at={4: 0.5})}, "depths below it are 1 to 3"),
        ({"grow": GrowConfig(layers=1, until=1.0, together=True)}, "last of 9 steps no layer has"),
    ],
)
def test_what_could_do_nothing_or_fail_later_is_refused_before_the_first_step(
    options: dict[str, Any], said: str, tmp_path: Path
) -> None:
    class Counts(ac.Hook):
        steps = 0

        def after_step(self, net: ac.Network) -> None:
            self.steps += 1

    hook = Counts()
    with pytest.raises(ConfigError, match=said):
        quiet_fit(make("mlp", "acn"), source(), None, config(**options), hooks=[hook], run=tmp_path)
    assert (hook.steps, list(tmp_path.iterdir())) == (0, [])


def test_layers_that_join_together_run_before_the_cut() -> None:
    """At the end of the epoch at which they would join, they have not run."""
    for together in (False, True):
        grow = GrowConfig(layers=1, until=0.5, together=together)
        ac.FitConfig(epochs=4, grow=grow, cut=CutConfig(at=(0.75,)))
        if not together:
            ac.FitConfig(epochs=4, grow=grow, cut=CutConfig(at=(0.5,)))
            continue
        ac.FitConfig(epochs=5, grow=grow, cut=CutConfig(at=(0.5,)))  # the cut comes at 0.6
        with pytest.raises(ConfigError, match="before all layers run"):
            ac.FitConfig(epochs=4, grow=grow, cut=CutConfig(at=(0.5,)))


def test_cuts_need_epochs_to_come_in() -> None:
    ac.FitConfig(epochs=10, cut=CutConfig(at=(0.3, 0.4), layers=(3, 2)))
    with pytest.raises(ConfigError, match=r"come after epochs \[1, 1\]"):
        ac.FitConfig(epochs=2, cut=CutConfig(at=(0.3, 0.4), layers=(3, 2)))
    with pytest.raises(ConfigError, match="come after epochs"):
        ac.FitConfig(epochs=3, cut=CutConfig(at=(0.9,)))
    with pytest.raises(ConfigError, match="before all layers run"):
        ac.FitConfig(epochs=9, cut=CutConfig(at=(0.3,)), grow=GrowConfig(until=0.5))
    with pytest.raises(ConfigError, match="cannot be combined"):
        ac.FitConfig(epochs=9, cut=CutConfig(at=(0.3,)), live=ac.LiveConfig())
    assert ac.FitConfig(epochs=9, cut=CutConfig()).plain().cut is None


def test_rules() -> None:
    net = make("mlp", "acn")
    history = [{"epoch": 5, "depths": [0.1, 0.7, 0.895, 0.8, 0.9]}]
    sizes = [net.first(k) for k in range(DEPTH + 1)]
    parameters = [sum(p.numel() for p in small.parameters()) for small in sizes]
    for options, wanted in (
        ({}, 2),
        ({"tolerance": 0.3}, 1),
        ({"tolerance": 0.01, "spare": 1}, 3),
        ({"tolerance": 0.01, "spare": 9}, None),
        ({"layers": (3,)}, 3),
        ({"layers": (4,)}, None),
        ({"parameters": parameters[2] + 0.5}, 2),
        ({"parameters": 10**9}, None),
        ({"flops": 10**9}, None),
    ):
        assert CutConfig(**options).depth(net, history, 10) == wanted, options  # type: ignore[arg-type]
    assert CutConfig(layers=(3,)).depth(net, [{"epoch": 4}], 10) is None, "not yet"
    with pytest.raises(ConfigError, match="needs validation data"):
        CutConfig().depth(net, [{"epoch": 5}], 10)
    with pytest.raises(ConfigError, match="no depth keeps"):
        CutConfig(parameters=3).depth(net, history, 10)


def test_the_optimizer_goes_on_and_the_rate_too(tmp_path: Path) -> None:
    steps = []

    class Look(ac.training.Hook):
        def after_epoch(self, net: ac.Network, epoch: int, epochs: int) -> None:
            steps.append(net.depth)

    net = make("mlp", "acn")
    cut = CutConfig(at=(0.3, 0.6), layers=(3, 1))
    options = config(epochs=5, cut=cut, schedule="wsd", ema=0.5, evaluate_every=9)
    run = quiet_fit(net, source(), source(seed=1), config=options, hooks=[Look()])
    assert steps == [4, 4, 3, 1, 1]
    assert net.depth == 1
    assert [record.get("kept") for record in run.history] == [None, 3, 1, None, None]
    assert len(run.history[1]["depths"]) == 5, "scored because a cut is due"
    assert "depths" not in run.history[3]
    assert run.history[3]["lr"] == pytest.approx(run.history[1]["lr"]), "constant across the cut"


@pytest.mark.parametrize("stopped", [1, 2, 3])
def test_a_resumed_run_with_cuts_and_growth_is_the_same_run(tmp_path: Path, stopped: int) -> None:
    options = config(
        epochs=5,
        grow=GrowConfig(layers=1, until=0.3, together=True, copy=True),
        cut=CutConfig(at=(0.6,), layers=(2,)),
        ema=0.9,
        schedule="wsd",
    )
    whole = make("mlp", "acn")
    quiet_fit(whole, source(), source(seed=1), config=options)
    net = make("mlp", "acn")
    with pytest.raises(InterruptedRunError):
        quiet_fit(net, StopsAfter(source(), stopped), source(seed=1), config=options, run=tmp_path)
    net = make("mlp", "acn")
    quiet_fit(net, source(), source(seed=1), config=options, run=tmp_path, resume=True)
    assert net.depth == 2
    assert same(weights(net), weights(whole))


@pytest.mark.parametrize(("layers", "sources"), [(1, [0, 0, 0, 0]), (2, [0, 1, 0, 1])])
def test_layers_that_join_are_copies(layers: int, sources: list[int]) -> None:
    net = make("mixer", "acn")
    before = [weights(block) for block in net.trunk.blocks]
    grow = GrowConfig(layers=layers, until=0.5, together=True, copy=True)
    grow.fill(net, 0.1, 0.2)
    assert all(same(weights(b), w) for b, w in zip(net.trunk.blocks, before, strict=True))
    grow.fill(net, 0.49, 0.5)
    for block, origin in zip(net.trunk.blocks, sources, strict=True):
        assert same(weights(block), before[origin])
    GrowConfig(layers=1, until=0.5, together=True).fill(net, 0.4, 0.6)
    assert [grow.depth(p, 4) for p in (0, 0.49, 0.5, 1)] == [layers, layers, 4, 4]


def test_copies_one_after_the_other() -> None:
    net = make("mlp", "acn")
    first = weights(net.trunk.blocks[0])
    grow, torch_seed = GrowConfig(layers=1, until=0.8, copy=True), torch.initial_seed()
    passed = 0.0
    for share in (0.0, 0.2, 0.4, 0.6, 0.8, 1.0):
        grow.fill(net, passed, share)
        passed = share
    assert all(same(weights(block), first) for block in net.trunk.blocks)
    assert torch.initial_seed() == torch_seed
