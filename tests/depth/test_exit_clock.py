"""Where regrouping pays, by hand; times and the choice by them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch.utils.data import TensorDataset

import autocompress as ac
from autocompress.cli import main
from autocompress.depth import ExitPoint, Segments
from autocompress.depth import exit_clock as clock
from autocompress.depth.exit_regroup import ExitCosts, Line
from autocompress.depth.exit_rule import entropy
from autocompress.errors import ConfigError, DataError
from models_table import images, make


def test_regrouping_pays_where_it_saves_more_than_the_copy() -> None:
    """Layers of 1 + 0.1 n ms, copies of 2 + 0.05 n: of 100, k leaving save 0.1 k - 7 + 0.05 k."""
    costs = ExitCosts([1, 2], [Line(1.0, 0.1)], [Line(2.0, 0.05)], "cpu")
    assert costs.gain_ms(0, 100, 60) == pytest.approx(0.1 * 40 - 2 - 0.05 * 60)
    assert costs.least(0, 100) == 47
    assert not costs.pays(0, 100, 54)
    assert costs.pays(0, 100, 53)
    assert ExitCosts([1, 2], [Line(1.0, 0.0)], [Line(0.1, 0.0)], "cpu").least(0, 100) is None
    assert "47 leaving" not in str(costs), "it speaks of 256 examples"


def test_a_line_through_two_times() -> None:
    assert Line.through(10, 2.0, 40, 5.0).at(20) == pytest.approx(3.0)
    assert Line.through(10, 5.0, 40, 2.0) == Line(5.0, 0.0), "noise makes no time negative"


def test_measured_costs_decide() -> None:
    net, x = make("mixer", "acn"), images(32)
    costs = ac.exit_costs(net, x, depths=[1, 3], repeats=1)
    assert costs.depths == [1, 3, 4]
    threshold = float(entropy(net(x, depth=1)).median().detach())
    plain = ac.early_exit(net, x, threshold, depths=[1, 3])
    found = ac.early_exit(net, x, threshold, depths=[1, 3], regroup=costs)
    assert found.depths.tolist() == plain.depths.tolist()
    torch.testing.assert_close(found.logits, plain.logits, atol=1e-5, rtol=1e-5)
    with pytest.raises(DataError, match="4 or more examples to measure; given: 3"):
        ac.exit_costs(net, images(3))


def by_hand() -> ExitCosts:
    """Heads of 4 ms, layers of 10 ms for 100 examples, copies that cost nothing."""
    segment, copy, head = Line(4.0, 0.1), Line(0.0, 0.0), Line(4.0, 0.0)
    return ExitCosts([1, 2, 3, 4], [segment] * 3, [copy] * 3, "cpu", 100, [head] * 4)


def leaving(*shares: float) -> torch.Tensor:
    """Of 100 examples, the first ones leave: these shares of all, one after another."""
    ends = torch.tensor([sum(shares[: n + 1]) for n in range(len(shares))]) * 100
    return torch.arange(100)[:, None] < ends[None, :].round()


def test_exits_that_take_more_than_they_save_are_left_out() -> None:
    costs = by_hand()
    nobody = leaving(0, 0, 0)
    assert costs.time_ms(nobody, 100) == pytest.approx(3 * 10 + 4)
    # half leave at once: one head more, half of all that follows less
    assert costs.time_ms(leaving(0.5, 0, 0), 100) == pytest.approx(4 * (1 + 2 + 1) + 3 * 5)
    only_first = leaving(0.5, 0, 0)
    only_first[:, 1:] = False
    assert costs.time_ms(only_first, 100) == pytest.approx(4 + 3 * 5 + 4)
    assert costs.time_ms(only_first, 1000) == pytest.approx(4 + 3 * 50 + 4)
    assert costs.time_ms(leaving(1.0, 0, 0), 100) == 4
    # the second exit lets nobody more leave, and the third saves 2 of 10 ms for a head of 4
    assert costs.worth(leaving(0.5, 0.0, 0.2), 100) == [1, 4]
    # in larger batches a head weighs less
    assert costs.worth(leaving(0.5, 0.0, 0.2), 1000) == [1, 3, 4]
    assert costs.worth(leaving(0.05, 0.05, 0.05), 100) == [4]
    assert costs.worth(nobody, 100) == [4]
    # with exits the pass goes in parts, which may take what they save: 34 - 23 ms, less a tenth
    for apart, kept in ((7.5, [1, 4]), (7.7, [4])):
        assert replace(costs, apart=Line(apart, 0.0)).worth(leaving(0.5, 0, 0.2), 100) == kept


def test_the_costs_of_some_exits() -> None:
    some = by_hand().only([1, 4])
    assert some.depths == [1, 4]
    assert some.segments[0].at(100) == pytest.approx(3 * 10 + 4)
    assert (len(some.copies), len(some.heads)) == (1, 2)
    certain = leaving(0.5, 0, 0)
    certain[:, 1:] = False
    assert some.time_ms(certain[:, :1], 100) == by_hand().time_ms(certain, 100)
    assert by_hand().only([1, 2, 3, 4]) == by_hand()


def test_a_rule_without_exits_is_the_network_itself() -> None:
    net, x = make("mixer", "acn").eval(), images(6)
    found = ac.early_exit(net, x, ac.ExitRule.uniform("entropy", [4], 9.0), count=False)
    assert torch.equal(found.logits, net(x))
    assert found.depths.tolist() == [4] * 6
    assert found.flops is None


def row(ms: float) -> clock.ExitTime:
    return clock.ExitTime(256, "cpu", 0.1, ms, ms, ms, 9.0, 9 / ms, 9 / ms, 9 / ms, 3.0)


def test_the_best_score_within_the_time() -> None:
    points = [ExitPoint(t, s, 1.0, 1.0) for t, s in ((0.1, 0.9), (0.2, 0.8), (0.3, 0.85))]
    times = [row(8.0), row(5.0), row(4.0)]
    assert clock.fastest(points, times, 6.0)[0].threshold == 0.3
    assert clock.fastest(points, times, 8.0)[0].threshold == 0.1
    with pytest.raises(ConfigError, match="the least that was measured is 4 ms") as error:
        clock.fastest(points, times, 3.2)
    assert "(80,000 examples per second)" in str(error.value)  # of the target: 256 in 3.2 ms
    assert "(64,000 per second)" in str(error.value)  # of the best
    assert clock.slowest(500.0, 50) == 100.0
    with pytest.raises(ConfigError, match="throughput 0"):
        clock.slowest(0.0, 50)
    assert row(4.5).kept == pytest.approx(2 / 3)


def test_times_know_the_flops_that_were_saved() -> None:
    net, x = make("mixer", "acn"), images(12)
    rules = [ac.ExitRule.uniform("entropy", [1, 4], t) for t in (0.0, 9.9)]
    none, all_ = clock.time_exits(net, x, rules, batch_size=5, repeats=3)
    first, full = (float(ac.early_exit(net, x, r).flops.mean()) for r in rules)  # type: ignore[union-attr]
    assert none.flops_speedup < 1 < all_.flops_speedup
    assert all_.flops_speedup / none.flops_speedup == pytest.approx(first / full)
    assert none.batch_size == 5
    assert none.speedup_low <= none.speedup <= none.speedup_high


@pytest.mark.parametrize("times", [1.0, 1.7])
def test_the_command_says_when_exits_are_slower(
    times: float,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    def measured(net: ac.Network, x: Any, rules: list[Any], **_: Any) -> list[clock.ExitTime]:
        return [clock.ExitTime(256, "cpu", 0.0, 9.0, 8.0, 9.5, 9.0, *speed, 1.3) for _ in rules]

    speed = (0.55 * times, 0.5 * times, 0.63 * times)
    monkeypatch.setattr("autocompress.depth.exit_clock.time_exits", measured)
    net = ac.models.MLP(depth=2, width=8, classes=10, image_size=8, channels=1)
    net.preprocess = ac.data.ImageInput(size=(8, 8), channels=1).to_json()
    ac.save(net, tmp_path / "net")
    picture = tmp_path / "black.png"
    Image.new("L", (8, 8)).save(picture)
    words = ["exit", str(tmp_path / "net"), "--data.name", "digits", "--data.train_limit", "60"]
    assert main([*words, "--threshold", "0.5", "--batch_size", "16", "--save", "false"]) == 0
    said = capsys.readouterr().out
    assert ("longer than full depth here" in said) == (0.63 * times < 1)
    assert main([*words, "--drop", "0.3", "--batch_size", "16"]) == 0
    assert ("no example leaves early" in capsys.readouterr().out) == (0.63 * times < 1)
    record = ac.ExitRecord.load(tmp_path / "net")
    assert record is not None
    if 0.63 * times < 1:  # unless the user names them, exits that lose time are not kept
        assert record.rule.depths == [2]
        assert record.validation["shares"] == [1.0]
        assert main(["predict", str(tmp_path / "net"), str(picture), "--exit"]) == 0
        assert "(depth 2)" in capsys.readouterr().out
    assert main([*words, "--depths", "1", "--batch_size", "16"]) == 0
    record = ac.ExitRecord.load(tmp_path / "net")
    assert record is not None
    assert record.rule.depths == [1, 2]


def test_the_command_leaves_out_exits_that_do_not_pay(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    head, dear, free = Line(0.0, 1.0), Line(1e6, 1.0), Line(0.0, 0.0)
    segments = [Line(1e6, 101.0), Line(0.0, 101.0)]  # layers of 100 ms for an example, and a head
    costs = ExitCosts([1, 2, 3], segments, [free] * 2, "cpu", 16, [head, dear, head])
    monkeypatch.setattr("autocompress.commands.exit.exit_costs", lambda *_, **__: costs)
    net = ac.models.MLP(depth=3, width=8, classes=10, image_size=8, channels=1)
    ac.save(net, tmp_path / "net")
    words = ["exit", str(tmp_path / "net"), "--data.name", "digits", "--data.train_limit", "60"]
    words += ["--batch_size", "16", "--save", "false"]
    assert main([*words, "--drop", "0.9"]) == 0
    assert "Exits after layer 2 are predicted to take more time" in capsys.readouterr().out
    for fixed in (["--depths", "1", "2"], ["--threshold", "0.5"]):
        assert main([*words, *fixed]) == 0
        assert "predicted to take more" not in capsys.readouterr().out


@pytest.mark.parametrize(("limit", "word"), [(8.2, "within"), (5.0, "below"), (9.6, "")])
def test_the_command_doubts_times_of_a_busy_machine(
    limit: float,
    word: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    def measured(net: ac.Network, x: Any, rules: list[Any], **_: Any) -> list[clock.ExitTime]:
        first = len(rules) > 1  # when thresholds are tried: the machine was quiet then
        times = (4.0, 4.0, 4.0) if first else (8.5, 8.0, 9.5)
        return [clock.ExitTime(16, "cpu", 0.0, *times, 9.0, 1.1, 0.6, 1.8, 1.3) for _ in rules]

    monkeypatch.setattr("autocompress.depth.exit_clock.time_exits", measured)
    net = ac.models.MLP(depth=2, width=8, classes=10, image_size=8, channels=1)
    ac.save(net, tmp_path / "net")
    words = ["exit", str(tmp_path / "net"), "--data.name", "digits", "--data.train_limit", "60"]
    words += ["--batch_size", "16", "--save", "false"]
    assert main([*words, "--latency_ms", str(limit)]) == 0
    said = capsys.readouterr().out
    assert (f"lies {word} the spread" in said) == bool(word)
    assert "noisy, 0.60 to 1.80 times as fast" in said


def test_temperatures_fit_the_labels() -> None:
    """Logits twice as large as those that the labels were drawn from: the temperature is 2."""
    torch.manual_seed(0)
    net = ac.models.MLP(depth=1, width=3, classes=3, image_size=2, channels=1, connectivity="acn")
    x = torch.randn(6000, 1, 2, 2)
    with torch.no_grad():
        net.head[1].weight.mul_(3)  # type: ignore[index]
        drawn = torch.multinomial((net(x, depth=1) / 2).softmax(1), 1)[:, 0]
    curve = ac.exit_curve(net, TensorDataset(x, drawn), depths=[1], temperature=True)
    assert curve.temperatures == pytest.approx([2.0], rel=0.15)
    again = ac.exit_curve(net, TensorDataset(x, drawn), temperature=curve.temperatures)
    assert again.temperatures == curve.temperatures
    with pytest.raises(ConfigError, match="2 temperatures for 1 exits"):
        ac.exit_curve(net, TensorDataset(x, drawn), temperature=[1.0, 2.0])


@pytest.mark.slow
def test_compiled_segments_give_the_same_answers() -> None:
    net, x = make("vit", "acn").eval(), images(24)
    threshold = float(entropy(net(x, depth=1)).median().detach())
    segments = Segments(net, compile=True)
    for size in (24, 17):
        plain = ac.early_exit(net, x[:size], threshold, depths=[1, 2], count=False)
        found = ac.early_exit(
            net, x[:size], threshold, depths=[1, 2], count=False, segments=segments
        )
        assert found.depths.tolist() == plain.depths.tolist()
        torch.testing.assert_close(found.logits, plain.logits, atol=1e-5, rtol=1e-4)


def test_the_command_writes_what_it_chose(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    net = ac.models.MLP(depth=2, width=8, classes=10, image_size=8, channels=1)
    ac.save(net, tmp_path / "net")
    words = ["exit", str(tmp_path / "net"), "--data.name", "digits", "--data.train_limit", "60"]
    words += ["--batch_size", "16", "--json", "--criterion", "margin"]
    assert main([*words, "--drop", "0.02"]) == 0
    said = json.loads(capsys.readouterr().out)["record"]
    record = ac.ExitRecord.load(tmp_path / "net")
    assert record is not None
    assert record.chosen_by == {"drop": 0.02}
    assert record.rule.criterion == "margin"
    assert record.timings == said["timings"]
    assert record.timings[0]["batch_size"] == 16
    assert sum(record.validation["shares"]) == pytest.approx(1)
    assert all(point["ms"] > 0 for point in record.curve)
    assert (tmp_path / "net" / "exits.svg").read_text().startswith("<?xml")
    assert main([*words, "--latency_ms", "0.0000001"]) == 2
    assert "the least that was measured" in capsys.readouterr().err
    assert main([*words, "--drop", "0.1", "--throughput", "5"]) == 2
    assert "give one of them" in capsys.readouterr().err
