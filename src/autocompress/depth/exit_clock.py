"""Exits on the clock: measured milliseconds of thresholds, and the choice of one by them."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from autocompress.checks import rows_in, rows_of
from autocompress.depth.exit import Regroup, Segments, early_exit
from autocompress.depth.exit_record import ExitRecord
from autocompress.depth.exit_rule import ExitRule
from autocompress.depth.exit_thresholds import ExitCurve, ExitPoint
from autocompress.errors import ConfigError
from autocompress.measurement.modes import device_of, evaluating
from autocompress.measurement.timing import Timing, compare
from autocompress.network import Network
from autocompress.printing import figures
from autocompress.training.inputs import Data, network_batches

__all__ = [
    "ExitTime",
    "examples_of",
    "fastest",
    "plot",
    "record_of",
    "slowest",
    "steps",
    "time_exits",
]

#: Shares of the way from nobody's to everybody's exit at the first one, in mean FLOPs.
_STEPS = 10


@dataclass(frozen=True)
class ExitTime:
    """The measured time of exits, side by side with full depth.

    Attributes:
        batch_size: Examples per batch.
        device: The device.
        threshold: The threshold, if it is the same at all exits.
        ms: Median time per batch, in milliseconds; ``ms_low`` and ``ms_high`` are the deciles.
        full_ms: The same for full depth.
        speedup: Median ratio of full depth to exits, of paired rounds; with its quartiles.
        flops_speedup: Ratio of the FLOPs per example, for these examples.
    """

    batch_size: int
    device: str
    threshold: float | None
    ms: float
    ms_low: float
    ms_high: float
    full_ms: float
    speedup: float
    speedup_low: float
    speedup_high: float
    flops_speedup: float

    @property
    def kept(self) -> float:
        """Return the share of the FLOPs' speed-up that the clock shows."""
        return self.speedup / self.flops_speedup

    @property
    def slower(self) -> bool:
        """Return whether exits take longer than full depth in three rounds of four, or more."""
        return self.speedup_high < 1

    def to_json(self) -> dict[str, Any]:
        """Return this row of ``timings`` in exits.json."""
        return asdict(self)


def examples_of(net: Network, data: Data, count: int) -> Any:
    """Return the first ``count`` examples as one batch, repeating them if there are fewer."""
    inputs, _ = next(iter(network_batches(net, data, count, "timed")))
    return rows_of(inputs, range(count))


def time_exits(
    net: Network,
    x: Any,
    rules: Sequence[ExitRule],
    *,
    batch_size: int = 256,
    regroup: Regroup | None = None,
    segments: Segments | None = None,
    repeats: int = 9,
    limit_s: float = 10.0,
) -> list[ExitTime]:
    """Measure exits and full depth in turns, so that a busy machine slows all of them.

    Args:
        net: The network.
        x: Examples (B, ...) as the network takes them; they pass in batches.
        rules: Exits to measure.
        batch_size: Examples per batch.
        regroup: Costs that say where regrouping pays; None regroups always.
        segments: The network in compiled segments.
        repeats: Number of rounds.
        limit_s: Seconds after which no further round starts.

    Returns:
        One :class:`ExitTime` for each rule.
    """
    size, device = rows_in(x), device_of(net)
    batches = [
        rows_of(x, range(at, min(at + batch_size, size))) for at in range(0, size, batch_size)
    ]
    ends = Segments(net) if segments is None else segments

    def full() -> None:
        for batch in batches:
            net.read_early(ends.advance(net.begin(batch), 0, net.depth))

    def exits(rule: ExitRule) -> None:
        for batch in batches:
            early_exit(net, batch, rule, count=False, regroup=regroup, segments=segments)

    calls: dict[str, Any] = {"full": full if segments else partial(_full, net, batches)}
    calls |= {str(n): partial(exits, rule) for n, rule in enumerate(rules)}
    cost = partial(_flops, net, batches)
    whole = cost(ExitRule.uniform("entropy", [net.depth], 0.0))
    with evaluating(net):
        times = compare(calls, device, repeats=repeats, warmup=1, limit_s=limit_s)
    found = []
    for number, rule in enumerate(rules):
        ours, base, n = times[str(number)], times["full"], len(batches)
        low, middle, high = _quartiles(base, ours)
        limits = {one.threshold for one in rule.exits[:-1]}
        found.append(
            ExitTime(
                batch_size=min(batch_size, size),
                device=str(device),
                threshold=limits.pop() if len(limits) == 1 else None,
                ms=ours.median_ms / n,
                ms_low=ours.low_ms / n,
                ms_high=ours.high_ms / n,
                full_ms=base.median_ms / n,
                speedup=middle,
                speedup_low=low,
                speedup_high=high,
                flops_speedup=whole / cost(rule),
            )
        )
    return found


def _full(net: Network, batches: Sequence[Any]) -> None:
    for batch in batches:
        net(batch)


def _flops(net: Network, batches: Sequence[Any], rule: ExitRule) -> float:
    spent = [early_exit(net, batch, rule).flops for batch in batches]
    return float(torch.cat([part for part in spent if isinstance(part, Tensor)]).mean())


