"""Measure the wall-clock time of a call: warmed up, repeated, with median and spread."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch

from autocompress.errors import ConfigError
from autocompress.measurement.noise import is_noisy
from autocompress.printing import figures

__all__ = ["Timing", "compare", "is_noisy", "latency", "ratio", "ratio_quartiles"]

#: Smallest number of samples for a measurement, whatever the time limit.
_FEWEST = 3
#: Largest number of samples, however quick the call.
_MOST = 1000
#: Seconds for which quick calls are repeated, so that one hiccup of the machine does not decide.
_SHORTEST_S = 0.25


@dataclass(frozen=True)
class Timing:
    """The times of one call, in milliseconds.

    Attributes:
        samples_ms: One sample per repeat, in the order measured.
    """

    samples_ms: tuple[float, ...] = field(repr=False)

    @property
    def repeats(self) -> int:
        """Return how often the call was timed."""
        return len(self.samples_ms)

    @property
    def median_ms(self) -> float:
        """Return the median time."""
        return statistics.median(self.samples_ms)

    @property
    def low_ms(self) -> float:
        """Return the 10th percentile: one repeat in ten took less."""
        return self._decile(0)

    @property
    def high_ms(self) -> float:
        """Return the 90th percentile: one repeat in ten took more."""
        return self._decile(-1)

    def _decile(self, index: int) -> float:
        return statistics.quantiles(self.samples_ms, n=10, method="inclusive")[index]

    def __str__(self) -> str:
        """Return median and spread as text."""
        return f"{figures(self.median_ms)} ms ({figures(self.low_ms)} to {figures(self.high_ms)})"


def latency(
    call: Callable[[], object],
    device: torch.device | str = "cpu",
    *,
    repeats: int = 30,
    warmup: int = 3,
    limit_s: float = 10.0,
) -> Timing:
    """Time one call; the arguments are those of :func:`compare`.

    Example:
        >>> latency(lambda: sum(range(100)), repeats=5).repeats >= 5
        True
    """
    return compare({"": call}, device, repeats=repeats, warmup=warmup, limit_s=limit_s)[""]


def compare(
    calls: Mapping[str, Callable[[], object]],
    device: torch.device | str = "cpu",
    *,
    repeats: int = 30,
    warmup: int = 3,
    limit_s: float = 10.0,
    shortest_s: float = _SHORTEST_S,
) -> dict[str, Timing]:
    """Time several calls side by side, in turns (A B A B ...), so that their ratios are fair.

    Whatever slows the machine for a while slows all of them. Each sample is the wall-clock time
    from an idle device to an idle device, including launch overhead. Garbage collection is disabled
    meanwhile.

    Args:
        calls: Functions to time, by name.
        device: Device of the computation; it is synchronised around each sample.
        repeats: Number of rounds. Quick calls get more, for ``shortest_s`` (at most 1000).
        warmup: Number of untimed rounds before.
        limit_s: Seconds after which no further round starts, once three rounds are done; the
            warm-up does not count.
        shortest_s: Seconds for which quick calls are repeated beyond ``repeats`` rounds.

    Returns:
        One :class:`Timing` per name; sample i of each comes from the same round.

    Raises:
        ConfigError: There are no calls, or fewer than one repeat.

    Example:
        >>> timings = compare({"a": lambda: sum(range(9)), "b": lambda: sum(range(999))})
        >>> ratio(timings["b"], timings["a"]) > 1
        True
    """
    if not calls or repeats < 1:
        raise ConfigError(f"{len(calls)} calls and {repeats} repeats: give at least one of each")
    device = torch.device(device)
    for _ in range(warmup):
        for call in calls.values():
            call()
    samples: dict[str, list[float]] = {name: [] for name in calls}
    with _no_collection():
        start = time.perf_counter()
        rounds = 0
        while _go_on(rounds, repeats, time.perf_counter() - start, limit_s, shortest_s):
            for name, call in calls.items():
                samples[name].append(_once(call, device))
            rounds += 1
    return {name: Timing(tuple(times)) for name, times in samples.items()}


def ratio(timing: Timing, base: Timing) -> float:
    """Return how many times as long as ``base`` the other took: the median of the rounds' ratios.

    Raises:
        ConfigError: The timings have different lengths, so they are not from one :func:`compare`.

    Example:
        >>> ratio(Timing((2.0, 9.0, 4.0)), Timing((1.0, 3.0, 2.0)))
        2.0
    """
    return statistics.median(_ratios(timing, base))


def ratio_quartiles(timing: Timing, base: Timing) -> tuple[float, float, float]:
    """Return :func:`ratio` between its quartiles: the lower one, the median, the upper one.

    Raises:
        ConfigError: As for :func:`ratio`.

    Example:
        >>> ratio_quartiles(Timing((2.0, 6.0, 12.0)), Timing((1.0, 2.0, 3.0)))
        (2.5, 3.0, 3.5)
    """
    low, median, high = statistics.quantiles(_ratios(timing, base), n=4, method="inclusive")
    return low, median, high


def _ratios(timing: Timing, base: Timing) -> list[float]:
    if timing.repeats != base.repeats:
        raise ConfigError(
            f"timings of {timing.repeats} and {base.repeats} rounds cannot be paired: "
            "measure both in one compare()"
        )
    return [a / b for a, b in zip(timing.samples_ms, base.samples_ms, strict=True)]


def _go_on(rounds: int, repeats: int, elapsed_s: float, limit_s: float, shortest_s: float) -> bool:
    if rounds < _FEWEST:
        return True
    if elapsed_s >= limit_s or rounds >= max(repeats, _MOST):
        return False
    return rounds < repeats or elapsed_s < shortest_s


def _once(call: Callable[[], object], device: torch.device) -> float:
    synchronise(device)
    start = time.perf_counter()
    call()
    synchronise(device)
    return (time.perf_counter() - start) * 1e3


def synchronise(device: torch.device) -> None:
    """Wait until ``device`` is idle; the CPU always is when a call has returned."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type != "cpu":
        torch.get_device_module(device).synchronize()


@contextmanager
def _no_collection() -> Iterator[None]:
    """Disable garbage collection; to collect before would take longer than quick calls do."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
