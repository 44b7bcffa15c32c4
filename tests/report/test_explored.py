"""Schema 2: what a file may say of every depth; the headline; texts at each depth; other files."""

from __future__ import annotations

import html
import json
from pathlib import Path
from typing import Any

import pytest

from autocompress.errors import ConfigError
from autocompress.report.breakdown import exit_part, gradient_map
from autocompress.report.conclusion import headline
from autocompress.report.files import RunFiles, read_files
from autocompress.report.html import render_html
from autocompress.report.schema import validate
from autocompress.report.states import state_of
from autocompress.report.svg import Plot, ticks
from report.explored import explored


def changed(path: tuple[Any, ...], value: Any) -> dict[str, Any]:
    report = explored()
    holder: Any = report
    for step in path[:-1]:
        holder = holder[step]
    holder[path[-1]] = value
    return report


def test_a_report_of_schema_2_is_valid() -> None:
    validate(explored())
    validate({**explored(), "classes": None, "examples": []})


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        (("depths", 1, "interval"), [0.5], r"depths\[1\]\.interval .*two numbers"),
        (("depths", 1, "interval"), [0.9, 0.5], "the smaller first"),
        (("depths", 1, "interval"), [0.9, 1.5], "fraction between 0 and 1"),
        (("depths", 2, "latency_spread_ms", "1"), [2.0, 1.0], r"latency_spread_ms\.1"),
        (("classes", "names"), ["a", "b"], r"classes\.counts\.train"),
        (("classes", "counts", "test"), [1, 2], r"classes\.counts\.test"),
        (("classes", "accuracy"), [], r"classes\.accuracy is 0; expected 5 entries"),
        (("classes", "accuracy", 0), [0.5], r"classes\.accuracy"),
        (("classes", "shown"), [0, 1, 3], r"classes\.shown"),
        (("classes", "shown"), [0, 1, 1], r"classes\.shown"),
        (("classes", "confusion", 3), [[1]], "square matrices of 3 classes"),
        (("classes", "confusion", 3, 1, 1), -2, "whole number"),
        (("examples", 0, "answers"), [0], r"examples\[0\]\.answers is 1; expected 5 values"),
        (("examples", 0, "label"), 3, r"classes of 0\.\.2"),
        (("examples", 0, "picture"), "https://example.org/x.png", "base64 data URI"),
        (("examples", 0, "picture"), "data:image/svg+xml;base64,AAAA", "base64 data URI"),
        (("examples", 0, "picture"), 'data:image/png;base64,"onerror=', "base64 data URI"),
    ],
)
def test_wrong_values_are_named(path: tuple[Any, ...], value: Any, expected: str) -> None:
    with pytest.raises(ConfigError, match=expected):
        validate(changed(path, value))


def scored(small: float, full: float, shallow: float | None) -> Any:
    report = explored()
    report["task"]["test"] = 10_000
    report["small"]["test"], report["full"]["test"] = small, full
    if shallow is None:
        report["shallow"] = None
    else:
        report["shallow"]["test"] = shallow
    return report


@pytest.mark.parametrize(
    ("scores", "said"),
    [
        ((0.9, 0.95, 0.8), "2 of 4 layers score 90.0 % on test, 5.0 points below all 4."),
        ((0.95, 0.9, 0.8), "2 of 4 layers score 95.0 % on test, 5.0 points above all 4."),
        ((0.9, 0.901, None), "2 of 4 layers score 90.0 % on test, a tie with all 4."),
        (
            (0.9, 0.95, 0.97),
            "2 of 4 layers score 90.0 % on test; a shallow network from scratch scores 7.0 "
            "points more.",
        ),
    ],
)
def test_the_headline_is_one_short_sentence(scores: Any, said: str) -> None:
    assert headline(scored(*scores)) == said


def test_the_headline_of_other_outcomes() -> None:
    report = scored(0.9, 0.95, 0.8)
    report["small"]["test"] = None
    assert headline(report) == "2 of 4 layers are kept; no test score was measured."
    report = scored(0.9, 0.95, 0.8)
    report["selected"] = 4
    assert headline(report) == "Nothing could be cut: all 4 layers are needed."
    for point in report["depths"]:
        point["validation"] = 0.34
    report["constant"] = 0.34
    answer = "always answering the most frequent class"
    assert headline(report) == f"No depth is better than {answer}."
    report["depths"][1]["validation"] = 0.341  # not clearly above: neither praised nor condemned
    assert headline(report) == f"No depth is clearly better than {answer}."
    report["task"]["metric"] = "exact match"
    assert headline(report).endswith("clearly better than always giving the most frequent labels.")


