"""Criteria and their file, by hand."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch

import autocompress as ac
from autocompress.depth import Exit, ExitRecord, ExitRule
from autocompress.depth.exit_rule import CRITERIA
from autocompress.errors import CheckpointError, ConfigError, UnknownNameError


def logits(*probabilities: float) -> torch.Tensor:
    return torch.tensor([probabilities]).log()


def test_values_by_hand() -> None:
    """(1/2, 1/4, 1/4) has 1.5 ln 2 nats, a margin of 1/4, a largest probability of 1/2."""
    expected = {"entropy": 1.5 * math.log(2), "margin": 0.25, "probability": 0.5, "patience": 0}
    for name, value in expected.items():
        found, _ = CRITERIA[name].values(logits(0.5, 0.25, 0.25))
        assert float(found) == pytest.approx(value), name


def test_patience_counts_exits_in_a_row() -> None:
    """Classes 1, 1, 0, 0, 0 of one example: 0, 1, 0, 1, 2 exits agreed before."""
    memory, counts = None, []
    for wanted in (1, 1, 0, 0, 0):
        row = torch.zeros(1, 2)
        row[0, wanted] = 1
        values, memory = CRITERIA["patience"].values(row, memory)
        counts.append(int(values))
    assert counts == [0, 1, 0, 1, 2]


@pytest.mark.parametrize("name", CRITERIA)
def test_a_sweep_goes_from_nobody_to_everybody(name: str) -> None:
    criterion = CRITERIA[name]
    rows = torch.cat([torch.randn(20, 7) * 3, torch.zeros(1, 7), 1e6 * torch.eye(7)])
    values, _ = criterion.values(rows)
    first, *_, last = criterion.sweep(7, 3, 10)
    assert bool(criterion.leaves(values, last).all())
    certain = criterion.leaves(values, first)
    assert not bool(certain.any())
    criterion.check(first), criterion.check(last)


def test_temperature_scales_what_the_criterion_sees() -> None:
    """softmax of (2 ln 3, 0) / 2 is (3/4, 1/4); undivided it is (9/10, 1/10)."""
    row = torch.tensor([[2 * math.log(3.0), 0.0]])
    for temperature, leaves in ((1.0, True), (2.0, False)):
        rule = ExitRule.uniform("probability", [1, 2], 0.8, temperature)
        certain, _ = rule.certain(0, row)
        assert certain is not None
        assert bool(certain) is leaves
    assert rule.certain(1, row)[0] is None, "at full depth everybody leaves"


def test_what_a_rule_refuses() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'entropy'"):
        ExitRule.uniform("entropi", [1, 2], 0.5)
    with pytest.raises(ConfigError, match="ascend"):
        ExitRule.uniform("entropy", [2, 1], 0.5)
    with pytest.raises(ConfigError, match="no threshold"):
        ExitRule("entropy", (Exit(1, None), Exit(2, None)))
    with pytest.raises(ConfigError, match="full depth"):
        ExitRule("entropy", (Exit(1, 0.5),))
    with pytest.raises(ConfigError, match="temperature 0"):
        ExitRule.uniform("entropy", [1, 2], 0.5, 0.0)
    for name, wrong in (("margin", 1.5), ("probability", -0.1), ("patience", 0.5)):
        with pytest.raises(ConfigError, match=name):
            ExitRule.uniform(name, [1, 2], wrong)


def saved(folder: Path) -> Path:
    ac.save(ac.models.MLP(depth=2, width=4, classes=3, image_size=2, channels=1), folder)
    return folder


def test_the_file_returns_what_was_written(tmp_path: Path) -> None:
    folder = saved(tmp_path / "net")
    assert ExitRecord.load(folder) is None
    rule = ExitRule("margin", (Exit(1, 0.5, 1.5), Exit(2, None)))
    record = ExitRecord(rule, 3, {"drop": 0.01}, {"score": 0.5}, curve=[{"threshold": 0.5}])
    assert record.save(folder) == folder / "exits.json"
    assert ExitRecord.load(folder) == record
    assert ac.load(folder).depth == 2, "the network still loads"
    saved_again = ac.load(folder)
    ac.save(saved_again, folder, overwrite=True)
    assert ExitRecord.load(folder) is None, "exits go with the weights they were chosen for"


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("schema", 2, "upgrade"),
        ("schema", None, "no 'schema'"),
        ("criterion", "luck", "luck"),
        ("exits", [], "does not describe exits"),
        ("exits", [{"depth": "1", "threshold": 0.5}], "an invalid exit"),
        ("exits", [{"depth": 1, "threshold": "low"}], "an invalid exit"),
        ("classes", 0, "classes"),
        ("curve", 3, "curve"),
        ("validation", 3, "validation"),
        ("weights_sha256", "0" * 64, "other weights"),
    ],
)
def test_a_damaged_file_is_refused(tmp_path: Path, key: str, value: object, says: str) -> None:
    folder = saved(tmp_path / "net")
    path = ExitRecord(ExitRule.uniform("entropy", [1, 2], 0.5), 3).save(folder)
    path.write_text(json.dumps({**json.loads(path.read_text()), key: value}))
    with pytest.raises(CheckpointError, match=says):
        ExitRecord.load(folder)
