"""Format numbers for reading, in plain ASCII that every terminal can show."""

from __future__ import annotations

__all__ = [
    "MISSING",
    "count",
    "milliseconds",
    "per_cent",
    "point_words",
    "points",
    "multiple",
    "seconds",
    "si",
    "typeset",
]

#: Text for values that were not measured.
MISSING = "-"


def per_cent(fraction: float | None) -> str:
    """Return a score in per cent, as exact as test sets of some thousand examples are.

    >>> per_cent(0.9778), per_cent(None)
    ('97.8 %', '-')
    """
    return MISSING if fraction is None else f"{100 * fraction:.1f} %"


def points(before: float | None, after: float | None) -> str:
    """Return the difference of two scores in percentage points, with its sign.

    >>> points(0.98, 0.97)
    '-1.0 pt'
    """
    return MISSING if before is None or after is None else f"{100 * (after - before):+.1f} pt"


def point_words(difference: float) -> str:
    """Return the size of a difference of two scores in words; a small one with two decimals.

    >>> point_words(-0.0392), point_words(0.0004)
    ('3.9 points', '0.04 points')
    """
    size = 100 * abs(difference)
    return f"{size:.1f} points" if size >= 0.095 or not size else f"{size:.2f} points"


def multiple(before: float | None, after: float | None) -> str:
    """Return the quotient of two costs.

    >>> multiple(200, 50), multiple(0, 50)
    ('0.25 x', '-')
    """
    return MISSING if not before or after is None else f"{after / before:.2f} x"


def count(number: int | None) -> str:
    """Return a whole number with thousands separators.

    >>> count(2527002)
    '2,527,002'
    """
    return MISSING if number is None else f"{number:,}"


def si(number: float | None, unit: str = "") -> str:
    """Return a number with three digits and an SI prefix.

    >>> si(12_345_678, "B"), si(0)
    ('12.3 MB', '0')
    """
    if number is None:
        return MISSING
    prefixes = ["", "k", "M", "G", "T", "P", "E"]
    while number >= 999.5 and len(prefixes) > 1:
        number /= 1000
        prefixes.pop(0)
    return f"{_three_digits(number)} {prefixes[0]}{unit}".strip()


def milliseconds(number: float | None) -> str:
    """Return a latency with its unit.

    >>> milliseconds(0.51234), milliseconds(1234.5)
    ('0.512 ms', '1,234 ms')
    """
    return MISSING if number is None else f"{_three_digits(number)} ms"


def seconds(number: float | None) -> str:
    """Return a duration with its units.

    >>> seconds(9.31), seconds(75), seconds(7265)
    ('9.3 s', '1 min 15 s', '2 h 01 min')
    """
    if number is None:
        return MISSING
    if number < 59.95:
        return f"{number:.1f} s"
    whole = round(number)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def typeset(text: str) -> str:
    r"""Return the text with typographic signs for ASCII: minus and dash.

    >>> ascii(typeset("-1.5 pt"))
    "'\\u22121.5 pt'"
    """
    if text == MISSING:
        return "\N{EN DASH}"
    return f"\N{MINUS SIGN}{text[1:]}" if text.startswith("-") else text


def _three_digits(number: float) -> str:
    if number >= 99.95 or number == 0:
        return f"{number:,.0f}"
    return f"{number:.1f}" if number >= 9.995 else f"{number:#.3g}"
