"""What is no better than one answer, and a validation set that is too small, are said to be so."""

from __future__ import annotations

import pytest
import torch
from torch.utils.data import TensorDataset

import autocompress as ac
from autocompress.depth.probing import DepthCurve
from autocompress.depth.select import doubts, not_clearly_better
from models_table import images, make


def curve(scores: list[float], examples: int, constant: float | None) -> DepthCurve:
    hits = torch.stack([torch.arange(examples) < round(s * examples) for s in scores], 1)
    costs = list(range(1, len(scores) + 1))
    return DepthCurve(hits, costs, costs, constant=constant)


@pytest.mark.parametrize(
    ("scores", "constant", "nothing"),
    [
        ([0.5, 0.5, 0.5], 0.5, True),
        ([0.2, 0.1, 0.3], 0.5, True),
        ([0.5, 0.5, 0.52], 0.5, True),  # within a standard error of 400 examples, 2.5 points
        ([0.5, 0.5, 0.6], 0.5, False),
        ([0.5, 0.9, 0.5], 0.5, False),  # the full depth has failed, another has not
        ([0.95, 0.95, 0.955], 0.95, True),
        ([0.3, 0.4, 0.5], None, False),
    ],
)
def test_no_better_than_one_answer(
    scores: list[float], constant: float | None, nothing: bool
) -> None:
    found = curve(scores, 400, constant)
    if constant is not None:
        assert not_clearly_better(found.hits, constant) is nothing
    said = [str(found), str(found.select()), *found.warnings, *found.select(layers=1).warnings]
    assert ("better than always answering" in " ".join(said)) is nothing
    if nothing and constant is not None:  # chance is not called a proof that nothing is learned
        clearly = max(found.scores) > constant
        assert ("is clearly better than" in " ".join(said)) is clearly


def test_the_constant_of_a_probe_is_the_most_frequent_class() -> None:
    labels = torch.tensor([0] * 5 + [2] * 11 + [1] * 4)
    found = ac.probe(make("mlp", "acn"), TensorDataset(images(20), labels))
    assert found.constant == 11 / 20


def test_a_constant_network_is_no_better_than_one_answer() -> None:
    """All depths say class 1, the most frequent: not 'depth 0 is as good', but no better."""
    net = make("mlp", "acn")
    linear = [module for module in net.head.modules() if isinstance(module, torch.nn.Linear)][-1]
    with torch.no_grad():
        linear.weight.zero_()
        linear.bias.copy_(torch.tensor([0.0, 1.0, 0.0]))
    found = ac.probe(net, TensorDataset(images(300), (torch.arange(300) % 4 > 0).long()))
    assert found.scores == [0.75] * 5
    chosen = found.select()
    assert "no depth of this network is better than always answering the most frequent" in str(
        chosen
    )
    assert "full depth scores 75.00 %, that answer 75.00 %" in str(chosen)
    assert "Note: no depth of this network is better" in str(found).replace("\n", " ")


@pytest.mark.parametrize(
    ("examples", "tolerance", "few"),
    [
        (50, 0.005, True),
        (199, 0.005, True),
        (200, 0.005, False),
        (50, 0.02, False),
        (10, 0.0, False),
    ],
)
def test_too_few_examples_for_the_tolerance(examples: int, tolerance: float, few: bool) -> None:
    found = curve([0.1, 0.5, 0.9], examples, 0.1)
    assert ("too few for a tolerance" in str(found.select(tolerance=tolerance))) is few


def test_other_rules_have_no_tolerance() -> None:
    found = curve([0.1, 0.5, 0.9], 20, 0.1)
    assert "too few" in str(found.select())
    assert "at least 200 examples" in str(found.select())
    for rule in (
        {"layers": 1},
        {"knee": True},
        {"parameters": 9},
    ):
        assert "too few" not in str(found.select(**rule))
    assert not doubts(found.hits, None, "accuracy", None)


@pytest.mark.parametrize(
    ("tolerance", "confidence", "needed"),
    [(0.005, 0.95, "598"), (0.02, 0.95, "149"), (0.01, 0.8, "161"), (0.0, 0.95, None)],
)
def test_too_few_examples_for_the_confidence(
    tolerance: float, confidence: float, needed: str | None
) -> None:
    """As many as give one loss with the confidence if the share of losses is the tolerance."""
    enough = 10_000 if needed is None else int(needed)
    few = curve([0.1, 0.5, 0.5], enough - 1, 0.1).select(tolerance=tolerance, confidence=confidence)
    (said,) = few.warnings
    assert f"tolerance of {100 * tolerance:g} points with {100 * confidence:g} % confid" in said
    assert ("examples, a wider" in said) is (needed is not None)
    assert needed is None or f"take at least {needed} examples" in said
    if needed is not None:
        more = curve([0.1, 0.5, 0.5], enough, 0.1)
        assert not more.select(tolerance=tolerance, confidence=confidence).warnings
