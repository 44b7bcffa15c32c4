"""Timing: the order of calls, how many there are, and what the figures mean."""

from __future__ import annotations

import gc
import time

import pytest
import torch

from autocompress.errors import ConfigError
from autocompress.measurement import Timing, compare, latency, ratio


def test_figures_by_hand() -> None:
    timing = Timing(tuple(float(ms) for ms in range(11)))
    assert (timing.low_ms, timing.median_ms, timing.high_ms) == (1.0, 5.0, 9.0)
    assert timing.repeats == 11
    assert str(timing) == "5 ms (1 to 9)"


def test_calls_take_turns_after_the_warm_up() -> None:
    order: list[str] = []
    timings = compare(
        {"a": lambda: order.append("a"), "b": lambda: order.append("b")}, repeats=4, warmup=2
    )
    rounds = timings["a"].repeats
    assert rounds == timings["b"].repeats >= 4
    assert order == ["a", "b"] * (rounds + 2)


def test_quick_calls_get_more_repeats_than_asked_for() -> None:
    assert latency(lambda: None, repeats=5).repeats > 100


def test_slow_calls_stop_at_the_limit_but_not_before_three() -> None:
    timing = latency(lambda: time.sleep(0.02), repeats=1000, warmup=0, limit_s=0.01)
    assert timing.repeats == 3
    assert 20 <= timing.low_ms <= timing.median_ms <= timing.high_ms


def test_ratio_is_of_pairs() -> None:
    # the machine was ten times slower in the last round: the ratio does not see it
    assert ratio(Timing((2.0, 2.0, 20.0)), Timing((1.0, 1.0, 10.0))) == 2.0
    with pytest.raises(ConfigError, match="one compare"):
        ratio(Timing((1.0, 2.0)), Timing((1.0,)))


def test_nothing_to_time() -> None:
    with pytest.raises(ConfigError, match="0 calls"):
        compare({})
    with pytest.raises(ConfigError, match="0 repeats"):
        latency(lambda: None, repeats=0)


def test_collection_is_on_again_after_an_error() -> None:
    def fail() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        latency(fail, warmup=0)
    assert gc.isenabled()


def test_cuda_is_synchronised_around_each_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[torch.device] = []
    monkeypatch.setattr(torch.cuda, "synchronize", waits.append)
    timing = latency(lambda: None, "cuda:1", repeats=3, warmup=0, limit_s=0)
    assert waits == [torch.device("cuda:1")] * (2 * timing.repeats)
