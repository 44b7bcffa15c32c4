"""Tolerances: which scores are near enough to that of full depth."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from autocompress.statistics import first_within, least_within


@given(last=st.integers(0, 1000), slack=st.integers(0, 1000))
def test_a_score_on_the_edge_of_the_tolerance_is_within_it(last: int, slack: int) -> None:
    """With 1,000 examples, the rule in fractions is the rule in whole examples."""
    edge = last - slack
    scores = [hits / 1000 for hits in (edge - 1, edge, last)]
    assert first_within(scores, slack / 1000) == 1


def test_the_margin_is_for_rounding_only() -> None:
    assert 1 - 0.995 > 0.005  # as binary fractions
    assert least_within(1.0, 0.005) <= 0.995 < least_within(1.0, 0.005) + 1e-6
    assert first_within([0.994999, 1.0], 0.005) == 1
