"""The bootstrap by distinct rows: the same distribution as drawing examples one by one."""

from __future__ import annotations

import time

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from autocompress.errors import ConfigError
from autocompress.statistics import holm, least_means, resampled_means, resampled_together


def one_by_one(values: Tensor, resamples: int) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    n = len(values)
    drawn = [torch.randint(n, (n,), generator=generator) for _ in range(resamples)]
    return torch.stack([values[places].double().mean(0) for places in drawn])


@pytest.mark.parametrize("kind", ["hits", "losses", "some equal"])
def test_means_are_distributed_as_those_of_single_draws(kind: str) -> None:
    """Kolmogorov and Smirnov find no difference, nor do the covariances of the columns."""
    from scipy.stats import ks_2samp

    torch.manual_seed(0)
    values: Tensor = torch.rand(200, 3) < torch.tensor([0.2, 0.5, 0.9])
    if kind != "hits":
        values = torch.randn(200, 3)
    if kind == "some equal":
        values[:60] = 0.25
    found, wanted = resampled_means(values, resamples=4000), one_by_one(values, 4000)
    for column in range(3):
        assert ks_2samp(found[:, column], wanted[:, column]).pvalue > 1e-4
    exact = torch.cov(values.double().T, correction=0) / 200  # of the mean of a resample
    torch.testing.assert_close(torch.cov(found.T), exact, rtol=0, atol=0.1 * float(exact.max()))


def test_a_long_text_takes_little_time_and_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """192,000 places and 9 depths: drawing them one by one takes half a minute."""
    first = torch.arange(192_000) % 9
    hits = first[:, None] <= torch.arange(9)
    start = time.process_time()
    means = resampled_means(hits)
    assert time.process_time() - start < 5
    assert means.shape == (1000, 9)
    error = (1 / 9 * 8 / 9 / 192_000) ** 0.5
    assert float(means[:, 0].std()) == pytest.approx(error, rel=0.1)


def test_blocks_of_resamples_continue_one_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    from autocompress.statistics import bootstrap

    for values in (torch.rand(50, 2) < 0.5, torch.rand(50, 2)):
        whole = resampled_means(values, seed=3)
        with monkeypatch.context() as patch:
            patch.setattr(bootstrap, "_COUNTS", 500)
            assert torch.allclose(resampled_means(values, seed=3), whole, atol=1e-12)


@pytest.mark.parametrize("columns", [1, 13, 62, 63])
def test_hits_and_numbers_draw_the_same(columns: int) -> None:
    hits = torch.rand(200, columns) < 0.3
    hits[100:] = hits[:100]
    assert torch.equal(resampled_means(hits), resampled_means(hits.to(torch.uint8)))
    assert torch.equal(resampled_means(hits[:, 0]), resampled_means(hits[:, 0].double()))


def test_sides_are_drawn_together() -> None:
    right = torch.arange(100) % 2 == 0
    ours, theirs = resampled_together([right, ~right], np.random.RandomState(0))
    assert torch.allclose(ours + theirs, torch.ones(1000, dtype=torch.float64))
    with pytest.raises(ConfigError, match=r"\[3, 4\] examples"):
        resampled_together([torch.ones(4), torch.ones(3)], np.random.RandomState(0))


@given(st.integers(1, 500), st.data(), st.floats(0.5, 0.99))
@settings(max_examples=30, deadline=None)
def test_the_least_share_is_that_of_clopper_and_pearson(
    examples: int, data: st.DataObject, confidence: float
) -> None:
    from scipy.stats import beta

    hits = data.draw(st.integers(1, examples))
    values = torch.arange(examples)[:, None] < hits
    state = torch.get_rng_state(), np.random.get_state()[1].copy()
    found = float(least_means(values, confidence, worst=0.0))
    exact = beta(hits, examples - hits + 1)
    assert float(exact.cdf(found)) == pytest.approx(1 - confidence, abs=0.01)
    assert torch.equal(torch.get_rng_state(), state[0])
    assert (np.random.get_state()[1] == state[1]).all()


def test_least_means_of_several_columns_are_those_of_each() -> None:
    values = torch.randn(300, 2, dtype=torch.float64).clamp(-1, 1)
    both = least_means(values, 0.9, worst=-1.0)
    assert both.shape == (2,)
    for column in range(2):
        one = least_means(values[:, column : column + 1], 0.9, worst=-1.0)
        assert float(both[column]) == pytest.approx(float(one), abs=0.01)
        assert float(both[column]) < float(values[:, column].mean())
    assert float(least_means(values, 0.9, worst=-5.0).max()) < float(both.max())


def test_holm_by_hand() -> None:
    """Of 0.01, 0.012, 0.03, 0.5: x 4, x 3 (not below the one before), x 2, x 1."""
    adjusted = holm([0.5, 0.01, 0.03, 0.012])
    assert adjusted == pytest.approx([0.5, 0.04, 0.06, 0.04])
    assert holm([]) == []
    assert holm([None, 0.2]) == [None, 0.2]
    assert holm([0.9, 0.8]) == [1.0, 1.0]


@pytest.mark.parametrize("wrong", [float("nan"), -0.1, 1.5])
def test_holm_takes_probabilities(wrong: float) -> None:
    with pytest.raises(ConfigError, match=f"p-value {wrong} must be from 0 to 1"):
        holm([0.01, wrong, 0.02])
