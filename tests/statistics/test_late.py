"""Late gains: whether a training was still improving when it ended."""

from __future__ import annotations

import pytest

from autocompress.statistics import late_gain


@pytest.mark.parametrize(
    ("by_epoch", "expected"),
    [
        ([0.1, 0.2, 0.3, 0.4], 0.1),
        ([0.4, 0.2, 0.3, 0.4], 0.0),
        ([0.1] * 7 + [0.6], 0.5),  # the last two of eight
        ([0.1] * 5 + [0.9] + [0.2] * 2, -0.7),
        ([0.5, 0.5, 0.5, 0.5, 0.7, 0.7], 0.0),  # the last one of six
        ([0.1, 0.2, 0.3], None),  # too few to tell
        ([], None),
    ],
)
def test_what_the_last_quarter_gains(by_epoch: list[float], expected: float | None) -> None:
    assert late_gain(by_epoch) == pytest.approx(expected)
