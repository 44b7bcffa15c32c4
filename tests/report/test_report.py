"""report.json's schema, the verdict in every case, the table and the page."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from autocompress.errors import CheckpointError, ConfigError, OutputError, UnknownNameError
from autocompress.printing import layer_words
from autocompress.report import (
    before_after,
    load_report,
    render_html,
    report_table,
    search_cost,
    validate,
    verdict,
    write_html,
)
from autocompress.report.conclusion import findings, headline
from autocompress.report.units import MISSING, count, milliseconds, per_cent, seconds, si

NETWORK = [0.1, 0.4069, 0.7812, 0.9236, 0.9653, 0.9757, 0.9792, 0.9757, *[0.9792] * 5]
CONTROL = [0.1, 0.1424, 0.2181, 0.3056, 0.4597, 0.6153, 0.7514, 0.8611, 0.925, 0.9514]
CONTROL += [0.9688, 0.9757, 0.9826]
CONFIG = {"data": {"name": "digits"}, "fit": {"epochs": 40, "batch_size": 64}, "rivals": True}
COMMANDS = ["acn compress --config run/config.yaml --output again", "acn probe run"]


def curve(scores: list[float], shift: float = 0.0) -> list[dict[str, Any]]:
    return [
        {
            "depth": k,
            "validation": score,
            "test": round(score + shift, 4),
            "parameters": 5_066 + 27_264 * k,
            "flops": 17_664 + 1_183_744 * k,
        }
        for k, score in enumerate(scores)
    ]


def network(point: dict[str, Any], **other: Any) -> dict[str, Any]:
    k = point["depth"]
    return {
        **point,
        "bytes": 4 * point["parameters"] + 3_000,
        "latency_ms": {"1": round(0.21 + 0.153 * k, 3), "256": round(1.13 + 3.021 * k, 3)},
        "peak_memory_bytes": 6_400_123 + 109_057 * k,
        **other,
    }


def sample(kept: int = 5) -> dict[str, Any]:
    """A run on the digits: 12 layers, 5 of them kept."""
    depths, control = curve(NETWORK, 0.0028), curve(CONTROL, 0.001)
    return {
        "schema": 1,
        "task": {
            "dataset": "digits",
            "metric": "accuracy",
            "train": 1149,
            "validation": 288,
            "test": 360,
        },
        "model": {"name": "mixer", "connectivity": "acn", "depth": 12},
        "depths": depths,
        "rule": "depth 5 (the shallowest depth whose validation score is within 0.5 points of full "
        "depth): 97.57 % on validation, -0.35 points against full depth [95 % interval -1.39 to "
        "+0.69]; resampled, the rule gives depths 4..6",
        "selected": kept,
        "full": network(depths[12]),
        "small": network(depths[kept]),
        "baseline": network(control[12], depths=control, selected=11),
        "shallow": network(curve([0.1] * 5 + [0.9722])[5]),
        "checks": {"small_vs_probe_max_abs_difference": 0.0, "onnx_max_abs_difference": 1.7e-6},
        "seed": 0,
        "seconds": {
            "data": 1.204,
            "train": 75.3,
            "probe": 0.911,
            "train baseline": 78.442,
            "train shallow": 36.07,
            "measure": 9.3,
            "ship": 4.6,
        },
        "environment": {"device": "cpu", "cpus": 2, "torch": "2.9.1", "python": "3.11.7"},
    }


def scored(
    small: float, full: float, control: float | None, shallow: float | None, kept: int = 5
) -> Any:
    """A report with these test scores on 10,000 images; None leaves the rival out."""
    report = sample(kept)
    report["task"]["test"] = 10_000
    report["full"]["test"] = full
    report["small"]["test"] = small
    for key, score in (("baseline", control), ("shallow", shallow)):
        if score is None:
            report[key] = None
        else:
            report[key]["test"] = score
    return report


# -- schema ----------------------------------------------------------------------------------------


def test_a_report_of_schema_1_is_valid() -> None:
    validate(sample())
    validate({**sample(), "baseline": None, "shallow": None, "seed": None})
    mapping = sample()
    mapping["model"]["connectivity"] = {"name": "plane", "short": 0.5}
    validate(mapping)
    whole = sample()
    whole["full"]["validation"] = 1
    validate(whole)


def unmeasured() -> dict[str, Any]:
    """Everything null that may be."""
    report = sample()
    for row in (report["full"], report["small"], *report["depths"]):
        row.update(test=None, validation=None, parameters=None, flops=None)
    for row in (report["full"], report["small"]):
        row.update(bytes=None, peak_memory_bytes=None, latency_ms={"1": None, "256": None})
    report["checks"] = dict.fromkeys(report["checks"])
    report.update(baseline=None, shallow=None, seed=None, seconds={"train": None}, environment={})
    return report


def test_null_stands_where_nothing_was_measured() -> None:
    validate(unmeasured())


def paths(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where every key of the schema stands (``seconds`` and ``environment`` are free)."""
    if isinstance(value, list):
        return paths(value[-1], (*at, len(value) - 1))
    if not isinstance(value, dict) or at in (("seconds",), ("environment",)):
        return []
    return [found for key in value for found in ((*at, key), *paths(value[key], (*at, key)))]


