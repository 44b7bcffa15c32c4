"""Probe, select, cut."""

from __future__ import annotations

import json
from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import TensorDataset

import autocompress as ac
from autocompress.depth.probing import DepthCurve
from autocompress.depth.select import confident_rule
from autocompress.errors import ConfigError, DataError
from autocompress.measurement import flops, parameters
from autocompress.statistics import resampled_means
from models_table import every_pair, inputs, make, reads_tokens


def dataset(examples: int = 50, model: str = "mixer") -> TensorDataset:
    labels = inputs(model, examples, seed=2) if reads_tokens(model) else torch.arange(examples) % 3
    return TensorDataset(inputs(model, examples), labels)


@every_pair
def test_probe_equals_the_cut_networks(model: str, connectivity: str) -> None:
    """Score, parameters and FLOPs of depth k are those of the network cut at k."""
    net, data = make(model, connectivity), dataset(model=model)
    curve = ac.probe(net, data, batch_size=16)
    x, y = data.tensors
    for k in range(net.depth + 1):
        small = ac.cut(net, k)
        hits = small(x).argmax(-1) == y
        assert torch.equal(curve.hits[:, k], hits.flatten())
        assert curve.parameters[k] == parameters(small)
        assert curve.flops[k] == flops(small, x)


def test_probe_is_one_pass() -> None:
    """Four batches, four calls of every block; a second pass of the trunk is a defect."""
    net = make("mixer", "acn")
    calls = [0] * net.depth
    for i, block in enumerate(net.trunk.blocks):
        block.register_forward_hook(lambda *_, i=i: calls.__setitem__(i, calls[i] + 1))
    stems: list[int] = []
    net.stem.register_forward_hook(lambda *_: stems.append(1))
    ac.probe(net, dataset(50), batch_size=16)
    assert calls == [4] * net.depth
    assert len(stems) == 4


def test_probe_leaves_the_network_as_it_was() -> None:
    net = make("mixer", "acn", dropout=0.5).train()
    net.trunk.blocks[1].eval()
    ac.probe(net, dataset(), latency_batch=4)
    assert net.training
    assert not net.trunk.blocks[1].training
    assert all(p.grad is None for p in net.parameters())


def test_the_curve_prints_saves_and_plots() -> None:
    curve = ac.probe(make("mlp", "acn"), dataset(), latency_batch=4)
    text = str(curve)
    assert "depth" in text
    assert max(map(len, text.splitlines())) <= 80
    rows = json.loads(json.dumps(curve.to_json()))
    assert [row["depth"] for row in rows] == [0, 1, 2, 3, 4]
    assert all(row["milliseconds"] > 0 for row in rows)
    assert curve.plot().axes[0].get_xlabel() == "depth (number of layers)"
    assert all(low <= s <= high for s, (low, high) in zip(curve.scores, curve.interval()))  # noqa: B905


def curve_of(scores: list[float], examples: int = 1000) -> DepthCurve:
    """A curve with these scores; hits are nested, as they would be in a good network."""
    hits = torch.stack([torch.arange(examples) < round(s * examples) for s in scores], dim=1)
    costs = [10 * (k + 1) for k in range(len(scores))]
    return DepthCurve(hits, costs, [c * 100 for c in costs], [float(c) for c in costs])


CURVE = curve_of([0.1, 0.5, 0.9, 0.945, 0.951, 0.95])


@pytest.mark.parametrize(
    ("rule", "depth", "words"),
    [
        ({}, 3, "within 0.5 points of full depth"),
        ({"tolerance": 0.0}, 4, "within 0 points"),
        ({"tolerance": 0.05}, 2, "within 5 points"),
        ({"tolerance": 0.005, "confidence": 0.95}, 4, "with 95 % confidence"),
        ({"confidence": 0.5}, 4, "within 0.5 points of full depth with 50 %"),
        ({"tolerance": 0.006, "confidence": 0.5}, 3, "within 0.6 points of full depth with 50 %"),
        ({"parameters": 30}, 2, "at most 30 parameters"),
        ({"flops": 1e6}, 5, "FLOPs"),
        ({"milliseconds": 45}, 3, "at most 45 ms"),
        ({"knee": True}, 2, "knee"),
    ],
)
def test_rules(rule: dict[str, float], depth: int, words: str) -> None:
    selection = CURVE.select(**rule)  # type: ignore[arg-type]
    assert selection.depth == depth
    assert words in str(selection)
    assert selection.score == pytest.approx(CURVE.scores[depth])


