"""What the arms of the claims are: rivals trained as they are called, and figures by hand."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch

import autocompress as ac
from autocompress.reproduce import Results, find_claim
from autocompress.reproduce.claims import early_exit, forgetting, gradients, transfer
from autocompress.reproduce.settings import SMOKE


def test_early_gradients_by_hand() -> None:
    """Six looks, so two count; first half (1, 3), (2, 2): mean 2, second half 0.5: ln 4."""
    rows = [[1, 3, 9, 9, 9, 9], [2, 2, 9, 9, 9, 9], [0.5, 0.5, 0, 0, 0, 0], [0.2, 0.8, 0, 0, 0, 0]]
    run = {"gradients": {"steps": [0, 1, 2, 3, 4, 5], "full": rows}}
    assert gradients._early(run) == pytest.approx(math.log(4))


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_scalar_theory_deviates_by_rounding_only(seed: int) -> None:
    assert max(gradients._deviations(8, seed).values()) < 1e-12


def test_branches_begin_with_the_same_network() -> None:
    data = ac.load_data()
    net = SMOKE.model.build(data, 0)
    start = early_exit._branched(net, {1: 0.8})
    assert start.branches == [1]
    x = net.example(3)
    assert torch.equal(start(x), net(x))
    assert start.preprocess == net.preprocess


@pytest.mark.parametrize(("depths", "leaves"), [((2.0, 1.9), False), ((2.0, 1.7), True)])
def test_nothing_is_said_where_nobody_leaves(depths: tuple[float, float], leaves: bool) -> None:
    scores = {
        ("arm", seed): {"test": [0.1, 0.2, 0.3], "exits": {"fixed": {"depth": depth}}}
        for seed, depth in enumerate(depths)
    }
    results = Results([0, 1], scores)
    assert early_exit._anyone_leaves(results, ["arm"], "fixed") is leaves


def test_the_networks_that_are_transferred() -> None:
    settings = find_claim("transfer").presets["cpu"]

    def made(name: str, of: Any = settings.source) -> Any:
        return transfer._as(name, settings, of)

    assert [made(n).model.connectivity for n in ("ACN", "residual", "LayerSkip")] == [
        "acn",
        "residual",
        "residual",
    ]
    assert made("residual").fit.distil is None
    assert made("Aligned").fit.distil == ac.DistilConfig.aligned(8)
    assert made("deep supervision").fit.distil == ac.DistilConfig(teacher="labels")
    skip = made("LayerSkip").fit
    assert (skip.layer_drop, skip.layer_drop_grows) == (0.1, True)
    assert skip.distil.depths(8, 1) == [3, 7, 8]
    assert not made("LayerSkip", settings.target).fit.layer_drop_grows
    classes = {c for half in (settings.source, settings.target) for c in half.data.classes}
    assert classes == set(range(10))


def test_a_new_head_on_old_blocks() -> None:
    net = ac.models.Mixer(depth=2, width=8, classes=5)
    fresh = transfer._with_new_head(net, 3, seed=0)
    x = net.example(2)
    assert fresh(x).shape == (2, 3)
    readouts = [n.trunk(n.stem(x)) for n in (net, fresh)]
    assert torch.equal(*readouts)


def test_the_depth_of_a_stream_is_chosen_on_its_mean() -> None:
    """Means 0.3, 0.648, 0.65: depth 1 is within half a point."""
    assert forgetting._selected([[0.2, 0.596, 0.6], [0.4, 0.7, 0.7]]) == 1
    run = {"by_depth": [[[0.1, 0.9]], [[0.1, 0.5], [0.2, 0.8]]]}
    assert forgetting._matrix(run, 1).average_forgetting == pytest.approx(0.4)
    assert forgetting._matrix(run, 0).average_accuracy == pytest.approx(0.15)


def test_the_arms_of_a_stream() -> None:
    settings = find_claim("forgetting").presets["cpu"]
    names = [arm.name for arm in find_claim("forgetting").arms(settings)]
    assert len(names) == len(set(names))
    assert "Split CIFAR-10, ACN, 15 layers, SI" in names
    assert "Split digits, shallow, 15 layers, naive" in names
    assert "Split digits, shallow, 5 layers, naive" not in names
    assert "Split digits, ACN, 10 layers, EWC" in names
    assert "Split digits, ACN, 5 layers, EWC" not in names
    kinds = {n: type(forgetting._protection(settings, n)).__name__ for n in ("SI", "EWC", "replay")}
    assert kinds == {
        "SI": "SynapticIntelligence",
        "EWC": "ElasticWeightConsolidation",
        "replay": "Replay",
    }
    assert forgetting._protection(settings, "naive") is None


def test_a_shallow_rival_that_is_no_shallower_is_the_residual_network(tmp_path: Any) -> None:
    from autocompress.reproduce.work import Work

    claim = find_claim("forgetting")
    settings = replace(claim.presets["smoke"], depths=(2,))
    residual, shallow = (
        claim.run(
            settings,
            f"digits, {kind}, 2 layers, naive",
            Work(0, tmp_path, kind, before={"ACN": {"selected": 2}}),
        )
        for kind in ("residual", "shallow")
    )
    assert residual == shallow