def name_of(path: tuple[Any, ...]) -> str:
    return "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in path).lstrip(".")


@pytest.mark.parametrize("path", paths(sample()), ids=name_of)
def test_a_missing_or_wrong_key_is_named(path: tuple[Any, ...]) -> None:
    for change in ("missing", "wrong"):
        report = sample()
        holder: Any = report
        for step in path[:-1]:
            holder = holder[step]
        if change == "missing":
            del holder[path[-1]]
        else:
            holder[path[-1]] = [True]
        with pytest.raises(ConfigError, match=re.escape(name_of(path))):
            validate(report)


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        (("small", "test"), 97.5, "fraction between 0 and 1"),
        (("small", "test"), float("nan"), "fraction between 0 and 1"),
        (("small", "test"), True, "fraction between 0 and 1"),
        (("depths", 3, "validation"), -0.1, r"depths\[3\]\.validation is -0.1"),
        (("task", "test"), -1, "whole number"),
        (("task", "test"), 3.5, "whole number"),
        (("task", "dataset"), None, "is null; expected a text"),
        (("full", "latency_ms", "256"), "fast", "'fast'; expected a number"),
        (("seconds", "train"), float("inf"), r"seconds\.train"),
        (("model", "connectivity"), 3, "is 3; expected a text or an object"),
        (("selected",), 13, r"a depth of 0\.\.12"),
        (("baseline", "selected"), 13, r"baseline\.selected is 13"),
        (("small", "depth"), 4, r"small\.depth is 4; expected 5"),
        (("full", "depth"), 11, r"full\.depth is 11; expected 12"),
        (("model", "depth"), 11, r"depths has depths .*expected 0\.\.11"),
        (("depths", 2, "depth"), 7, r"expected 0\.\.12 in order"),
        (("schema",), 3, "reads schemas 1 and 2"),
        (("environment",), [], "environment is .*expected an object"),
    ],
)
def test_wrong_values_are_explained(path: tuple[Any, ...], value: Any, expected: str) -> None:
    report = sample()
    holder: Any = report
    for step in path[:-1]:
        holder = holder[step]
    holder[path[-1]] = value
    with pytest.raises(ConfigError, match=expected):
        validate(report)


def test_an_unknown_key_gets_the_nearest_legal_name() -> None:
    report = sample()
    report["small"]["peak_memory"] = 3
    with pytest.raises(UnknownNameError, match="did you mean 'small.peak_memory_bytes'"):
        validate(report)