def test_a_selection_is_a_depth() -> None:
    net = make("mlp", "acn")
    selection = ac.probe(net, dataset()).select(parameters=parameters(ac.cut(net, 2)))
    assert ac.cut(net, selection).depth == selection.depth


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ({"tolerance": 0.1, "knee": True}, "one rule"),
        ({"parameters": 30, "flops": 30}, "one rule"),
        ({"parameters": 3}, "depth 0 costs 10"),
        ({"tolerance": -0.1}, "fraction"),
        ({"tolerance": 1.5}, "fraction"),
        ({"confidence": 0.2}, "confidence 0.2"),
        ({"confidence": 0.9, "knee": True}, "goes with the tolerance"),
    ],
)
def test_illegal_rules(rule: dict[str, float], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        CURVE.select(**rule)  # type: ignore[arg-type]


def test_milliseconds_need_times() -> None:
    with pytest.raises(ConfigError, match="latency_batch"):
        ac.probe(make("mlp", "acn"), dataset()).select(milliseconds=1.0)


def test_the_interval_covers_and_narrows() -> None:
    """A difference of 0.5 points in 1,000 nested examples: binomial, deviation 0.0022."""
    selection = CURVE.select()
    low, high = selection.difference_interval
    assert low < -0.005 < high <= 0
    assert high - low == pytest.approx(2 * 1.96 * (0.005 * 0.995 / 1000) ** 0.5, rel=0.35)
    wide = curve_of(CURVE.scores, examples=200).select(tolerance=0.01).difference_interval
    assert wide[1] - wide[0] > high - low
    assert selection.depth_interval[0] <= selection.depth <= selection.depth_interval[1]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8), st.floats(0, 0.3))
@settings(max_examples=30, deadline=None)
def test_tolerance_keeps_its_word(scores: list[float], tolerance: float) -> None:
    curve = curve_of(scores, examples=100)
    chosen = curve.select(tolerance=tolerance)
    assert curve.scores[chosen.depth] >= curve.scores[-1] - tolerance - 1e-6
    assert all(s < curve.scores[-1] - tolerance for s in curve.scores[: chosen.depth])


@pytest.mark.parametrize(("examples", "depth"), [(1000, 1), (700, 2), (100, 3)])
def test_confidence_asks_for_more_of_a_smaller_set(examples: int, depth: int) -> None:
    """One wrong answer more than full depth, the same answers, and full depth itself.

    The bounds of Clopper and Pearson with 95 %: 1 of 1000 may be 0.47 points and 1 of 700 0.68,
    0 of 700 may be 0.43 points and 0 of 100 2.95.
    """
    scores = [0.5, 0.9 - 1 / examples, 0.9, 0.9]
    chosen = curve_of(scores, examples).select(tolerance=0.005, confidence=0.95)
    assert chosen.depth == depth


def share_chosen(examples: int, loses: float, wins: float, confidence: float) -> float:
    """How often, in 300 draws, a depth is chosen that loses and wins these shares of all."""
    random = np.random.RandomState(examples)

    @cache
    def chosen(lost: int, won: int) -> bool:
        places = torch.arange(examples)
        here, full = places >= lost, (places < lost) | (places >= lost + won)
        hits = torch.stack([torch.zeros_like(here), here, full], 1)
        rule, _ = confident_rule(hits, 0.02, confidence)
        return rule(hits.double().mean(0).tolist()) == 1

    drawn = random.multinomial(examples, [loses, wins, 1 - loses - wins], size=300).tolist()
    return sum(chosen(lost, won) for lost, won, _ in drawn) / 300


@pytest.mark.parametrize(
    ("examples", "loses", "wins", "confidence"),
    [
        *((n, 0.0205, 0.0, 0.95) for n in (20, 50, 100, 160, 400, 2000)),
        *((n, 0.0205, 0.0, 0.8) for n in (20, 100, 400)),
        *((n, 0.0405, 0.02, 0.95) for n in (20, 100, 200)),
    ],
)
def test_confidence_keeps_its_word(
    examples: int, loses: float, wins: float, confidence: float
) -> None:
    """A depth that is just worse than the tolerance is seldom chosen, whatever the examples."""
    allowed = 1 - confidence
    noise = 2.5 * (allowed * (1 - allowed) / 300) ** 0.5
    assert share_chosen(examples, loses, wins, confidence) <= allowed + noise


def test_confidence_still_finds_a_good_depth() -> None:
    assert share_chosen(400, 0.0, 0.0, 0.95) == 1.0
    assert share_chosen(400, 0.002, 0.0, 0.95) > 0.8
    assert share_chosen(50, 0.0, 0.0, 0.95) == 0.0  # 149 examples are needed


def test_the_bootstrap_has_the_right_mean() -> None:
    hits = torch.rand(300, 3, generator=torch.Generator().manual_seed(0)) < 0.7
    means = resampled_means(hits).mean(0)
    torch.testing.assert_close(means, hits.double().mean(0), atol=3e-3, rtol=0)
    assert torch.equal(resampled_means(hits, seed=1), resampled_means(hits, seed=1))


def test_data_that_do_not_fit() -> None:
    net = make("mlp", "acn")
    with pytest.raises(DataError, match="empty"):
        ac.probe(net, dataset(0))