def _quartiles(base: Timing, ours: Timing) -> tuple[float, float, float]:
    ratios = [a / b for a, b in zip(base.samples_ms, ours.samples_ms, strict=True)]
    low, middle, high = statistics.quantiles(ratios, n=4, method="inclusive")
    return low, middle, high


def steps(curve: ExitCurve) -> list[ExitPoint]:
    """Return thresholds whose mean FLOPs lie evenly between nobody's exit and everybody's."""
    points = curve.points(500)
    top, bottom = points[0].flops, points[-1].flops
    chosen = []
    for step in range(_STEPS + 1):
        wanted = top + (bottom - top) * step / _STEPS
        chosen.append(min(points, key=lambda point: abs(point.flops - wanted)))
    return sorted({point.flops: point for point in chosen}.values(), key=lambda p: -p.flops)


def fastest(
    points: Sequence[ExitPoint], times: Sequence[ExitTime], limit_ms: float
) -> tuple[ExitPoint, ExitTime]:
    """Return the threshold of the best score among those that take at most ``limit_ms`` a batch.

    Raises:
        ConfigError: None of them does.
    """
    good = [pair for pair in zip(points, times, strict=True) if pair[1].ms <= limit_ms]
    if not good:
        least, size = min(time.ms for time in times), times[0].batch_size
        wanted, best = (f"{1000 * size / ms:,.0f}" for ms in (limit_ms, least))
        raise ConfigError(
            f"no threshold takes at most {figures(limit_ms)} ms a batch of {size} ({wanted} "
            f"examples per second): the least that was measured is {figures(least)} ms ({best} "
            "per second); allow more, or exit at a lower depth"
        )
    return max(good, key=lambda pair: (pair[0].score, -pair[1].ms))


def slowest(throughput: float, batch_size: int) -> float:
    """Return the milliseconds a batch may take for ``throughput`` examples per second.

    Raises:
        ConfigError: The throughput is not above 0.

    Example:
        >>> slowest(1000.0, 256)
        256.0
    """
    if not throughput > 0:
        raise ConfigError(f"throughput {throughput} must be above 0 examples per second")
    return 1000 * batch_size / throughput


def record_of(
    curve: ExitCurve,
    threshold: float,
    chosen_by: dict[str, float],
    times: Sequence[ExitTime] = (),
    test: ExitCurve | None = None,
    tried: Sequence[tuple[ExitPoint, ExitTime]] = (),
) -> ExitRecord:
    """Return what exits.json holds for a threshold.

    Args:
        curve: The outcomes on validation data.
        threshold: The threshold that was chosen.
        chosen_by: The target.
        times: Measured times of these exits, by batch size.
        test: The outcomes on test data, if they were read.
        tried: Thresholds that were measured for the choice.
    """
    rows = [{**asdict(point), "ms": time.ms} for point, time in tried]
    return ExitRecord(
        curve.rule(threshold),
        curve.classes,
        chosen_by,
        _outcome(curve, threshold),
        None if test is None else _outcome(test, threshold),
        rows or [asdict(point) for point in curve.points()],
        [time.to_json() for time in times],
    )


def _outcome(curve: ExitCurve, threshold: float) -> dict[str, Any]:
    return {
        "examples": len(curve.hits),
        "full_score": curve.full_score,
        "full_flops": curve.full_flops,
        **asdict(curve.at(threshold)),
        "shares": curve.shares(threshold),
    }


def plot(
    curve: ExitCurve,
    tried: Sequence[tuple[ExitPoint, ExitTime]],
    chosen: ExitPoint | None = None,
) -> Any:
    """Return a matplotlib Figure: accuracy against mean FLOPs, and against milliseconds.

    Args:
        curve: The outcomes on validation data.
        tried: Measured thresholds; without any there is no second panel.
        chosen: The threshold to mark.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9 if tried else 5, 4), layout="constrained")
    panels = figure.subplots(1, 2 if tried else 1, sharey=True, squeeze=False)[0]
    points = curve.points()
    panels[0].plot([p.flops / 1e6 for p in points], [100 * p.score for p in points], marker=".")
    panels[0].axvline(curve.full_flops / 1e6, ls=":", color="grey", label="full depth, no exits")
    panels[0].set(xlabel="mean MFLOPs per example", ylabel="accuracy on validation data, %")
    if chosen is not None:
        panels[0].plot(chosen.flops / 1e6, 100 * chosen.score, "o", color="black", label="chosen")
    if tried:
        times = [time for _, time in tried]
        middle, low, high = ([getattr(t, k) for t in times] for k in ("ms", "ms_low", "ms_high"))
        below = [m - a for m, a in zip(middle, low, strict=True)]
        above = [b - m for m, b in zip(middle, high, strict=True)]
        scores = [100 * point.score for point, _ in tried]
        panels[1].errorbar(middle, scores, xerr=(below, above), marker=".", capsize=2)
        panels[1].axvline(times[0].full_ms, ls=":", color="grey")
        panels[1].set_xlabel(f"ms per batch of {times[0].batch_size} (bars: 10 to 90 %)")
    for panel in panels:
        panel.grid(alpha=0.3)
    panels[0].legend()
    return figure