def test_load_report(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_text(json.dumps(sample()))
    assert load_report(path) == sample()
    path.write_text(json.dumps(sample())[:-40])
    with pytest.raises(CheckpointError, match="truncated or damaged"):
        load_report(path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(CheckpointError, match="truncated or damaged"):
        load_report(path)
    path.write_text("[]")
    with pytest.raises(ConfigError, match=r"report\.json: a report is a JSON object"):
        load_report(path)
    with pytest.raises(CheckpointError, match="acn compress"):
        load_report(tmp_path / "nothing.json")


# -- verdict ---------------------------------------------------------------------------------------


def is_short(text: str) -> bool:
    """Whether a headline of one short sentence has findings below, a sentence a line."""
    first, *below = text.splitlines()
    return (
        len(first) < 100
        and bool(below)
        and all(line.startswith("- ") for line in below)
        and all(line.endswith(".") and ". " not in line for line in (first, *below))
    )


def test_verdict_of_a_win() -> None:
    text = verdict(scored(0.95, 0.93, 0.94, 0.90))
    assert is_short(text)
    assert text.startswith("5 of 12 layers score 95.0 % on test, 2.0 points above all 12.\n")
    assert "The network keeps 5 of 12 layers (58 % cut) and scores 95.0 % on test" in text
    assert "2.0 points above its own full depth (93.0 %)" in text
    assert "1.0 points above the residual baseline at full depth (94.0 %)" in text
    assert "5.0 points above a residual network of 5 layers trained from scratch (90.0 %)" in text
    assert "keeps more (11 of 12 layers) and scores" in text
    assert "won" not in text
    assert "tie" not in text


def test_verdict_when_the_shallow_network_won() -> None:
    text = verdict(scored(0.95, 0.97, 0.97, 0.96))
    assert is_short(text)
    assert "2.0 points below its own full depth (97.0 %)" in text
    assert "1.0 points below a residual network of 5 layers trained from scratch" in text
    assert "so the shallow network won" in text


@pytest.mark.parametrize(
    ("rival", "test", "said"),
    [(0.97, 0.95, True), (0.96, 0.95, False), (0.93, 0.95, False), (0.97, 0.96, False)],
    ids=["ahead", "within one standard error", "behind", "ahead on test as well"],
)
def test_a_shallow_network_that_is_ahead_on_validation_data_is_named(
    rival: float, test: float, said: bool
) -> None:
    """One standard error of 96 % on 288 images is 1.2 points; on test data 0.95 is a tie."""
    report = scored(0.95, 0.95, 0.95, test)
    report["small"]["validation"], report["shallow"]["validation"] = 0.95, rival
    text = verdict(report)
    ahead = "On validation data the shallow network from scratch is 2.0 points ahead"
    assert (ahead in text) == ("ahead" in text) == said
    report["model"]["init"] = "hf:bert"
    assert ("network cut before training is 2.0 points ahead" in verdict(report)) == said
    report["shallow"]["validation"] = None
    assert "ahead" not in verdict(report)


@pytest.mark.parametrize(("rival", "tie"), [(0.952, True), (0.948, True), (0.953, False)])
def test_less_than_a_standard_error_is_a_tie(rival: float, tie: bool) -> None:
    """The standard error of 95 % on 10,000 images is 0.22 points."""
    text = verdict(scored(0.95, 0.90, 0.90, rival))
    assert is_short(text)
    assert ("a tie with a residual network of 5 layers" in text) == tie
    assert ("shallow network won" in text) == (not tie)
    assert ("one standard error of 10,000 test examples (about 0.2 points)" in text) == tie


def test_equal_perfect_scores_are_a_tie() -> None:
    found = verdict(scored(1.0, 1.0, 1.0, 1.0))
    assert found.count("a tie with") == 1 + 3  # the headline says the first of them as well


@pytest.mark.parametrize(
    ("selected", "words"),
    [
        (12, "The residual baseline needs all of its 12 layers"),
        (6, "cut by the same rule, keeps more (6 of 12 layers) and scores 75.2 %"),
        (5, "cut by the same rule, keeps as many (5 of 12 layers) and scores 61.6 %"),
        (3, "cut by the same rule, keeps fewer (3 of 12 layers) and scores 30.7 %"),
    ],
)
def test_verdict_says_how_far_the_control_can_be_cut(selected: int, words: str) -> None:
    report = scored(0.95, 0.93, 0.94, 0.90)
    report["baseline"]["selected"] = selected
    assert words in verdict(report)


def test_verdict_when_nothing_could_be_cut() -> None:
    report = scored(0.95, 0.95, 0.94, 0.90, kept=12)
    text = verdict(report)
    assert is_short(text)
    assert text.startswith("Nothing could be cut: all 12 layers are needed.\n")
    assert "by its rule the network needs all 12 layers" in text
    assert "own full depth" not in text
    assert "keeps fewer (11 of 12 layers)" in text
    report["baseline"]["selected"] = 12
    assert "The residual baseline needs all of its 12 layers as well" in verdict(report)


@pytest.mark.parametrize(
    ("gain", "examples", "learning"),
    [
        (0.021, 3000, True),
        (0.021, 60, False),  # one standard error is over 2.1 points
        (0.005, 300_000, False),  # as little as the tolerance of the rule
        (0.006, 300_000, True),
        (0.0, 3000, False),
        (None, 3000, False),  # too few epochs to tell, or an earlier report
    ],
)
def test_verdict_says_that_the_network_was_still_learning(
    gain: float | None, examples: int, learning: bool
) -> None:
    report = scored(0.95, 0.95, 0.94, 0.90, kept=12)
    report["task"]["validation"] = examples
    report["late_gain"] = gain
    validate(report)
    text = verdict(report)
    assert is_short(text)
    assert text.startswith("Nothing could be cut yet: the network still used") == learning
    assert ("score still rose by 2.1 points" in text) == (learning and gain == 0.021)
    cut = scored(0.95, 0.95, 0.94, 0.90)
    cut["task"]["validation"], cut["late_gain"] = examples, gain
    assert headline(cut) == headline(scored(0.95, 0.95, 0.94, 0.90))
    assert ("may need fewer after a longer training" in verdict(cut)) == learning


def test_verdict_names_missing_rivals() -> None:
    text = verdict(scored(0.95, 0.93, None, None))
    assert is_short(text)
    assert "No residual baseline and no shallow network from scratch were trained" in text
    assert "residual network of" not in text
    assert "No residual baseline was trained" in verdict(scored(0.95, 0.93, None, 0.9))
    assert "No shallow network from scratch was trained" in verdict(scored(0.95, 0.93, 0.9, None))


def test_verdict_without_test_scores() -> None:
    text = verdict(unmeasured())  # type: ignore[arg-type]
    assert is_short(text)
    assert "no test score was measured" in text
    report = scored(0.95, 0.93, 0.94, 0.90)
    report["shallow"]["test"] = None
    text = verdict(report)
    assert "not comparable with a residual network of 5 layers" in text
    assert is_short(text)


def test_verdict_of_the_smallest_networks() -> None:
    report = scored(0.5, 0.93, 0.94, 0.90, kept=0)
    assert "keeps 0 of 12 layers (100 % cut)" in verdict(report)
    report = scored(0.5, 0.5, None, None)
    report.update(selected=0, model={"name": "mlp", "connectivity": "acn", "depth": 0})
    assert "Nothing could be cut" in verdict(report)


def of_numbers(full: float, small: float) -> dict[str, Any]:
    """A report of a network that predicts numbers: R^2, which may be below 0."""
    report = scored(small, full, -0.2, 0.1)
    report["task"]["metric"] = "R^2"
    for point in report["depths"]:
        point["test"] = point["validation"] = -0.5
        point["interval"] = [-0.6, -0.4]  # a standard error of 0.051
    report["constant"] = 0.0
    return report


def test_r_squared_may_be_below_0_and_accuracy_may_not() -> None:
    report = of_numbers(0.6, 0.3)
    validate(report)
    page = render_html(report, None, [])  # type: ignore[arg-type]
    assert "-50.0 %" in page
    assert "NaN" not in page
    report["task"]["metric"] = "accuracy"
    with pytest.raises(ConfigError, match=r"baseline.test is -0.2; expected a fraction between 0"):
        validate(report)
    report = of_numbers(0.6, 0.3)
    report["small"]["test"] = 1.01
    with pytest.raises(ConfigError, match=r"small.test is 1.01; expected .*R\^2: at most 1"):
        validate(report)


@pytest.mark.parametrize(("full", "tie"), [(0.34, True), (0.36, False)])
def test_a_tie_of_r_squared_is_judged_by_its_interval(full: float, tie: bool) -> None:
    """The standard error of an accuracy of 30 % on 10,000 examples would be 0.5 points."""
    report = of_numbers(full, 0.3)
    for point in report["depths"]:
        point["validation"] = 0.9  # it has learned something
    said = headline(report)  # type: ignore[arg-type]
    assert ("a tie with all 12" in said) == tie
    assert ("6.0 points below all 12" in said) == (not tie)


# -- tables ----------------------------------------------------------------------------------------


def printed(report: Any) -> str:
    return report_table(report)


def test_table_at_80_columns() -> None:
    text = printed(sample())
    lines = text.splitlines()
    assert max(map(len, lines)) <= 80
    assert "\x1b" not in text
    assert "..." not in text
    assert "\N{HORIZONTAL ELLIPSIS}" not in text
    for row in before_after(sample()):  # type: ignore[arg-type]
        line = next(line for line in lines if line.startswith(row.label))
        assert line[len(row.label) :].split() == " ".join(row[1:]).split()


def test_table_of_a_large_network_at_80_columns() -> None:
    report = sample()
    for key in ("full", "small", "baseline", "shallow"):
        report[key].update(parameters=86_567_656, flops=35_123_456_789, bytes=346_270_624)
        report[key].update(peak_memory_bytes=12_345_678_901)
        report[key]["latency_ms"] = {"1": 102.4, "256": 12_345.6}
    text = printed(report)
    assert max(map(len, text.splitlines())) <= 80
    assert text.count("86,567,656") == 4
    assert text.count("12,346 ms") == 4


def test_table_leaves_out_rivals_that_were_not_trained() -> None:
    assert "residual" in printed(sample())
    assert "residual" not in printed({**sample(), "baseline": None})
    assert "scratch" not in printed({**sample(), "shallow": None})


def test_table_shows_markup_as_it_is() -> None:
    report = sample()
    report["task"]["dataset"] = "my[red]data[/blue]"
    assert "my[red]data[/blue]: 5 of 12 layers kept" in printed(report)


def test_table_of_nothing_measured() -> None:
    rows = before_after(unmeasured())  # type: ignore[arg-type]
    assert rows[0] == ("layers", "12", "5", "0.42 x", MISSING, MISSING)
    assert set(rows[-1][1:]) == {MISSING}
    assert printed(unmeasured())


def test_search_cost_by_hand() -> None:
    report: Any = sample()
    for k, point in enumerate(report["depths"]):
        point["flops"] = 10 + 100 * k
    cost = search_cost(report, epochs=2)
    assert cost["one_run"] == 3 * 1210 * 1149 * 2
    assert cost["every_depth"] == 3 * (12 * 10 + 78 * 100) * 1149 * 2
    assert cost["ratio"] == pytest.approx(7920 / 1210)
    assert "3 x forward FLOPs" in cost["rule"]
    assert sum(cost["by_depth"]) == cost["every_depth"]
    report["depths"][3]["flops"] = None
    assert search_cost(report, 2)["ratio"] is None


# -- page ------------------------------------------------------------------------------------------

_VOID = {"meta", "br", "hr", "img", "link", "input"}


class Page(HTMLParser):
    """Checks that tags are closed in order; keeps text, attributes and ids."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", "".join(self.words))


def render(report: Any, config: dict[str, Any] | None = CONFIG) -> str:
    return render_html(report, config, COMMANDS)


@pytest.fixture(scope="module")
def page() -> str:
    return render(sample())


def test_page_stands_alone(page: str) -> None:
    parsed = Page(page)
    assert not {"link", "iframe", "object", "base", "form"} & set(parsed.tags)
    for name, value in parsed.attributes:
        assert not name.startswith("on")
        if name in ("src", "href"):
            assert (value or "").startswith(("#", "data:image/png;base64,"))
    assert "://" not in page
    assert "@import" not in page
    assert not re.findall(r"url\((?!#)", page)
    assert len(page) < 1_000_000


def test_ids_are_unique_and_references_lead_somewhere(page: str) -> None:
    attributes = Page(page).attributes
    ids = [value for name, value in attributes if name == "id"]
    assert len(ids) == len(set(ids))
    linked = {value[1:] for name, value in attributes if name == "href" and value}
    assert linked | set(re.findall(r"url\(#([^)]+)\)", page)) <= set(ids)


def test_page_has_every_number(page: str) -> None:
    report, text = sample(), Page(page).text
    rows = [report[key] for key in ("full", "small", "baseline", "shallow")]
    for row in [*rows, *report["depths"]]:
        assert per_cent(row["validation"]) in text
        assert per_cent(row["test"]) in text
        assert count(row["parameters"]) in text
        assert si(row["flops"]) in text
    for row in report["baseline"]["depths"]:
        assert per_cent(row["validation"]) in text
        assert per_cent(row["test"]) in text
    for row in rows:
        assert si(row["bytes"], "B") in text
        assert si(row["peak_memory_bytes"], "B") in text
        assert milliseconds(row["latency_ms"]["1"]) in text
        assert milliseconds(row["latency_ms"]["256"]) in text
    for value in report["seconds"].values():
        assert seconds(value) in text
    for value in report["environment"].values():
        assert str(value) in text
    for words in (report["rule"], "1,149 training, 288 validation, 360 test", "bit for bit"):
        assert words in text
    assert "0.0000017" in text
    assert headline(report) in text.replace("\u00a0", " ")  # type: ignore[arg-type]
    assert all(sentence in text for sentence in findings(report))  # type: ignore[arg-type]
    assert all(command in text for command in COMMANDS)
    assert "epochs: 40" in text
    assert f"{search_cost(report, 40)['ratio']:.1f} times" in text  # type: ignore[arg-type]


def test_charts_keep_their_text_and_follow_the_page(page: str) -> None:
    charts = re.findall(r"<svg.*?</svg>", page, flags=re.S)
    assert len(charts) == 3  # by depth, its close-up, by cost
    assert "kept: 5" in charts[0]
    assert 'class="line baseline"' in charts[0]
    assert "#" not in re.sub(r"#\w+-clip", "", "".join(charts))  # colours are the style sheet's
    for words in ("network, test", "residual baseline, test", "shallow, from scratch, test"):
        assert words in page


def test_page_is_the_same_every_time(page: str) -> None:
    assert render(sample()) == page


def test_everything_is_escaped() -> None:
    evil = "<script>alert('x')</script>&\"$x^2$"
    report = sample()
    report["task"]["dataset"] = report["rule"] = report["model"]["name"] = evil
    report["task"]["metric"] = report["model"]["connectivity"] = evil
    report["environment"] = {evil: evil, "list": [evil]}
    report["seconds"] = {evil: 1.0}
    text = render_html(report, {"data": {evil: evil}, "fit": {"epochs": 2}}, [evil])  # type: ignore[arg-type]
    assert "<script>alert" not in text
    assert evil in Page(text).text
    assert Page(text).tags.count("script") == 2  # the data, and our own


@pytest.mark.parametrize(
    "change",
    [
        {"baseline": None},
        {"shallow": None},
        {"baseline": None, "shallow": None},
        unmeasured(),
    ],
    ids=["no control", "no shallow", "no rivals", "nothing measured"],
)
def test_page_of_an_incomplete_run(change: dict[str, Any]) -> None:
    text = Page(render({**sample(), **change})).text
    if change.get("baseline", 1) is None:
        assert "not trained" in text
        assert "baseline, validation" not in text


@pytest.mark.parametrize("deepest", [0, 1, 2])
def test_page_of_a_tiny_network(deepest: int) -> None:
    report = sample(kept=0)
    report["model"]["depth"] = deepest
    report["depths"] = report["depths"][: deepest + 1]
    report["full"] = network(report["depths"][-1])
    validate(report)
    assert f"0 of {layer_words(deepest)} kept" in Page(render(report)).text


@pytest.mark.parametrize("config", [None, {}, {"fit": None}, {"fit": {"epochs": "many"}}])
def test_search_cost_is_left_out_with_a_reason(config: dict[str, Any] | None) -> None:
    text = render(sample(), config)
    assert "number of epochs, was not at hand" in text
    assert text.count("<svg") == 3
    assert 'class="bars"' not in text


def test_write_html(tmp_path: Path) -> None:
    report: Any = sample()
    write_html(tmp_path / "report.html", report, None, [])
    assert (tmp_path / "report.html").read_text("utf-8") == render_html(report, None, [])
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
    with pytest.raises(OutputError):
        write_html(tmp_path / "report.html" / "below.html", report, None, [])


def test_a_network_that_is_no_better_than_one_answer_is_not_praised_for_its_cut() -> None:
    """All depths at the score of the most frequent class: no words of layers that were saved."""
    report = sample()
    for point in report["depths"]:
        point["validation"] = 0.412
    report["full"]["validation"] = report["small"]["validation"] = 0.412
    report["constant"] = 0.41
    report["warnings"] = [
        "no depth of this network is clearly better: and so on",
        "this network has learned nothing: as earlier versions said",
        "12 examples are too few",
    ]
    validate(report)
    said = verdict(report)
    assert said.startswith("No depth is clearly better than always answering the most frequent")
    assert "41.0 %" in said
    assert "% cut" not in said
    assert "learned nothing" not in said
    assert said.lower().count("no depth") == 2  # the headline and its reason
    assert " layers, which score " in said
    assert "layers and scores" not in said
    assert said.endswith("12 examples are too few.")
    for point in report["depths"]:
        point["validation"] = 0.9
    report["warnings"] = []
    report["model"]["name"] = "converted"
    report["seconds"] = {"ship": 61.0}
    shown = render_html(report, {"model": {"source": "timm:vit_tiny"}}, [])
    assert "timm:vit_tiny, " in shown
    assert "time: saving and exporting" in shown
    assert "No depth" not in verdict(report)
