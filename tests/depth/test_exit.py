"""Depth per example: equal to the readouts, with blocks that really run for fewer examples."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import TensorDataset

import autocompress as ac
from autocompress.compaction import take_rows
from autocompress.depth.exit_rule import CRITERIA, ExitRule, entropy
from autocompress.errors import ConfigError, DataError, DepthError, ShapeError
from autocompress.measurement import depth_costs, flops
from models_table import CONNECTIVITIES, DEPTH, RIVALS, images, make

every_rule = pytest.mark.parametrize("rule", [*CONNECTIVITIES, *RIVALS])


def middle(net: ac.Network, x: torch.Tensor) -> float:
    """A threshold at which half of them leave at depth 1."""
    return float(entropy(net(x, depth=1)).median().detach()) + 1e-4


def loud(rule: str, model: str = "mixer") -> ac.Network:
    """A network whose predictions differ in how sure they are."""
    net = make(model, rule)
    with torch.no_grad():
        for parameter in net.head.parameters():
            parameter.mul_(4)
    return net


def test_entropy_by_hand() -> None:
    """(1/2, 1/4, 1/4): ln 2 / 2 + ln 4 / 2 = 1.5 ln 2."""
    logits = torch.tensor([[math.log(2.0), 0.0, 0.0]])
    assert float(entropy(logits)) == pytest.approx(1.5 * math.log(2))


@every_rule
def test_each_example_gets_the_readout_at_its_depth(rule: str) -> None:
    net, x = loud(rule), images(40)
    found = ac.early_exit(net, x, middle(net, x))
    assert len(set(found.depths.tolist())) > 1, "the case is one where it matters"
    readouts = list(net.readouts(x))
    for n, depth in enumerate(found.depths.tolist()):
        torch.testing.assert_close(found.logits[n], readouts[depth][n], atol=1e-5, rtol=1e-5)


@every_rule
def test_it_leaves_at_the_first_depth_that_is_sure(rule: str) -> None:
    net, x = loud(rule), images(40)
    threshold = middle(net, x)
    sure = torch.stack([entropy(logits) < threshold for logits in net.readouts(x)], dim=1)[:, 1:]
    sure[:, -1] = True
    assert ac.early_exit(net, x, threshold).depths.tolist() == (sure.int().argmax(1) + 1).tolist()


def test_blocks_run_for_those_that_are_left() -> None:
    net, x, seen = loud("acn"), images(40), []
    threshold = middle(net, x)
    for block in net.trunk.blocks:
        block.register_forward_pre_hook(lambda _, inputs: seen.append(len(inputs[0])))
    depths = ac.early_exit(net, x, threshold).depths
    assert seen == [int((depths >= k).sum()) for k in range(1, int(depths.max()) + 1)]


def test_flops_by_hand() -> None:
    """Stem and blocks up to its depth, and a head for every look."""
    net, x = loud("acn"), images(40)
    found = ac.early_exit(net, x, middle(net, x))
    cost = [c.flops for c in depth_costs(net, x)]
    head = flops(net.head, net.trunk.connectivity.readout(net.begin(x).inner))
    for depth, spent in zip(found.depths.tolist(), found.flops.tolist(), strict=True):  # type: ignore[union-attr]
        assert spent == pytest.approx(cost[depth] + (depth - 1) * head, abs=1)
    assert ac.early_exit(net, x, 0.5, count=False).flops is None


def test_extremes() -> None:
    net, x = loud("residual"), images(6)
    assert torch.equal(ac.early_exit(net, x, 0.0).logits, net(x))
    assert torch.equal(ac.early_exit(net, x, 9.0).logits, net(x, depth=1))
    only = ac.early_exit(net, x, 9.0, depths=[2, 3])
    assert only.depths.tolist() == [2] * 6
    assert torch.equal(only.logits, net(x, depth=2))


def test_a_batch_of_one() -> None:
    net, x = loud("acn"), images(12)
    threshold = middle(net, x)
    together = ac.early_exit(net, x, threshold)
    for n in range(12):
        alone = ac.early_exit(net, x[n : n + 1], threshold)
        assert alone.depths.item() == together.depths[n].item()
        torch.testing.assert_close(alone.logits[0], together.logits[n], atol=1e-5, rtol=1e-5)


def test_the_network_is_left_in_the_mode_it_was_in() -> None:
    net = loud("acn").train()
    ac.early_exit(net, images(), 0.5)
    assert net.training


@pytest.mark.parametrize("rule", ["acn", "residual"])
def test_the_curve_says_what_early_exit_does(rule: str) -> None:
    net, x, labels = loud(rule), images(60), torch.arange(60) % 3
    curve = ac.exit_curve(net, TensorDataset(x, labels), batch_size=25)
    for threshold in (0.0, 0.3, middle(net, x), 0.9, 2.0):
        found, point = ac.early_exit(net, x, threshold), curve.at(threshold)
        assert point.score == pytest.approx(
            float((found.logits.argmax(1) == labels).double().mean())
        )
        assert point.depth == pytest.approx(float(found.depths.double().mean()))
        assert point.flops == pytest.approx(float(found.flops.mean()))  # type: ignore[union-attr]


def hand_made() -> ac.ExitCurve:
    """Four examples that leave at depth 1 below 0.1, 0.3, 0.5, 0.6; the third would be wrong."""
    unsure = torch.tensor([[0.1, 0.0], [0.3, 0.0], [0.5, 0.0], [0.6, 0.0]])
    hits = torch.tensor([[True, True], [True, True], [False, True], [True, True]])
    return ac.ExitCurve([1, 2], unsure, hits, [10.0, 30.0], 25.0, 2)


def test_calibration_by_hand() -> None:
    """Nothing may be lost: up to 0.5, where the third would leave with a wrong answer."""
    curve = hand_made()
    assert curve.at(0.4).score == 1.0
    assert curve.at(0.4).flops == pytest.approx((10 + 10 + 30 + 30) / 4)
    exact = curve.calibrate(drop=0.0)
    assert 0.49 < exact.threshold <= 0.5
    assert exact.depth == 1.5
    assert curve.calibrate(drop=0.25).depth == 1.0


def test_what_it_shows() -> None:
    curve = hand_made()
    assert "threshold" in str(curve)
    assert len(curve.to_json()) == 51
    assert curve.to_json()[0] == {"threshold": 0.0, "score": 1.0, "flops": 30.0, "depth": 2.0}
    assert curve.plot().axes[0].get_xlabel().startswith("mean")


def test_rows_of_nested_states() -> None:
    state: Any = ((torch.arange(4), None), (torch.arange(8).view(4, 2),))
    taken = take_rows(state, torch.tensor([3, 1]))
    assert taken[0][0].tolist() == [3, 1]
    assert taken[1][0].tolist() == [[6, 7], [2, 3]]


def test_what_is_refused() -> None:
    net = loud("acn")
    with pytest.raises(ConfigError, match=r"at least 0 nats"):
        ac.early_exit(net, images(), -1.0)
    with pytest.raises(ConfigError, match=r"at least 0 nats"):
        ac.early_exit(net, images(), math.nan)
    with pytest.raises(DepthError, match="depth 9"):
        ac.early_exit(net, images(), 0.5, depths=[9])
    with pytest.raises(ConfigError, match="drop"):
        hand_made().calibrate(-0.1)
    decoder = ac.models.Decoder(depth=2, width=8, vocabulary=11, length=6, heads=2)
    with pytest.raises(ConfigError, match="one prediction per example"):
        ac.early_exit(decoder, torch.zeros(2, 6, dtype=torch.long), 0.5)


@settings(max_examples=25)
@given(
    size=st.integers(0, 17),
    seed=st.integers(0, 99),
    criterion=st.sampled_from(sorted(CRITERIA)),
    share=st.floats(0.1, 0.9),
    depths=st.sets(st.integers(0, DEPTH), min_size=1),
    shrinks=st.booleans(),
)
def test_any_batch_keeps_its_order(
    size: int, seed: int, criterion: str, share: float, depths: set[int], shrinks: bool
) -> None:
    """Each row is the readout at the first exit that is certain, found by probing alone."""
    net, x = loud("acn"), images(17)[torch.randperm(17)[:size]]
    measure = CRITERIA[criterion]
    exits = sorted({*depths, DEPTH})
    threshold = 1.0
    if criterion != "patience":
        values = measure.values(net(images(17), depth=1))[0].detach().sort().values
        threshold = float(values[int(share * 16) :][:2].mean())
    rule = ExitRule.uniform(criterion, exits, threshold)
    regroup = None if shrinks else Never()
    found = ac.early_exit(net, x, rule, count=False, regroup=regroup)
    readouts, memory = list(net.readouts(x)), None
    wanted = torch.full((size,), DEPTH)
    for place, depth in reversed([*enumerate(exits[:-1])]):
        memory = None
        for at in range(place + 1):
            certain, memory = rule.certain(at, readouts[exits[at]], memory)
        wanted = torch.where(certain, depth, wanted)
    assert found.depths.tolist() == wanted.tolist()
    assert found.flops is None
    for row, depth in enumerate(wanted.tolist()):
        torch.testing.assert_close(found.logits[row], readouts[depth][row], atol=1e-5, rtol=1e-5)


class Never:
    def pays(self, place: int, size: int, left: int) -> bool:
        return False


def test_passengers_cost_and_are_counted() -> None:
    """Without regrouping, blocks run for all until the last has left."""
    net, x, seen = loud("acn"), images(40), []
    threshold = middle(net, x)
    whole = ac.early_exit(net, x, threshold, regroup=Never())
    for block in net.trunk.blocks:
        block.register_forward_pre_hook(lambda _, inputs: seen.append(len(inputs[0])))
    depths = ac.early_exit(net, x, threshold, count=False, regroup=Never()).depths
    assert seen == [40] * int(depths.max())
    shrunk = ac.early_exit(net, x, threshold)
    assert float(whole.flops.sum()) > float(shrunk.flops.sum())  # type: ignore[union-attr]


def test_a_rule_for_another_depth_is_refused() -> None:
    rule = ExitRule.uniform("entropy", [1, 9], 0.5)
    with pytest.raises(ConfigError, match="depth 9"):
        ac.early_exit(loud("acn"), images(), rule)
    with pytest.raises(ConfigError, match="either a rule or depths"):
        ac.early_exit(loud("acn"), images(), rule, depths=[1])


def test_the_deepest_exit_is_full_depth() -> None:
    net = loud("acn")
    assert ac.early_exit(net, images(), 0.0, depths=[1]).depths.tolist() == [DEPTH] * 3


@pytest.mark.parametrize("criterion", CRITERIA)
@pytest.mark.parametrize("batch_size", [8, 16, 48])
def test_examples_without_a_label_do_not_count(criterion: str, batch_size: int) -> None:
    """As for ``probe``: also where a whole batch has none."""
    net, x, labels = loud("acn"), images(48), torch.arange(48) % 3
    labels[:20], labels[25::4] = -100, -100
    some = labels >= 0
    options: dict[str, Any] = {"criterion": criterion, "temperature": True}
    found = ac.exit_curve(net, TensorDataset(x, labels), batch_size=batch_size, **options)
    alone = ac.exit_curve(net, TensorDataset(x[some], labels[some]), **options)
    assert found.full_score == ac.probe(net, TensorDataset(x, labels)).scores[-1]
    assert torch.equal(found.hits, alone.hits)
    torch.testing.assert_close(found.entropy, alone.entropy)
    assert found.temperatures == pytest.approx(alone.temperatures, rel=1e-4)
    assert found.flops == alone.flops


@pytest.mark.parametrize("temperature", [False, True])
def test_data_without_any_label(temperature: bool) -> None:
    data = TensorDataset(images(5), torch.full((5,), -100))
    with pytest.raises(DataError, match="have no label but -100; at least one labelled"):
        ac.exit_curve(loud("acn"), data, temperature=temperature)


@pytest.mark.parametrize("count", [False, True])
def test_batches_that_the_network_cannot_take(count: bool) -> None:
    net = make("mlp", "acn")
    pixels = torch.zeros(8, 1, 4, 4, dtype=torch.uint8)
    verbs = [partial(ac.early_exit, net, threshold=0.0, count=count), partial(ac.exit_costs, net)]
    for verb in verbs:
        with pytest.raises(ShapeError, match=r"uint8: .*data\.normalise"):
            verb(x=pixels)
        for wrong in ("a text", ["a", "text"], pixels.numpy(), {"x": "a text"}, None):
            with pytest.raises(ConfigError, match="holds no input: give a batch"):
                verb(x=wrong)
