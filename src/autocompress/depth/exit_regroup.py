"""Decide which exits pay, and where regrouping does: their time against that of saved layers.

Regrouping after an exit copies the rows of the examples that are left. It is worth that only if the
next layers are faster by more than the copy takes (DREX, arXiv 2512.15705). The exit itself takes a
head, whether or not anybody leaves. All of these times are measured once for a network and a
device.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import pairwise
from typing import Any

import torch
from rich.table import Table
from torch import Tensor

from autocompress.checks import as_floats_of, check_network, rows_in, rows_of, takes
from autocompress.depth.exit import Segments, check_head, exit_depths
from autocompress.errors import DataError
from autocompress.measurement.modes import device_of, evaluating
from autocompress.measurement.timing import latency
from autocompress.network import Network
from autocompress.printing import as_text, figures

__all__ = ["ExitCosts", "Line", "exit_costs"]


#: Share of the time after the first exit that a pass with exits may take at most.
_LEAST = 0.9


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

    def plus(self, other: Line, sign: int = 1) -> Line:
        """Return the sum of two times, or with ``sign`` -1 their difference, not below 0."""
        fixed, each = self.fixed_ms + sign * other.fixed_ms, self.each_ms + sign * other.each_ms
        return Line(max(0.0, fixed), max(0.0, each))


@dataclass(frozen=True)
class ExitCosts:
    """The times of a network's segments and of the copies between them.

    Attributes:
        depths: The exits, full depth last.
        segments: Time from each exit but the last to the next one, with its head.
        copies: Time to copy the rows that are left after each exit but the last.
        device: The device.
        size: Number of examples that were measured, for which the table is printed.
        heads: Time to read each exit, and full depth; part of ``segments``. Empty if unknown.
        apart: Time by which a pass in parts, read once, takes longer than the network itself.
    """

    depths: list[int]
    segments: list[Line]
    copies: list[Line]
    device: str
    size: int = 256
    heads: list[Line] = field(default_factory=list)
    apart: Line = Line(0.0, 0.0)

    def time_ms(self, certain: Tensor, size: int) -> float:
        """Return the predicted time of a batch, beyond that of the layers up to the first exit.

        Args:
            certain: Whether each example is certain enough at each exit but the last, bool
                (examples, exits - 1), False where there is to be no exit.
            size: Examples in the batch, of which the same shares leave.
        """
        there = torch.ones(len(certain), dtype=torch.bool)
        total, rows = 0.0, size
        for place, sure in enumerate(certain.unbind(1)):
            if bool(sure.any()):
                total += self.heads[place].at(rows)
                there &= ~sure
                left = round(size * float(there.double().mean()))
                if not left:
                    return total
                if left < rows and self.pays(place, rows, left):
                    rows, total = left, total + self.copies[place].at(left)
            total += self.segments[place].plus(self.heads[place + 1], -1).at(rows)
        return total + self.heads[-1].at(rows)

    def worth(self, certain: Tensor, size: int) -> list[int]:
        """Return the depths, full depth last, whose exits save more time than they take.

        Exits are left out one by one, each time the one without which a batch is predicted to
        take least, as long as it takes no longer than before. Whoever would have left there leaves
        at the next exit at which they are certain. If all of them together are predicted to save
        less than a tenth, which decisions and the noise of the times may eat up, none is kept.

        Args:
            certain: Whether each example is certain enough at each exit but the last, bool
                (examples, exits - 1).
            size: Examples in the batch.
        """
        kept, best = certain.clone(), self.time_ms(certain, size)
        while bool(kept.any()):
            tried = {}
            for place in kept.any(0).nonzero()[:, 0].tolist():
                without = kept.clone()
                without[:, place] = False
                tried[place] = self.time_ms(without, size)
            place = min(tried, key=tried.__getitem__)
            if tried[place] > best:
                break
            kept[:, place], best = False, tried[place]
        whole = self.time_ms(torch.zeros_like(kept), size)
        if best + self.apart.at(size) > _LEAST * whole:
            return self.depths[-1:]
        used = kept.any(0).tolist()
        return [d for d, u in zip(self.depths[:-1], used, strict=True) if u] + self.depths[-1:]

    def only(self, depths: Sequence[int]) -> ExitCosts:
        """Return the times with some of the exits, full depth among them."""
        places = [self.depths.index(depth) for depth in depths]
        segments = []
        for start, stop in pairwise(places):
            whole = self.segments[start]
            for place in range(start + 1, stop):
                whole = whole.plus(self.heads[place], -1).plus(self.segments[place])
            segments.append(whole)
        copies, heads = ([of[p] for p in places if p < len(of)] for of in (self.copies, self.heads))
        return replace(self, depths=list(depths), segments=segments, copies=copies, heads=heads)

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
        headings = ("after depth", "head, ms", "next layers, ms", "copy of half, ms", "pays from")
        for heading in (*headings, "gain if half leave, ms"):
            table.add_column(heading, justify="right")
        for place, depth in enumerate(self.depths[:-1]):
            least = self.least(place, size)
            table.add_row(
                str(depth),
                figures(self.heads[place].at(size)) if self.heads else "",
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
    """Measure the times of the segments between exits, the heads and the copies, on one device.

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
        ConfigError: Examples cannot leave this network early, or ``x`` is no batch of tensors.
        ShapeError: The network cannot take the batch.

    Example:
        >>> import autocompress as ac
        >>> net = ac.models.MLP(depth=2, width=8, classes=3, image_size=2, channels=1)
        >>> costs = ac.exit_costs(net, net.example(64))
        >>> len(costs.copies) == len(costs.depths) - 1
        True
    """
    check_network(net, "exit_costs")
    x = as_floats_of(net, x)
    size = rows_in(x)
    if size < 4:
        raise DataError(f"times per example take 4 or more examples to measure; given: {size}")
    read_at, few, device = exit_depths(net, depths), size // 4, device_of(net)
    segments = segments or Segments(net)
    found: list[list[Line]] = []
    options: dict[str, Any] = {"repeats": repeats, "warmup": 1, "limit_s": 2.0}

    def line(*calls: Any) -> Line:
        """Return the line through the times of two calls, for few examples and for all.

        They are the times that one sample in ten undercuts: a busy machine only adds to a time.
        """
        both = [latency(call, device, **options).low_ms for call in calls]
        return Line.through(few, both[0], size, both[1])

    with evaluating(net):
        with takes(net, x):
            state, below = net.begin(x), 0
        for depth, after in [*pairwise(read_at), (read_at[-1], None)]:
            state, below = segments.advance(state, below, depth), depth
            check_head(net.read_early(state))
            rows = [torch.arange(count, device=device) for count in (few, size)]
            parts = [net.compacted(state, rows[0], x, size), state]
            lines = [line(*(partial(net.read_early, part) for part in parts))]
            if after is not None:
                lines.append(line(*(partial(_go_on, segments, p, depth, after) for p in parts)))
                lines.append(line(*(partial(net.compacted, state, r, x, size) for r in rows)))
            found.append(lines)
        less = rows_of(x, range(few))
        apart = line(*(partial(_in_parts, segments, part) for part in (less, x)))
        apart = apart.plus(line(*(partial(net, part) for part in (less, x))), -1)
    heads, later = [lines[0] for lines in found], [lines[1:] for lines in found[:-1]]
    onwards, copies = [one for one, _ in later], [one for _, one in later]
    return ExitCosts(read_at, onwards, copies, str(device), size, heads, apart)


def _in_parts(segments: Segments, x: Any) -> Tensor:
    return _go_on(segments, segments.net.begin(x), 0, segments.net.depth)


def _go_on(segments: Segments, state: Any, first: int, depth: int) -> Tensor:
    return segments.net.read_early(segments.advance(state, first, depth))
