"""Times in reports: the spread beside each, and no ratio that is surer than its own spread."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from autocompress.errors import ConfigError
from autocompress.measurement import Timing, is_noisy, ratio_quartiles
from autocompress.report import before_after, report_table
from autocompress.report.schema import validate
from autocompress.report.states import state_of
from autocompress.report.times import spread_words, time_ratio, time_speedup
from report.explored import explored


def measured(ratio: list[float] | None) -> Any:
    report = copy.deepcopy(explored())
    report["full"]["latency_spread_ms"] = {"1": [4.2, 71.4], "256": [86.0, 95.5]}
    report["small"]["latency_spread_ms"] = {"1": [1.47, 46.3], "256": [47.0, 1204.0]}
    for network in (report["small"], *report["depths"]):
        network["latency_ratio"] = {"1": ratio, "256": [0.5, 0.53, 0.57]}
    validate(report)
    return report


def change(report: Any, label: str) -> str:
    return next(row.change for row in before_after(report) if row.label == label)


@pytest.mark.parametrize(
    ("ratio", "said"),
    [
        ([0.61, 0.62, 0.66], "0.62 x"),
        ([0.02, 0.03, 0.9], "noisy"),
        ([0.6, 0.97, 1.4], "noisy"),
        ([1.4, 1.5, 1.6], "1.50 x"),
        ([0.98, 1.0, 1.03], "1.00 x"),
    ],
)
def test_a_ratio_is_shown_only_if_its_quartiles_allow_it(ratio: list[float], said: str) -> None:
    report = measured(ratio)
    assert change(report, "latency, batch 1") == said
    assert change(report, "latency, batch 256") == "0.53 x"
    shown = state_of(report, "run", 1)["latency_1_share"]
    assert ("noisy" in shown) == (said == "noisy")
    speed = time_speedup(report["full"], report["small"], "1")
    assert speed == (None if said == "noisy" else pytest.approx(1 / ratio[1], abs=0.01))


def test_the_spread_of_each_network_stands_below_its_time() -> None:
    text = report_table(measured([0.6, 0.62, 0.65]))
    lines = text.splitlines()
    spread = lines[next(n for n, line in enumerate(lines) if "batch 1 " in line) + 1]
    assert "ms" in spread
    assert "4.20-71.4" in spread
    assert "1.47-46.3" in spread
    assert max(map(len, lines)) <= 80
    assert "passes" not in report_table(explored())  # type: ignore[arg-type]


def test_no_cell_of_the_table_is_cut_short() -> None:
    """All four networks have spreads; a long metric and large ones need more than 80 columns."""
    report = measured([0.6, 0.62, 0.65])
    for key in ("full", "small", "baseline", "shallow"):
        report[key]["latency_spread_ms"] = {"1": [0.672, 9.345], "256": [87.04, 123.4]}
    report["small"]["test"] = report["full"]["test"] - 0.417
    text = report_table(report)
    assert "\N{HORIZONTAL ELLIPSIS}" not in text
    assert text.count("0.67-9.35") == text.count("87.0-123") == 4
    assert "-41.7 pt" in text
    assert max(map(len, text.splitlines())) <= 80
    report["task"]["metric"] = "balanced accuracy of everything"
    assert "\N{HORIZONTAL ELLIPSIS}" not in report_table(report)


def test_earlier_reports_have_only_spreads() -> None:
    full = {"latency_ms": {"1": 58.1}, "latency_spread_ms": {"1": [23.0, 71.4]}}
    small = {"latency_ms": {"1": 1.58}, "latency_spread_ms": {"1": [1.47, 46.3]}}
    assert time_ratio(full, small, "1") == "noisy"
    full["latency_spread_ms"], small["latency_spread_ms"] = {"1": [51.0, 62.0]}, {"1": [1.5, 1.9]}
    assert time_ratio(full, small, "1") == "0.03 x"
    assert time_ratio({"latency_ms": {"1": None}}, small, "1") == "-"
    assert spread_words({"latency_ms": {"1": 2.0}}, "1") == "-"


@pytest.mark.parametrize("network", ["small", "shallow", "depths"])
@pytest.mark.parametrize(
    ("key", "value"),
    [("ratio", [1.0, 2.0]), ("ratio", [0.0, 1.0, 2.0]), ("ratio", [3, 1, 2]), ("spread_ms", [2])],
)
def test_spreads_that_are_none_are_refused(network: str, key: str, value: list[float]) -> None:
    report = measured([1.0, 1.0, 1.0])
    place = report["depths"][2] if network == "depths" else report[network]
    place[f"latency_{key}"] = {"1": value, "256": None}
    with pytest.raises(ConfigError, match=rf"{network}.*latency_{key}\.1.* numbers"):
        validate(report)


def test_quartiles_are_of_the_rounds_ratios() -> None:
    base = Timing((1.0, 10.0, 2.0, 4.0, 5.0))
    low, median, high = ratio_quartiles(Timing((0.5, 4.0, 1.2, 2.8, 4.0)), base)
    assert (low, median, high) == pytest.approx((0.5, 0.6, 0.7))
    assert not is_noisy(low, median, high)
