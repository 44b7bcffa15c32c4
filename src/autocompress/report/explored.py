"""The parts of report.json that its depth explorer shows: costs and answers of every depth.

They are new in schema 2; a report of schema 1 has none of them, and its page shows less.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, TypedDict

__all__ = [
    "Amount",
    "Classes",
    "Count",
    "Counts",
    "DepthPoint",
    "DepthScore",
    "Example",
    "Fraction",
    "Latency",
    "Score",
    "Spread",
    "faults",
]

Fraction = Annotated[float, "a fraction between 0 and 1, or null"]
#: Score of a metric: below 0 only where the metric is R^2.
Score = Annotated[float, "a fraction between 0 and 1 (R^2: at most 1), or null"]
Count = Annotated[int, "a whole number of at least 0"]
Amount = Annotated[float, "a number of at least 0"]

#: Milliseconds of one forward pass, by batch size.
Latency = TypedDict("Latency", {"1": Amount | None, "256": Amount | None})

#: The 10th and 90th percentile of these, by batch size.
Spread = TypedDict("Spread", {"1": list[Amount] | None, "256": list[Amount] | None})

#: A picture that a page may show: bytes in the page itself, of a form that cannot hold a script.
_PICTURE = re.compile(r"data:image/(png|jpeg);base64,[A-Za-z0-9+/]{1,65536}={0,2}")


class DepthScore(TypedDict):
    """One depth of a network; ``flops`` is that of one example's forward pass."""

    depth: Count
    validation: Score | None
    test: Score | None
    parameters: Count | None
    flops: Count | None


class DepthPoint(DepthScore, total=False):
    """One depth with its 95 % intervals (of test and of validation) and its measured cost.

    ``latency_ratio`` has the quartiles and the median of the rounds' ratios to full depth.
    """

    interval: list[Score] | None
    validation_interval: list[Score] | None
    bytes: Count | None
    latency_ms: Latency
    latency_spread_ms: Spread
    latency_ratio: Spread


class Counts(TypedDict):
    """The number of examples of every class, by split."""

    train: list[Count]
    validation: list[Count]
    test: list[Count]


class Classes(TypedDict):
    """The classes, and how each depth answers on the test data.

    ``accuracy`` has a row per depth with a score per class. ``confusion`` has a matrix per depth
    (row: class, column: answer) of the classes whose numbers are in ``shown``.
    """

    names: list[str]
    counts: Counts
    accuracy: list[list[Fraction | None]]
    shown: list[Count]
    confusion: list[list[list[Count]]]


class Example(TypedDict):
    """A test example whose answer changes between depths; answers and probabilities by depth."""

    index: Count
    label: Count
    answers: list[Count]
    probabilities: list[Fraction]
    picture: str | None
    text: str | None


def time_faults(key: str, network: Mapping[str, Any]) -> Iterator[tuple[str, object, str]]:
    """Yield spreads and ratios of times that are none, as (key, value, expected).

    Args:
        key: Place of the network or depth in the report.
        network: The network or depth.
    """
    wanted = {
        "latency_spread_ms": (2, "two numbers, the smaller first"),
        "latency_ratio": (3, "three numbers above 0, in ascending order"),
    }
    for name, (count, words) in wanted.items():
        for batch, found in network.get(name, {}).items():
            if found is None:
                continue
            fits = len(found) == count and sorted(found) == found
            if not fits or (count == 3 and not found[0] > 0):
                yield f"{key}.{name}.{batch}", found, words


def faults(
    depths: int,
    points: list[DepthPoint],
    classes: Classes | None,
    examples: list[Example],
) -> Iterator[tuple[str, object, str]]:
    """Yield what does not fit together, as (key, value, expected).

    Args:
        depths: Number of depths, L + 1.
        points: The depths of the report.
        classes: Its ``classes``.
        examples: Its ``examples``.
    """
    for k, point in enumerate(points):
        pairs = {key: point.get(key) for key in ("interval", "validation_interval")}
        for key, pair in pairs.items():
            if isinstance(pair, list) and not (len(pair) == 2 and pair[0] <= pair[1]):
                yield f"depths[{k}].{key}", pair, "two numbers, the smaller first"
        yield from time_faults(f"depths[{k}]", point)
    if classes is not None:
        yield from _class_faults(depths, classes)
    names = [] if classes is None else classes["names"]
    for n, example in enumerate(examples):
        key = f"examples[{n}]"
        for name, values in (
            ("answers", example["answers"]),
            ("probabilities", example["probabilities"]),
        ):
            if len(values) != depths:
                yield f"{key}.{name}", len(values), f"{depths} values, one per depth"
        if max([example["label"], *example["answers"]]) >= max(1, len(names)) and names:
            yield f"{key}", example["answers"], f"classes of 0..{len(names) - 1}"
        picture = example["picture"]
        if picture is not None and not _PICTURE.fullmatch(picture):
            yield f"{key}.picture", picture, "a PNG or JPEG as a base64 data URI"


def _class_faults(depths: int, classes: Classes) -> Iterator[tuple[str, object, str]]:
    number, shown = len(classes["names"]), classes["shown"]
    for split, counts in classes["counts"].items():
        if not isinstance(counts, list) or len(counts) != number:
            yield f"classes.counts.{split}", counts, f"{number} numbers, one per class"
    for key, rows in (("accuracy", classes["accuracy"]), ("confusion", classes["confusion"])):
        if len(rows) != depths:
            yield f"classes.{key}", len(rows), f"{depths} entries, one per depth"
    if any(len(row) != number for row in classes["accuracy"]):
        yield "classes.accuracy", [len(row) for row in classes["accuracy"]], f"{number} per depth"
    if len(set(shown)) != len(shown) or max(shown, default=0) >= max(1, number):
        yield "classes.shown", shown, f"different classes of 0..{number - 1}"
    for matrix in classes["confusion"]:
        if len(matrix) != len(shown) or any(len(row) != len(shown) for row in matrix):
            yield "classes.confusion", len(matrix), f"square matrices of {len(shown)} classes"
            return
