"""Several runs on one page: who is best, one slider, and what cannot be compared."""

from __future__ import annotations

from typing import Any

import pytest

from autocompress.errors import ConfigError
from autocompress.report.schema import validate
from autocompress.report.together import NamedRun, render_together
from report.explored import explored


def named(name: str, small: float, **task: Any) -> NamedRun:
    report = explored()
    report["depths"][2]["test"] = report["small"]["test"] = small
    report["task"] |= {"test": 10_000, **task}
    validate(report)
    return NamedRun(name, report, f"{name}/report.html")  # type: ignore[arg-type]


def test_the_best_cut_network_is_named() -> None:
    page = render_together([named("runs/a", 0.90), named("runs/b", 0.95)])
    assert "runs/b has the best cut network: 2 of 4 layers, 95.0\u00a0% on test." in page
    assert 'href="runs/a/report.html"' in page


def uncut(name: str, score: float) -> NamedRun:
    report = explored()
    report["selected"], report["small"] = 4, report["full"]
    report["depths"][4]["test"] = report["full"]["test"] = score
    report["task"] |= {"test": 10_000}
    validate(report)
    return NamedRun(name, report, f"{name}/report.html")  # type: ignore[arg-type]


def test_a_network_that_was_not_cut_is_not_praised_for_a_cut() -> None:
    page = render_together([uncut("runs/a", 0.90), uncut("runs/b", 0.95)])
    assert (
        "Nothing could be cut in these runs; runs/b scores best, with all 4 layers and "
        "95.0\u00a0% on test." in page
    )
    page = render_together([uncut("runs/a", 0.95), named("runs/b", 0.90)])
    assert "runs/a scores best, with all 4 layers and 95.0\u00a0% on test." in page
    page = render_together([uncut("runs/a", 0.95), uncut("runs/b", 0.9501)])
    assert "these runs; 2 of 2 networks tie for the best test score." in page


def test_a_tie_is_called_a_tie() -> None:
    runs = [named("runs/a", 0.95), named("runs/b", 0.9501), named("runs/c", 0.8)]
    assert "2 of 3 cut networks tie for the best test score." in render_together(runs)


def test_runs_of_different_data_are_not_ranked() -> None:
    runs = [named("runs/a", 0.9), named("runs/b", 0.95, dataset="plants")]
    assert "their scores cannot be compared" in render_together(runs)


def test_runs_of_different_depth_share_a_slider() -> None:
    short = explored()
    short["depths"] = short["depths"][:3]
    short.update(classes=None, examples=[], full=short["small"])
    short["model"]["depth"] = 2
    validate(short)
    page = render_together([named("long", 0.9), NamedRun("short", short, "x")])  # type: ignore[arg-type]
    assert 'max="4"' in page
    assert '"score_1": "-"' in page  # beyond its depth


@pytest.mark.parametrize("number", [0, 1, 9])
def test_too_few_or_too_many_runs(number: int) -> None:
    with pytest.raises(ConfigError, match=f"{number} runs: a page of several shows 2 to 8"):
        render_together([named("a", 0.9)] * number)
