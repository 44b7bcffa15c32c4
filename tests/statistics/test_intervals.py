"""Paired intervals, against what can be computed by hand."""

from __future__ import annotations

import math

import pytest
import torch

from autocompress.errors import ConfigError
from autocompress.statistics import Estimate, judge, paired, paired_examples
from autocompress_studies import statements
from autocompress_studies.statements import needed


def test_students_interval_of_three_pairs() -> None:
    """Differences 1, 2, 6: mean 3, standard deviation sqrt(7), t of two degrees 4.302653."""
    estimate = paired([2.0, 4.0, 9.0], [1.0, 2.0, 3.0])
    reach = 4.302653 * math.sqrt(7) / math.sqrt(3)
    assert estimate.value == pytest.approx(3.0)
    assert estimate.low == pytest.approx(3 - reach, abs=1e-5)
    assert estimate.high == pytest.approx(3 + reach, abs=1e-5)


def test_one_seed_leaves_the_interval_open() -> None:
    assert paired([1.0], [0.0]) == Estimate(1.0, None, None, 1)
    assert judge(paired([1.0], [0.0]), least=0.0) == "undecided"


def test_t_of_one_degree_and_of_many() -> None:
    """Differences 0 and 2: mean 1, error 1, t 12.706; of many +-1, the normal quantile 1.96."""
    assert paired([0.0, 2.0], [0.0, 0.0]).high == pytest.approx(13.706, abs=1e-3)
    many = paired([1.0, -1.0] * 5000, [0.0] * 10000)
    assert many.high == pytest.approx(1.96 / 100, abs=1e-4)


@pytest.mark.parametrize(("values", "p"), [([1.0, 2.0, 6.0], 0.188), ([5.0, 5.0, 5.0], 0.25)])
def test_the_p_value_of_the_t_test(values: list[float], p: float) -> None:
    """t = 3 / sqrt(7 / 3) = 1.964; P(|T| > t) of two degrees is 1 - t / sqrt(2 + t^2).

    Equal differences have no spread: three of one sign come by chance in a quarter of all cases.
    """
    assert paired(values, [0.0] * 3).p_value(0.0) == pytest.approx(p, abs=1e-3)
    assert paired(values, [0.0] * 3).p_value(sum(values) / 3) == pytest.approx(1.0)
    assert paired([1.0], [0.0]).p_value(0.0) is None


def test_differences_that_only_rounding_tells_apart_are_equal() -> None:
    """0.3 - 0.2, 0.4 - 0.3 and 0.5 - 0.4 are a tenth each, and not the same number in binary."""
    ours, theirs = [0.3, 0.4, 0.5], [0.2, 0.3, 0.4]
    estimate = paired(ours, theirs)
    assert len(set(estimate.differences)) > 1
    assert (estimate.low, estimate.high) == (0.1, 0.1)
    assert estimate.p_value(0.0) == 0.25
    assert estimate.p_value(0.1) == 1.0
    stated = statements.Statement("ours is better", estimate)
    assert statements.tested([stated])[0].outcome == "undecided"


@pytest.mark.parametrize("wrong", [math.nan, math.inf])
def test_a_number_that_is_not_finite_is_named(wrong: float) -> None:
    with pytest.raises(ConfigError, match=f"pair 2 compares {wrong} with 0.5; expected finite"):
        paired([1.0, wrong, 2.0], [0.0, 0.5, 0.0])
    with pytest.raises(ConfigError, match="pair 1 compares nan"):
        paired_examples([torch.full((4,), math.nan)] * 2, [torch.ones(4)] * 2)


def test_the_p_value_agrees_with_the_interval() -> None:
    """It is below 5 % where the 95 % interval leaves the value out, and only there."""
    right = torch.ones(1000, dtype=torch.bool)
    most = torch.arange(1000) % 5 > 0
    estimate = paired_examples([right] * 3, [most] * 3)
    assert estimate.low is not None
    for least, inside in ((estimate.low - 0.004, False), (estimate.low + 0.004, True)):
        p = estimate.p_value(least)
        assert p is not None
        assert (p > 0.05) is inside
    error = math.sqrt(0.8 * 0.2 / 1000)  # far out, where no resample lies: the normal tail counts
    far = estimate.p_value(0.2 - 5 * error)
    assert far == pytest.approx(5.7e-7, rel=2)


def test_pairs_need_the_same_seeds_and_examples() -> None:
    with pytest.raises(ConfigError, match="3 seeds against 2"):
        paired([1, 2, 3], [1, 2])
    ours, theirs = [torch.ones(4)] * 2, [torch.ones(5)] * 2
    with pytest.raises(ConfigError, match="must be of the same"):
        paired_examples(ours, theirs)


def test_the_same_hits_differ_by_nothing() -> None:
    hits = [torch.rand(50) < 0.5 for _ in range(3)]
    assert paired_examples(hits, hits) == Estimate(0.0, 0.0, 0.0, 3)


def test_the_bootstrap_has_the_binomial_width() -> None:
    """Equal seeds: t's interval is a point, so what is left is the examples' sampling error.

    One side always right, the other in 80 % of 1,000 examples: standard error sqrt(.8 x .2 / 1000).
    More seeds on the same test set make it no smaller.
    """
    right = torch.ones(1000, dtype=torch.bool)
    most = torch.arange(1000) % 5 > 0
    estimate = paired_examples([right] * 3, [most] * 3)
    error = math.sqrt(0.8 * 0.2 / 1000)
    assert estimate.value == pytest.approx(0.2)
    assert estimate.low == pytest.approx(0.2 - 1.96 * error, abs=0.2 * error)
    assert estimate.high == pytest.approx(0.2 + 1.96 * error, abs=0.2 * error)


def test_the_interval_spans_seeds_where_they_differ_more_than_examples() -> None:
    always, never = torch.ones(40), torch.zeros(40)
    half = (torch.arange(40) % 2).float()
    estimate = paired_examples([always, half, never], [never, half, never])
    by_seed = paired([1.0, 0.5, 0.0], [0.0, 0.5, 0.0])
    assert estimate.low is not None
    assert by_seed.low is not None
    assert by_seed.high is not None
    assert estimate.high is not None
    assert estimate.low <= by_seed.low
    assert estimate.high >= by_seed.high


def test_pairing_takes_out_what_both_share() -> None:
    """Two networks that fail on the same examples differ by less than two that fail on others."""
    ours = torch.arange(400) % 2 == 0
    theirs = ours.clone()
    theirs[:4] = True
    together = paired_examples([theirs] * 3, [ours] * 3)
    apart = paired_examples([theirs] * 3, [ours] * 3, shared="none")
    width, wide = (e.high - e.low for e in (together, apart))  # type: ignore[operator]
    assert together.value == apart.value
    assert width < wide / 3


@pytest.mark.parametrize(
    ("low", "high", "outcome"),
    [(0.1, 2.0, "holds"), (-1.0, 0.0, "does not hold"), (-0.1, 0.1, "undecided")],
)
def test_judgement(low: float, high: float, outcome: str) -> None:
    assert judge(Estimate((low + high) / 2, low, high, 3), least=0.0) == outcome


def test_depth_needed_is_that_of_the_selection() -> None:
    """The rule on many resamples at once equals ``DepthCurve.select``, one by one."""
    from autocompress.depth import DepthCurve

    torch.manual_seed(0)
    for _ in range(20):
        hits = torch.rand(60, 6) < torch.linspace(0.3, 0.8, 6)
        curve = DepthCurve(hits, [0] * 6, [0] * 6)
        assert int(needed(hits.double().mean(0, keepdim=True))) == curve.select().depth
