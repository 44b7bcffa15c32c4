"""What the arms of the claims are: rivals trained as they are called, and figures by hand."""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any

import pytest
import torch

import autocompress as ac
from autocompress.continual import Stream
from autocompress.data import Tokenizer
from autocompress.pipeline import build_network
from autocompress_studies import Results, Work, find_study
from autocompress_studies.settings import SMOKE
from autocompress_studies.studies import early_exit, forgetting, gradients, transfer


def test_ways_that_name_no_path_have_none() -> None:
    """A run that names neither connectivity nor path is annealed, and so would be its ACN."""
    study = find_study("ways")
    for task in study.settings("cpu").tasks.values():
        assert task.fit.path is None
        assert task.control is None or task.control.path is None


def test_early_gradients_by_hand() -> None:
    """Six looks, so two count; first half (1, 3), (2, 2): mean 2, second half 0.5: ln 4."""
    rows = [[1, 3, 9, 9, 9, 9], [2, 2, 9, 9, 9, 9], [0.5, 0.5, 0, 0, 0, 0], [0.2, 0.8, 0, 0, 0, 0]]
    run = {"gradients": {"steps": [0, 1, 2, 3, 4, 5], "full": rows}}
    assert gradients.early_gradients(run) == pytest.approx(math.log(4))


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_scalar_theory_deviates_by_rounding_only(seed: int) -> None:
    assert max(gradients.deviations(8, seed).values()) < 1e-12


def test_branches_begin_with_the_same_network() -> None:
    data = ac.load_data()
    net = build_network(SMOKE.model, data, 0)
    start = early_exit.branched(net, {1: 0.8})
    assert start.branches == [1]
    x = net.example(3)
    assert torch.equal(start(x), net(x))
    assert start.preprocess == net.preprocess


@pytest.mark.parametrize(("depths", "leaves"), [((2.0, 1.9), False), ((2.0, 1.7), True)])
def test_nothing_is_said_where_nobody_leaves(depths: tuple[float, float], leaves: bool) -> None:
    key = early_exit.Key("digits", "ACN", "branches")
    scores = {
        (key, seed): {"test": [0.1, 0.2, 0.3], "exits": {"fixed": {"depth": depth}}}
        for seed, depth in enumerate(depths)
    }
    results = Results([0, 1], scores)
    assert early_exit.anyone_leaves(results, [key], "fixed") is leaves


def test_the_networks_that_are_transferred() -> None:
    settings = find_study("transfer").settings("cpu")
    halves, novels = settings.pairs["halves of MNIST"], settings.pairs["novels to IMDB"]

    def made(name: str, pair: Any = halves, of: Any = None) -> Any:
        return transfer.as_trained(name, settings, pair, of or pair.source)

    assert [made(n).model.connectivity for n in ("ACN", "residual", "LayerSkip")] == [
        "acn",
        "residual",
        "residual",
    ]
    assert made("residual").fit.distil is None
    assert made("Aligned").fit.distil == ac.DistilConfig.aligned(12)
    assert made("deep supervision").fit.distil == ac.DistilConfig(teacher="labels")
    skip = made("LayerSkip").fit
    assert (skip.layer_drop, skip.layer_drop_grows) == (0.1, True)
    assert skip.distil.depths(12, 1) == [3, 7, 11, 12]
    assert not made("LayerSkip", of=halves.target).fit.layer_drop_grows
    assert made("ACN").fit.lr == 2 * made("residual").fit.lr == 2 * made("Aligned").fit.lr
    assert made("ACN", of=halves.target).fit.lr == pytest.approx(made("ACN").fit.lr / 3)
    classes = {c for half in (halves.source, halves.target) for c in half.data.classes}
    assert classes == set(range(10))
    for config in (novels.source, novels.target):  # the task's config has no layers of its own
        assert made("Aligned", novels, config).fit.distil == ac.DistilConfig.aligned(6)
        assert {made(n, novels, config).fit.lr for n in transfer.NETS} == {config.fit.lr}
        # so the tokenizer of one is that of all
        assert {made(n, novels, config).data for n in transfer.NETS} == {config.data}
    assert made("ACN", novels).model.rule()["inner"] == 1.0
    assert made("residual", novels).model == novels.source.model.residual(6)


def test_fewer_test_examples_are_the_same_ones_for_all_seeds() -> None:
    tests = [
        transfer.shortened(ac.load_data(ac.DataConfig(seed=seed)), 20).test.labels
        for seed in (0, 1)
    ]
    assert torch.equal(*tests)
    data = ac.load_data()
    assert len(tests[0]) == 20
    assert len(tests[0].unique()) > 5  # not the first ones of a set that is sorted
    assert transfer.shortened(data, None) is transfer.shortened(data, 10**6) is data


def test_networks_are_matched_where_the_worst_is_at_its_best() -> None:
    """Bests 0.7, 0.4 and 0.4: the first is past 0.4 after two epochs, the last after one."""
    scores = {"A": [0.2, 0.5, 0.7], "B": [0.1, 0.4, 0.3], "C": [0.4, 0.3, 0.4]}
    assert transfer.matched(scores) == {"A": 2, "B": 2, "C": 1}


