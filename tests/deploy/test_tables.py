"""The tables of docs/deploy.md, docs/exits.md and docs/speed.md are of the committed results."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("benchmark", "page"),
    [("compose", "deploy"), ("serve", "deploy"), ("exits", "exits"), ("speed", "speed")],
)
def test_a_table_is_of_the_committed_results(
    benchmark: str, page: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    written = (ROOT / "docs" / f"{page}.md").read_text()
    assert importlib.import_module(benchmark).marked(written) == written


def test_a_ratio_is_judged_by_its_spread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    verdict = importlib.import_module("speed").verdict
    assert verdict(0.98, 1.0, [0.97, 0.99]) == "met"
    assert verdict(1.00, 1.0, [0.98, 1.02]) == "level"
    assert verdict(1.05, 1.0, [1.02, 1.07]) == "missed"
    assert verdict(0.95, 1.0, [0.80, 1.20]) == "noisy"
