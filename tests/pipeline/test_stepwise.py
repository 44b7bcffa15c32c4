"""Layers removed in steps, for as long as the score comes back."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import autocompress as ac
from autocompress.cli import main
from autocompress.data import DataConfig, Splits, load_data
from autocompress.depth import SelectConfig
from autocompress.errors import ConfigError
from autocompress.pipeline import ModelConfig, RunConfig, resolve
from autocompress.pipeline.expecting import trainings
from autocompress.pipeline.stepwise import cut_in_steps, ladder
from autocompress.report import load_report
from toy import config as fit_config
from toy import quiet_fit, source

DEPTH = 6


@pytest.fixture(scope="module")
def data() -> Splits:
    known = load_data(DataConfig(classes=(0, 1, 2)))
    return replace(known, train=source(96), validation=source(60, seed=1), test=source(4, seed=2))


@pytest.fixture(scope="module")
def net(data: Splits) -> ac.Network:
    torch.manual_seed(0)
    options = {"depth": DEPTH, "width": 16, "classes": 3, "image_size": 4, "channels": 1}
    net = ac.models.MLP(**options, connectivity="residual")
    quiet_fit(net, data.train, None, config=fit_config(epochs=6))
    return net


def settings(tolerance: float) -> RunConfig:
    return resolve(RunConfig(select=SelectConfig(tolerance=tolerance), stepwise=True, heal=2))


class Trains:
    """Returns networks as they came, or with a head of zeros below a depth."""

    def __init__(self, spoiled_below: int = 0, spoils: tuple[str, ...] = ("step", "cut")) -> None:
        self.spoiled_below, self.spoils = spoiled_below, spoils
        self.seen: list[tuple[str, int, int, object]] = []
        self.teachers: list[ac.Network | None] = []

    def __call__(
        self,
        run: RunConfig,
        name: str,
        title: str,
        net: ac.Network,
        teacher: ac.Network | None,
    ) -> ac.Network:
        self.seen.append((name, net.depth, run.fit.epochs, net.rule()))
        self.teachers.append(teacher)
        if net.depth < self.spoiled_below and name.startswith(self.spoils):
            for parameter in net.head.parameters():
                torch.nn.init.zeros_(parameter)
        return net


def test_the_steps() -> None:
    assert ladder(12) == [9, 6, 4, 3, 2, 1]
    assert ladder(2) == [1]
    assert ladder(0) == []


def test_a_depth_that_was_not_tried_is_not_selected(net: ac.Network, data: Splits) -> None:
    """A tolerance of more than the score itself accepts even a score of zero."""
    poor = ac.cut(net, DEPTH)
    torch.nn.init.zeros_(poor.head[-1].weight)
    curve = ac.probe(poor, data.validation)
    assert curve.scores[-1] < 0.9
    found = cut_in_steps(poor, curve, settings(0.9), data, Trains())
    assert found.net.depth == found.selection.depth == 1
    assert found.selection.depth_interval == (1, 1)


def test_it_stops_at_the_first_step_that_does_not_come_back(net: ac.Network, data: Splits) -> None:
    train, curve = Trains(spoiled_below=3), ac.probe(net, data.validation)
    goal = curve.scores[-1] - 0.5
    found = cut_in_steps(net, curve, settings(0.5), data, train)
    assert [depth for _, depth, *_ in train.seen] == [4, 3, 2]
    assert train.seen[0] == ("step-4", 4, 2, "residual")
    assert (found.net.depth, found.healed, found.trainings) == (3, 2, 3)
    assert found.selection.depth == 3
    assert found.curve.scores[-1] >= goal
    assert found.selection.score == pytest.approx(found.curve.scores[-1])
    assert found.selection.full_score == pytest.approx(curve.scores[-1])
    low, high = found.selection.difference_interval
    assert low <= found.curve.scores[-1] - curve.scores[-1] <= high


def test_nothing_goes_where_nothing_comes_back(net: ac.Network, data: Splits) -> None:
    curve = ac.probe(net, data.validation)
    found = cut_in_steps(net, curve, settings(0.0), data, Trains(spoiled_below=9))
    assert found.net is net
    assert (found.selection.depth, found.healed, found.trainings) == (DEPTH, 0, 1)


def test_layers_are_chosen_by_their_loss(net: ac.Network, data: Splits) -> None:
    curve = ac.probe(net, data.validation)
    found = cut_in_steps(net, curve, settings(0.9), data, Trains())
    chosen = net
    for depth in ladder(DEPTH):
        chosen = ac.cut(chosen, ac.choose_layers(chosen, depth, data.validation))
    x = net.example(3)
    assert torch.equal(found.net.eval()(x), chosen.eval()(x))


def test_the_whole_network_teaches_every_step_if_it_shall(net: ac.Network, data: Splits) -> None:
    curve = ac.probe(net, data.validation)
    for teach, words in ((True, ", taught by the whole network"), (False, "of training")):
        train = Trains()
        found = cut_in_steps(net, curve, replace(settings(0.9), teach=teach), data, train)
        assert all(each is (net if teach else None) for each in train.teachers)
        assert found.selection.rule.endswith(words)


def test_the_command_teaches_the_cut_network(
    tmp_path: Path, no_onnx: None, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["compress", "digits", "--model.depth", "2", "--model.width", "8", "--fit.epochs", "1"]
    words += ["--select.layers", "1", "--rivals", "false", "--quiet", "--teach", "--output"]
    assert main([*words, str(tmp_path / "none")]) == 2
    assert "set heal" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()
    assert main([*words, str(tmp_path / "out"), "--heal", "1"]) == 0
    rule = load_report(tmp_path / "out" / "report.json")["rule"]
    assert "and taught by the whole network" in rule
    checkpoints = sorted((tmp_path / "out" / "healed" / "checkpoints").rglob("*.json"))
    assert "teacher" in json.loads(checkpoints[-1].read_text())["identity"]


@pytest.fixture
def again(net: ac.Network, tmp_path: Path) -> RunConfig:
    """Settings of a run from weights that exist, which are those of ``net`` here."""
    ac.save(net, tmp_path / "start")
    return replace(
        settings(0.5),
        model=ModelConfig(init=str(tmp_path / "start"), connectivity="residual"),
        fit=ac.FitConfig(epochs=7),
        cut_first=True,
    )


def test_a_step_that_fails_is_tried_from_the_initial_weights(
    net: ac.Network, data: Splits, again: RunConfig
) -> None:
    """It succeeds at three layers; the next step is healed again, and nothing is tried twice."""
    train, curve = Trains(spoiled_below=4, spoils=("step",)), ac.probe(net, data.validation)
    found = cut_in_steps(net, curve, again, data, train)
    names = [(name, depth, epochs) for name, depth, epochs, _ in train.seen]
    assert names == [("step-4", 4, 2), ("step-3", 3, 2), ("cut-first-3", 3, 11), ("step-2", 2, 2)]
    assert [teacher is net for teacher in train.teachers] == [False, False, True, False]
    assert (found.net.depth, found.healed, found.trainings) == (3, 2, 4)
    assert "3 layers came back only when cut before training and taught" in found.selection.rule
    x, spread = net.example(3), ac.choose_layers(net, 3, by="spread")
    assert spread == [0, 2, 4]
    assert torch.equal(found.net.eval()(x), net.cut(spread).eval()(x))


def test_a_step_that_fails_both_ways_is_the_last(
    net: ac.Network, data: Splits, again: RunConfig
) -> None:
    train, curve = Trains(spoiled_below=4), ac.probe(net, data.validation)
    found = cut_in_steps(net, curve, again, data, train)
    assert [name for name, *_ in train.seen] == ["step-4", "step-3", "cut-first-3"]
    assert (found.net.depth, found.healed, found.trainings) == (4, 1, 3)
    assert "3 layers did not come back either when cut before training" in found.selection.rule


def test_the_trainings_of_such_a_run_are_counted(again: RunConfig) -> None:
    """Own, four steps, the other way, baseline and shallow rival: at most."""
    assert trainings(again, "compress", DEPTH) == [7, *[2] * 4, 15, 7, 15]
    alone = replace(again, cut_first=False)
    assert trainings(alone, "compress", DEPTH) == [7, *[2] * 4, 7, 15]


def test_it_needs_a_tolerance(net: ac.Network, data: Splits) -> None:
    run = replace(settings(0.1), select=SelectConfig(layers=2))
    with pytest.raises(ConfigError, match="stepwise"):
        cut_in_steps(net, ac.probe(net, data.validation), run, data, Trains())


def test_the_command_from_weights_that_exist(tmp_path: Path, no_onnx: None) -> None:
    options = {"depth": 3, "width": 16, "classes": 10, "image_size": 8, "channels": 1}
    ac.save(ac.models.MLP(**options, connectivity="residual"), tmp_path / "start")
    words = ["compress", "--model.init", str(tmp_path / "start"), "--fit.epochs", "2"]
    words += ["--fit.batch_size", "64", "--fit.lr", "0.01", "--select.tolerance", "0.2"]
    out = tmp_path / "out"
    assert main([*words, "--output", str(out), "--quiet"]) == 0
    report = load_report(out / "report.json")
    assert report["model"]["connectivity"] == "residual"
    assert "tried in steps" in report["rule"]
    small = ac.load(out / "small")
    assert small.depth == report["selected"] == report["small"]["depth"] < 3
    assert (out / f"step-{small.depth}" / "metrics.jsonl").exists()
    assert main([*words, "--output", str(out), "--resume", "--quiet"]) == 0
    assert load_report(out / "report.json")["small"]["test"] == report["small"]["test"]
