"""Draw small charts as SVG text: axes, lines, bands, markers, and a cursor that a script can move.

A chart is drawn once, here. The script of the page never computes a position: it moves the cursor
to one of the positions that the chart carries. Colours are classes of the page's style sheet.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from html import escape

__all__ = ["Plot", "Point", "shade", "ticks", "whole_ticks"]

#: A point of a curve; None in y is a gap.
Point = tuple[float, float | None]


def ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Return round numbers within ``low``..``high``, at most ``most`` of them.

    >>> ticks(0, 12), ticks(97.2, 99.4)
    ([0, 2, 4, 6, 8, 10, 12], [97.5, 98.0, 98.5, 99.0])
    """
    span = high - low
    if span <= 0:
        return [low]
    base = 10.0 ** math.floor(math.log10(span / most))
    step = next(base * m for m in (1, 2, 2.5, 5, 10, 20) if span / (base * m) <= most)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    found = [round(n * step, 10) for n in range(first, last + 1)]
    return [int(v) for v in found] if all(v == int(v) for v in found) else found


def whole_ticks(low: float, high: float) -> list[int]:
    """Return whole numbers within ``low``..``high``, for what is counted: there is no epoch 1.5.

    >>> whole_ticks(0.5, 2.5), whole_ticks(1, 40)
    ([1, 2], [10, 20, 30, 40])
    """
    return [int(value) for value in ticks(low, high) if value == int(value)]


def shade(share: float) -> str:
    """Return the opacity of a cell by its value as a share; the smallest is still seen.

    >>> shade(0), shade(1)
    ('0.080', '1.000')
    """
    return f"{0.08 + 0.92 * share:.3f}"


