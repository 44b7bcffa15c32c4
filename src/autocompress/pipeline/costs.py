"""Measure the networks of a run and every depth of the whole one, all in the same turns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from accelerate.utils import send_to_device

from autocompress.checks import rows_of
from autocompress.io.weights import weights_bytes
from autocompress.measurement import Measurement, measure_together
from autocompress.measurement.modes import device_of, evaluating
from autocompress.measurement.timing import Timing, compare, ratio_quartiles
from autocompress.network import Network

__all__ = ["run_costs"]

#: Times of every depth in a report.
_TIMES = ("latency_ms", "latency_spread_ms", "latency_ratio")


def run_costs(
    nets: Mapping[str, Network], example: Any, kept: int | None
) -> tuple[dict[str, Measurement], list[dict[str, Any]]]:
    """Return the costs of the networks of a run, and those of every depth of the whole network.

    A network that is also one of the depths is timed once, so a page cannot show two times of it.

    Args:
        nets: Networks by name, with the whole one as ``"full"`` and the smaller one as ``"small"``.
        example: A batch as the networks take it; its rows are repeated up to a batch of 256.
        kept: Depth of the whole network that the smaller one is; None if it was trained further.

    Returns:
        One measurement per network; and one mapping per depth with ``bytes``, ``latency_ms``,
        ``latency_spread_ms``, the 10th and 90th percentile, and ``latency_ratio``, that to full
        depth with its quartiles.
    """
    net = nets["full"]
    costs = measure_together(nets, example, latency=False)
    example = send_to_device(example, device_of(net))
    depths: list[dict[str, Any]] = [
        {"bytes": weights_bytes(net.first(k)), **{key: {} for key in _TIMES}}
        for k in range(net.depth + 1)
    ]
    with evaluating(*nets.values()):
        for size in (1, 256):
            timings = _times(nets, rows_of(example, range(size)), kept)
            for name, cost in costs.items():
                times = {**cost.latency_ms, str(size): timings[name]}
                costs[name] = replace(cost, latency_ms=times)
            for k, row in enumerate(depths):
                timing = timings[_name(k)]
                row["latency_ms"][str(size)] = timing.median_ms
                row["latency_spread_ms"][str(size)] = [timing.low_ms, timing.high_ms]
                row["latency_ratio"][str(size)] = [*ratio_quartiles(timing, timings["full"])]
    return costs, depths


def _name(depth: int) -> str:
    return f"depth {depth}"


def _times(nets: Mapping[str, Network], batch: Any, kept: int | None) -> dict[str, Timing]:
    """Return the times of all networks and depths for one batch, by name."""
    net = nets["full"]
    same = {_name(net.depth): "full"}
    if kept is not None and "small" in nets:
        same |= {"small": "full"} if kept == net.depth else {_name(kept): "small"}
    calls: dict[str, Callable[[], object]] = {
        **{_name(k): partial(net, batch, depth=k) for k in range(net.depth)},
        **{name: partial(one, batch) for name, one in nets.items()},
    }
    device = device_of(net)
    timings = compare({n: c for n, c in calls.items() if n not in same}, device)
    return {**timings, **{name: timings[other] for name, other in same.items()}}