def test_an_earlier_report_has_costs_only_where_it_measured_them() -> None:
    report: Any = explored()
    for point in report["depths"]:
        for key in ("bytes", "latency_ms", "latency_spread_ms", "interval", "validation_interval"):
            del point[key]
    del report["classes"], report["examples"]
    report["schema"] = 1
    validate(report)
    assert state_of(report, "run", 2)["bytes"] == "25.0 kB"
    assert state_of(report, "run", 2)["spread_1"] == "spread not measured"
    assert state_of(report, "run", 1)["bytes"] == "-"
    assert state_of(report, "run", 1)["interval"] == "interval not measured"
    assert "Confusion" not in render_html(report, None, [])


def test_no_exponent_and_no_json_is_shown() -> None:
    page = render_html(explored(), None, [])  # type: ignore[arg-type]
    assert "9e+06" not in page
    assert "at most 9,000,000 FLOPs" in page
    assert "mixer, plane (short 0.5)" in page


def test_files_of_a_run_folder(tmp_path: Path) -> None:
    assert read_files(tmp_path) == RunFiles()
    row = {
        "epoch": 1,
        "loss": 1.0,
        "lr": 0.1,
        "seconds": 1.0,
        "validation": 0.5,
        "depths": [0.1, 0.5],
    }
    (tmp_path / "metrics.jsonl").write_text(json.dumps(row) + "\n")
    (tmp_path / "gradients.json").write_text('{"steps": [0, 1], "full": [[1, 2], [3, null]]}')
    found = read_files(tmp_path)
    assert found.learning["network"][0]["depths"] == [0.1, 0.5]
    assert found.gradients == {"steps": [0, 1], "full": [[1, 2], [3, None]]}
    assert "<svg" in gradient_map(found.gradients)
    assert not found.notes


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("gradients.json", '{"steps": [0], "full": [[1, 2]]}'),
        ("gradients.json", '{"steps": [0], "full": [["<b>"]]}'),
        ("gradients.json", "{"),
        ("metrics.jsonl", '{"epoch": 1, "loss": 1.0, "lr": 1, "seconds": 1, "depths": ["x"]}\n'),
        ("metrics.jsonl", "{"),
    ],
)
def test_a_damaged_file_is_noted_and_left_out(name: str, text: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    found = read_files(tmp_path)
    assert (found.learning, found.gradients) == ({}, None)
    assert len(found.notes) == 1
    assert name in found.notes[0]
    assert found.notes[0].replace("<", "&lt;") in render_html(
        explored(), None, [], files=found
    ).replace("&#39;", "'").replace("&gt;", ">").replace("&#34;", '"')  # type: ignore[arg-type]


def test_exits_begin_at_the_calibrated_threshold() -> None:
    curve = [
        {"threshold": t, "score": 0.9, "flops": 1e6 / (1 + t), "depth": 3.0, "ms": 1.5}
        for t in (0.0, 0.3, 0.9)
    ]
    curve.append({"threshold": None, "score": 1.0, "flops": 2.0, "depth": 4.0})  # not drawn
    record = {
        "criterion": "margin",
        "exits": [{"threshold": 0.3}, {"threshold": None}],
        "curve": curve,
    }
    part = exit_part(record, 4)
    assert part is not None
    assert part["states"][part["chosen"]] == {
        "exit_threshold": "0.3",
        "exit_score": "90.0 %",
        "exit_depth": "3.0 of 4 layers",
        "exit_flops": "769 k, 0.77 x the most",
        "exit_ms": "1.50 ms",
    }
    assert len(part["states"]) == 3
    assert exit_part(None, 4) is None


def test_a_chart_of_one_point_and_round_ticks() -> None:
    plot = Plot((0, 0), (50, 50), "one", "one", "x")
    plot.line([(0, 50)], "network")
    assert "nan" not in plot.render()
    assert ticks(0, 1) == [0, 0.2, 0.4, 0.6, 0.8, 1.0]
    assert ticks(3, 3) == [3]


@pytest.mark.parametrize(
    ("task", "asked"), [("text-classification", "a text"), ("image-classification", "picture.png")]
)
def test_what_to_predict_follows_the_task_without_examples(task: str, asked: str) -> None:
    report = {**explored(), "examples": []}
    config = {"fit": {"epochs": 3}, "data": {"task": task}}
    page = render_html(report, config, [], run="runs/one")
    assert f"predict('{asked}')" in html.unescape(page)
