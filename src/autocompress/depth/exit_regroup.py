"""Decide where regrouping pays: the time of a copy against the time of the layers that it saves.

Regrouping after an exit copies the rows of the examples that are left. It is worth that only if the
next layers are faster by more than the copy takes (DREX, arXiv 2512.15705). Both are measured once
for a network and a device.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from rich.table import Table
from torch.utils._pytree import tree_leaves

from autocompress.checks import as_floats_of, check_network
from autocompress.depth.exit import Segments, check_head, exit_depths
from autocompress.errors import DataError
from autocompress.measurement.modes import device_of, evaluating
from autocompress.measurement.timing import latency
from autocompress.network import Network
from autocompress.printing import as_text, figures

__all__ = ["ExitCosts", "Line", "exit_costs"]


@dataclass(frozen=True)
class Line:
    """A time that grows with the number of examples.

    Attributes:
        fixed_ms: Milliseconds for any number of examples.
        each_ms: Milliseconds for each example.
    """

    fixed_ms: float
    each_ms: float

    @classmethod
    def through(cls, few: int, few_ms: float, many: int, many_ms: float) -> Line:
        """Return the line through two measurements; neither part is below 0.

        Example:
            >>> Line.through(10, 3.0, 20, 5.0)
            Line(fixed_ms=1.0, each_ms=0.2)
        """
        each = max(0.0, (many_ms - few_ms) / (many - few))
        return cls(max(0.0, few_ms - each * few), each)

    def at(self, size: int) -> float:
        """Return the milliseconds for ``size`` examples."""
        return self.fixed_ms + self.each_ms * size


@dataclass(frozen=True)
class ExitCosts:
    """The times of a network's segments and of the copies between them.

    Attributes:
        depths: The exits, full depth last.
        segments: Time from each exit but the last to the next one, with its head.
        copies: Time to copy the rows that are left after each exit but the last.
        device: The device.
        size: Number of examples that were measured, for which the table is printed.
    """

    depths: list[int]
    segments: list[Line]
    copies: list[Line]
    device: str
    size: int = 256

    def gain_ms(self, place: int, size: int, left: int) -> float:
        """Return what regrouping ``left`` of ``size`` examples saves before the next exit."""
        segment = self.segments[place]
        return segment.at(size) - segment.at(left) - self.copies[place].at(left)

    def pays(self, place: int, size: int, left: int) -> bool:
        """Return whether regrouping after exit number ``place`` saves time."""
        return self.gain_ms(place, size, left) > 0

    def least(self, place: int, size: int) -> int | None:
        """Return how many of ``size`` must leave at an exit for it to pay; None if none suffice."""
        return next((out for out in range(1, size) if self.pays(place, size, size - out)), None)

    def __str__(self) -> str:
        size = self.size
        table = Table(title=f"Regrouping on {self.device}, predicted for {size} examples")
        headings = ("after depth", "next layers, ms", "copy of half, ms", "pays from")
        for heading in (*headings, "gain if half leave, ms"):
            table.add_column(heading, justify="right")
        for place, depth in enumerate(self.depths[:-1]):
            least = self.least(place, size)
            table.add_row(
                str(depth),
                figures(self.segments[place].at(size)),
                figures(self.copies[place].at(size // 2)),
                "never" if least is None else f"{least} leaving",
                f"{self.gain_ms(place, size, size // 2):+.3g}",
            )
        return as_text(table)


def exit_costs(
    net: Network,
    x: Any,
    *,
    depths: Iterable[int] | None = None,
    segments: Segments | None = None,
    repeats: int = 7,
) -> ExitCosts:
    """Measure the times of the segments between exits, and of the copies, on the network's device.

    Args:
        net: The network.
        x: A batch (B, ...) of at least 4 examples, as the network takes it.
        depths: Depths at which examples may exit; None allows every depth from 1 on.
        segments: The network in compiled segments; None runs it as it is.
        repeats: Number of measurements of each time.

    Returns:
        The times; ``early_exit(..., regroup=costs)`` regroups where they say that it pays.

    Raises:
        DataError: The batch has fewer than 4 examples.
        ConfigError: Examples cannot leave this network early.

    Example:
        >>> import autocompress as ac
        >>> net = ac.models.MLP(depth=2, width=8, classes=3, image_size=2, channels=1)
        >>> costs = ac.exit_costs(net, net.example(64))
        >>> len(costs.copies) == len(costs.depths) - 1
        True
    """
    check_network(net, "exit_costs")
    x = as_floats_of(net, x)
    size = len(tree_leaves(x)[0])
    if size < 4:
        raise DataError(f"{size} examples are too few to measure times per example: give 4 or more")
    read_at, few, device = exit_depths(net, depths), size // 4, device_of(net)
    segments = segments or Segments(net)
    found: list[tuple[Line, Line]] = []
    options: dict[str, Any] = {"repeats": repeats, "warmup": 1, "limit_s": 2.0}
    with evaluating(net):
        state, below = net.begin(x), 0
        for depth, after in pairwise(read_at):
            state, below = segments.advance(state, below, depth), depth
            check_head(net.read_early(state))
            times: list[tuple[float, float]] = []
            for count in (few, size):
                rows = torch.arange(count, device=device)
                some = state if count == size else net.compacted(state, rows, x, size)

                def go_on(some: Any = some, first: int = depth, last: int = after) -> Any:
                    return net.read_early(segments.advance(some, first, last))

                def copy(state: Any = state, rows: Any = rows) -> Any:
                    return net.compacted(state, rows, x, size)

                both = (latency(call, device, **options).median_ms for call in (go_on, copy))
                times.append((next(both), next(both)))
            (few_on, few_copy), (all_on, all_copy) = times
            found.append(
                (
                    Line.through(few, few_on, size, all_on),
                    Line.through(few, few_copy, size, all_copy),
                )
            )
    lines, copies = [line for line, _ in found], [line for _, line in found]
    return ExitCosts(read_at, lines, copies, str(device), size)