@dataclass
class Plot:
    """A chart in the making.

    Args:
        x: Smallest and largest value of the horizontal axis.
        y: Smallest and largest value of the vertical axis.
        name: Name of the chart, unique in the page: its ids begin with it.
        label: Description of the chart for screen readers.
        x_label: Words below the horizontal axis.
        x_ticks: Values with a label; None chooses round ones.
        x_words: Function from such a value to its label.
        height: Height in units of the view box, whose width is 480.
    """

    x: tuple[float, float]
    y: tuple[float, float]
    name: str
    label: str
    x_label: str
    x_ticks: Sequence[float] | None = None
    x_words: Callable[[float], str] = "{:g}".format
    height: int = 300
    parts: list[str] = field(default_factory=list)
    over: list[str] = field(default_factory=list)

    left, right, top, bottom, width = 44, 12, 24, 46, 480

    def __post_init__(self) -> None:
        self.x, self.y = _spread(self.x), _spread(self.y)

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Return the position of a point in the view box."""
        wide, high = self.width - self.left - self.right, self.height - self.top - self.bottom
        across = (x - self.x[0]) / (self.x[1] - self.x[0])
        up = (y - self.y[0]) / (self.y[1] - self.y[0])
        return round(self.left + wide * across, 2), round(self.top + high * (1 - up), 2)

    def path(self, points: Sequence[Point]) -> str:
        """Return the ``d`` of a line through the points, broken at gaps."""
        said, pen = [], "M"
        for x, y in points:
            if y is None:
                pen = "M"
                continue
            across, down = self.at(x, y)
            said.append(f"{pen}{across} {down}")
            pen = "L"
        return "".join(said)

    def line(self, points: Sequence[Point], kind: str, attributes: str = "") -> None:
        """Draw a line; ``kind`` is its classes, ``attributes`` are further ones of our own."""
        self.parts.append(f'<path class="line {kind}" d="{self.path(points)}"{attributes}/>')

    def band(self, low: Sequence[Point], high: Sequence[Point], kind: str) -> None:
        """Fill the area between two lines without gaps."""
        if low and all(y is not None for _, y in [*low, *high]):
            back = self.path([*reversed(high)]).replace("M", "L", 1)
            self.parts.append(f'<path class="band {kind}" d="{self.path(low)}{back}Z"/>')

    def dots(self, points: Sequence[Point], kind: str, shape: str = "circle") -> None:
        """Draw a marker at every point: ``circle``, ``square`` or ``star``."""
        for x, y in points:
            if y is not None:
                self.parts.append(_marker(*self.at(x, y), kind, shape))

    def rule(self, x: float, words: str) -> None:
        """Draw a dashed vertical line, with words in the margin above the chart."""
        across, _ = self.at(x, self.y[0])
        end = self.height - self.bottom
        side = "end" if across > 0.75 * self.width else "start"
        self.over.append(
            f'<path class="rule" d="M{across} {self.top}V{end}"/>'
            f'<text class="said" x="{across}" y="{self.top - 10}" text-anchor="{side}">'
            f"{escape(words)}</text>"
        )

    def cursor(
        self,
        xs: Sequence[float | None],
        ys: Sequence[float | None],
        chosen: int,
        kind: str = "",
    ) -> None:
        """Draw the cursor at the chosen depth; it carries its position at every depth."""
        places = [
            None if x is None or y is None else self.at(x, y) for x, y in zip(xs, ys, strict=True)
        ]
        end, spot = self.height - self.bottom, places[chosen]
        hidden = "" if spot else ' style="visibility:hidden"'
        across, down = spot or (0, 0)
        self.over.append(
            f'<g class="cursor {kind}" data-places="{escape(json.dumps(places))}"{hidden}>'
            f'<path class="stem" d="M0 {self.top}V{end}" transform="translate({across} 0)"/>'
            f'<circle class="ring" r="7" transform="translate({across} {down})"/></g>'
        )

    def spots(self, xs: Sequence[float | None], words: Sequence[str]) -> None:
        """Make every depth react to the pointer, with the words that it shows there."""
        known = [(k, self.at(x, self.y[0])[0]) for k, x in enumerate(xs) if x is not None]
        known.sort(key=lambda one: one[1])
        for n, (k, across) in enumerate(known):
            before = known[n - 1][1] if n else self.left - 2 * (across - self.left) - 12
            after = known[n + 1][1] if n + 1 < len(known) else self.width + 12
            start, stop = max(self.left - 8, (before + across) / 2), (across + after) / 2
            wide = max(1.0, min(stop, self.width) - start)
            self.over.append(
                f'<rect class="spot" x="{start:.1f}" y="{self.top}" width="{wide:.1f}" '
                f'height="{self.height - self.top - self.bottom}" data-depth="{k}" '
                f'data-x="{across}" data-tip="{escape(words[k])}"><title>{escape(words[k])}'
                "</title></rect>"
            )

    def render(self) -> str:
        """Return the chart as an ``<svg>`` element."""
        name = escape(self.name)
        edge = self.height - self.bottom
        inner = f'x="{self.left - 8}" y="{self.top - 8}" width="{self.width - self.left}"'
        clip = f'<clipPath id="{name}-clip"><rect {inner} height="{edge - self.top + 12}"/>'
        return (
            f'<svg viewBox="0 0 {self.width} {self.height}" role="img" '
            f'aria-label="{escape(self.label)}"><defs>{clip}</clipPath></defs>{self._axes()}'
            f'<g clip-path="url(#{name}-clip)">{"".join(self.parts)}</g>{"".join(self.over)}</svg>'
        )

    def _axes(self) -> str:
        edge, said = self.height - self.bottom, []
        for value in ticks(*self.y, most=5):
            _, down = self.at(self.x[0], value)
            said.append(f'<path class="grid" d="M{self.left} {down}H{self.width - self.right}"/>')
            said.append(
                f'<text x="{self.left - 7}" y="{down + 4}" text-anchor="end">{value:g}</text>'
            )
        for value in ticks(*self.x) if self.x_ticks is None else self.x_ticks:
            across, _ = self.at(value, self.y[0])
            said.append(f'<path class="axis" d="M{across} {edge}v4"/>')
            said.append(
                f'<text x="{across}" y="{edge + 18}" text-anchor="middle">'
                f"{escape(self.x_words(value))}</text>"
            )
        said.append(f'<path class="axis" d="M{self.left} {edge}H{self.width - self.right}"/>')
        middle = (self.left + self.width - self.right) / 2
        said.append(
            f'<text x="{middle}" y="{self.height - 6}" text-anchor="middle" class="name">'
            f"{escape(self.x_label)}</text>"
        )
        return "".join(said)


def _spread(pair: tuple[float, float]) -> tuple[float, float]:
    low, high = pair
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _marker(x: float, y: float, kind: str, shape: str) -> str:
    if shape == "square":
        return f'<rect class="dot {kind}" x="{x - 3.4}" y="{y - 3.4}" width="6.8" height="6.8"/>'
    if shape == "star":
        turns = [(math.pi * n / 5 - math.pi / 2, 9.0 if n % 2 == 0 else 3.8) for n in range(10)]
        corners = " ".join(f"{x + r * math.cos(a):.1f},{y + r * math.sin(a):.1f}" for a, r in turns)
        return f'<polygon class="dot {kind}" points="{corners}"/>'
    return f'<circle class="dot {kind}" cx="{x}" cy="{y}" r="3.8"/>'