@pytest.mark.parametrize("pair", ["halves of digits", "words to kinds"])
def test_fine_tuning_starts_at_the_snapshot(
    pair: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stem and trunk are those of the epoch in question, and the head is the target's."""
    claim = find_study("transfer")
    settings, source = claim.settings("smoke"), transfer.Key(pair, "ACN", "source")
    epochs = len(claim.run(settings, source, Work(0, tmp_path, source))["by_epoch"])
    ours, theirs = [0.9] * epochs, [*[0.1] * (epochs - 1), 0.5]  # so it is matched at epoch 1
    before: dict[Any, Any] = {
        source._replace(net=net): {"by_epoch": ours if net == "ACN" else theirs}
        for net in transfer.NETS
    }
    started: list[Any] = []

    def train(work: Work, config: Any, data: Any, *, start: ac.Network) -> tuple[ac.Network, float]:
        started.append((data, copy.deepcopy(start)))
        return start, 0.0

    monkeypatch.setattr(Work, "train", train)
    monkeypatch.setattr(Work, "told", lambda *_: {})
    for kind, epoch in (("equal epochs", epochs), ("matched source", 1)):
        work = Work(0, tmp_path, source._replace(kind=kind), before=before)
        assert claim.run(settings, work.key, work)["source_epoch"] == epoch
        data, net = started.pop()
        kept = ac.load(work.home(source) / f"epoch-{epoch}" / "model")
        for part in ("stem", "trunk"):
            for a, b in zip(*(getattr(n, part).parameters() for n in (net, kept)), strict=True):
                assert torch.equal(a, b)
        assert net.classes == len(data.classes)
        assert (net.preprocess, net.tokenizer) == (kept.preprocess, kept.tokenizer)
        if pair == "words to kinds":
            assert net.tokenizer is not None
            assert Tokenizer(net.tokenizer).core == data.tokenizer.core
            assert len(data.test) == 100
    before[transfer.Key(pair, "residual", "equal epochs")] = found = {"trained": "already"}
    again = transfer.Key(pair, "residual", "matched source")
    assert claim.run(settings, again, Work(0, tmp_path, again, before=before)) == found
    assert not started


def test_the_depth_of_a_stream_is_chosen_on_its_mean() -> None:
    """Means 0.3, 0.648, 0.65: depth 1 is within half a point."""
    curves = [[0.2, 0.596, 0.6], [0.4, 0.7, 0.7]]
    assert Stream(["a", "b"], validation=[curves[:1], curves]).select(0.005) == 1
    run = {"by_depth": [[[0.1, 0.9]], [[0.1, 0.5], [0.2, 0.8]]]}
    assert forgetting.matrix_at(run, 1).average_forgetting == pytest.approx(0.4)
    assert forgetting.matrix_at(run, 0).average_accuracy == pytest.approx(0.15)


def test_a_stream_records_how_each_of_its_tasks_was_learned() -> None:
    """The last score of a task is the one that the stream has right after it."""
    tasks = ac.continual.split_classes(ac.load_data(), 5)[:3]
    watched = forgetting.Watched(tasks)
    net = ac.models.MLP(depth=2, width=16, classes=2)
    config = ac.FitConfig(epochs=3)
    stream = ac.continual.learn(net, tasks, config, hooks=[watched])
    ends = [stream.validation[i][i][-1] for i in range(3)]
    assert [curve[-1] for curve in watched.curves] == ends
    assert watched.by_epoch() == [
        pytest.approx(sum(curve[epoch] for curve in watched.curves) / 3, abs=1e-4)
        for epoch in range(3)
    ]


def test_the_arms_of_a_stream() -> None:
    settings = find_study("forgetting").settings("cpu")
    names = [arm.name for arm in find_study("forgetting").arms(settings)]
    assert len(names) == len(set(names))
    assert "Split MNIST, ACN, 15 layers, SI" in names
    assert "Split digits, shallow, 15 layers, naive" in names
    assert "Split digits, shallow, 5 layers, naive" in names
    assert "Split digits, shallow, 10 layers, EWC" not in names
    assert "Split digits, ACN, 10 layers, EWC" in names
    assert "Split digits, ACN, 5 layers, EWC" not in names
    found = {n: forgetting.protected(settings, n, 5).protection() for n in forgetting.KINDS}
    kinds = {n: type(found[n]).__name__ for n in ("SI", "EWC", "replay")}
    assert kinds == {
        "SI": "SynapticIntelligence",
        "EWC": "ElasticWeightConsolidation",
        "replay": "Replay",
    }
    assert found["naive"] is None
    assert found["SI x100"].strength == 100
    assert (found["EWC"].examples, found["replay"].examples) == (64, 50)


def test_a_shallow_rival_that_is_no_shallower_is_the_residual_network(tmp_path: Any) -> None:
    """That is not trained twice; another one is, at the depth that the ACN was cut to."""
    claim = find_study("forgetting")
    settings = claim.settings("smoke")
    acn, residual, shallow = (
        forgetting.Key("digits", kind, 3, "naive") for kind in ("ACN", "residual", "shallow")
    )
    done = {"depth": 3, "trained": "already"}
    found = [
        claim.run(
            settings,
            shallow,
            Work(0, tmp_path, shallow, before={acn: {"selected": depth}, residual: done}),
        )
        for depth in (3, 2)
    ]
    assert found[0] == done
    assert (found[1]["depth"], found[1]["model"]["depth"]) == (2, 2)
    assert found[1]["model"]["connectivity"] == "residual"
