"""The pictures of what a run learned, epoch by epoch."""

from __future__ import annotations

import re
from typing import Any
from xml.etree import ElementTree

import pytest

from autocompress.report.curves import score_curve


def records(epochs: int, every: int, depths: int = 2) -> list[dict[str, Any]]:
    """As in metrics.jsonl of a run that is evaluated after each ``every`` epochs."""
    found: list[dict[str, Any]] = [{"epoch": e, "loss": 1.0} for e in range(1, epochs + 1)]
    for row in found[every - 1 :: every]:
        row |= {"validation": row["epoch"] / 100, "depths": [row["epoch"] / 100] * depths}
    return found


def points_of(path: str) -> int:
    assert path.count("M") <= 1, "the line is broken"
    return len(re.findall("[ML]", path))


@pytest.mark.parametrize(("every", "scored"), [(1, 12), (4, 3), (5, 2)])
def test_epochs_that_were_not_evaluated_leave_no_gap(every: int, scored: int) -> None:
    rows = records(12, every)
    picture = ElementTree.fromstring(score_curve({"network": rows, "baseline": rows}, 1))
    lines = [node for node in picture.iter() if node.get("class", "").startswith("line")]
    assert [points_of(node.get("d", "")) for node in lines] == [scored, scored]
    (by_depth,) = [found for node in lines if (found := node.get("data-by-depth"))]
    assert [points_of(path) for path in by_depth.split("|")] == [scored, scored]


def test_a_single_score_makes_no_curve() -> None:
    assert score_curve({"network": records(4, 4)}, 1) == ""
    assert score_curve({"network": records(4, 9)}, 1) == ""
