"""Every claim at its smoke preset, on one machine, in two processes, on two machines."""

from __future__ import annotations

import copy
import importlib
import importlib.util
import json
import re
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from autocompress.cli import main
from autocompress.errors import ConfigError, DataError, ReproductionError
from autocompress.measurement import parameters
from autocompress.network import build
from autocompress.pipeline import RunConfig, read_config
from autocompress_studies import (
    PRESETS,
    StudyRun,
    find_study,
    list_studies,
    load_results,
    reproduce,
    runner,
)
from autocompress_studies import study as studies
from autocompress_studies.check import check
from autocompress_studies.jobs import plain
from autocompress_studies.page import results_folder
from autocompress_studies.record import Record
from autocompress_studies.settings import PAPER, PAPER_VIT
from autocompress_studies.studies import blocks, encoders
from autocompress_studies.studies.summary import scores_of
from marks import slow_but

ROOT = Path(__file__).parents[2]
CLAIMS = [name for name in list_studies() if find_study(name).paper]
#: Studies whose smoke preset takes seconds.
SHORT = ("depth", "noise")
#: Claims that are tested at the paper's scale as well, and whose networks `summary` measures.
TRAINED = [n for n in CLAIMS if n != "summary" and "paper" in find_study(n).presets]


def acn(*words: object) -> int:
    return main([str(word) for word in words])


def scores(folder: Path) -> dict[str, Any]:
    """What a study has found, without what depends on the machine's mood."""
    content = json.loads((folder / "results.json").read_text())
    jobs = {f"{job['arm']}, {job['seed']}": job["scores"] for job in content["jobs"]}
    for found in jobs.values():
        found.pop("train_seconds", None)
    return jobs


@pytest.fixture(scope="module")
def depth(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``acn reproduce depth``, one seed."""
    folder = tmp_path_factory.mktemp("studies") / "depth"
    assert acn("reproduce", "depth", "--preset", "smoke", "--seeds", 1, "--out", folder) == 0
    return folder


@pytest.mark.parametrize(
    "name", slow_but(dict.fromkeys([*TRAINED, "blocks", "ruler", "levels"]), SHORT)
)
def test_smoke(name: str, tmp_path: Path, depth: Path) -> None:
    folder = depth if name == "depth" else tmp_path / name
    record = reproduce(name, folder, preset="smoke", seeds=1)
    outcomes = {finding.outcome for finding in record.findings}
    assert outcomes == ({"undecided"} if record.study.statements else set())  # of one seed
    for file in ("results.json", "table.md", "figure.svg", "figure.png"):
        assert (folder / file).stat().st_size > 0, file
    assert record.study.describe(record.settings)


def test_a_sample_is_trained_again_and_compared(
    depth: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """All scores of some jobs; other processors may round, but not by points."""
    content = json.loads((depth / "results.json").read_text())

    def check(**scores: Any) -> tuple[int, str]:
        for job in content["jobs"]:
            job["scores"] |= scores
        (tmp_path / "held.json").write_text(json.dumps(content))
        words = ["--preset", "smoke", "--check", "--sample", 2, "--committed"]
        status = acn(
            "reproduce", "depth", *words, tmp_path / "held.json", "--out", tmp_path / "out"
        )
        out, errors = capsys.readouterr()
        return status, out + errors

    status, said = check()
    assert (status, said.count("equal to the committed one, bit for bit")) == (0, 2)
    status, said = check(test_loss=[0.0])
    assert (status, said.count("costs equal; not bit for bit (test_loss: [")) == (0, 2)
    status, said = check(test=[0.0])
    assert (status, said.count("%, committed 0.00 %")) == (2, 2)
    assert acn("reproduce", "depth", "--sample", 2, "--out", tmp_path / "out") == 2
    assert "give --check" in capsys.readouterr().err


def test_summary_sums_up_what_others_left(depth: Path, tmp_path: Path) -> None:
    (tmp_path / "results").mkdir()
    content = (depth / "results.json").read_text()
    (tmp_path / "results" / "depth-smoke.json").write_text(content)
    record = reproduce(
        "summary", tmp_path / "out", preset="smoke", seeds=1, data=[str(tmp_path / "results")]
    )
    (row,) = record.results.of("depth, Mixer")
    acn_job = scores(depth)["Mixer, ACN, 0"]
    assert row["ACN"]["score"] == acn_job["test"][-1]
    assert row["ACN, cut"]["scores"] == [acn_job["test"][acn_job["selected"]]]
    assert row["ACN"]["parameters"] == acn_job["parameters"][-1]
    assert row["ACN, cut"]["flops"] == acn_job["flops"][acn_job["selected"]]
    with pytest.raises(DataError, match="depth-smoke.json is missing"):
        reproduce("summary", tmp_path / "none", preset="smoke", seeds=1, data=[str(tmp_path)])


def test_the_rivals_are_what_they_are_called(depth: Path) -> None:
    found = scores(depth)
    acn_job, shallow, healed = (found[f"Mixer, {kind}, 0"] for kind in ("ACN", "shallow", "healed"))
    assert acn_job["model"]["connectivity"] == "acn"
    for rival in (shallow, healed):
        assert rival["model"]["depth"] == acn_job["selected"]
        assert rival["model"]["connectivity"] == "residual"
    assert healed["epochs"] == find_study("depth").presets["smoke"].heal


@pytest.mark.slow
def test_two_processes_find_the_same(
    depth: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pools: list[int] = []

    class Pool(ProcessPoolExecutor):
        def __init__(self, workers: int, **options: Any) -> None:
            pools.append(workers)
            super().__init__(workers, **options)

    monkeypatch.setattr(runner, "ProcessPoolExecutor", Pool)
    reproduce("depth", tmp_path / "two", preset="smoke", seeds=1, jobs=2)
    assert pools == [2], "jobs that ran in this process would find the same as well"
    assert scores(tmp_path / "two") == scores(depth)


@pytest.mark.slow
def test_two_machines_find_the_same(depth: Path, tmp_path: Path) -> None:
    """A Ray cluster of two nodes: processes of their own, as on two machines."""
    if importlib.util.find_spec("ray") is None:
        pytest.skip("Ray is not installed: pip install 'autocompress[ray]'")
    import ray
    from ray.cluster_utils import Cluster

    cluster = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False}
    )
    try:
        cluster.add_node(num_cpus=1)
        ray.init(address=cluster.address, log_to_driver=False)
        assert len([node for node in ray.nodes() if node["Alive"]]) == 2
        reproduce("depth", tmp_path / "ray", preset="smoke", seeds=1, cluster="ray")
    finally:
        ray.shutdown()
        cluster.shutdown()
    assert scores(tmp_path / "ray") == scores(depth)


def test_a_repeated_run_agrees_with_the_first(depth: Path, tmp_path: Path) -> None:
    fresh = load_results(depth / "results.json")
    assert "4 jobs agree" in fresh.check(depth / "results.json")
    other = copy.deepcopy(dict(fresh.content))
    other["jobs"][0]["scores"]["test"][-1] -= 0.1
    other["jobs"][1]["scores"]["flops"][-1] += 1
    other["findings"][0]["outcome"] = "holds"
    now = {**fresh.content, "findings": copy.deepcopy(fresh.content["findings"])}
    now["findings"][0]["outcome"] = "does not hold"
    with pytest.raises(ReproductionError) as caught:
        check(now, other, 0.03, fresh.settings)
    lines = str(caught.value).splitlines()
    assert len(lines) == 4
    assert "test" in lines[1]
    assert "flops" in lines[2]
    assert "opposite" in lines[3]
    with pytest.raises(ConfigError, match="preset: 'smoke' -> 'cpu'"):
        check({**fresh.content, "preset": "cpu"}, fresh.content, 0.03, fresh.settings)


def test_the_command_line(depth: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert acn("reproduce", "--list") == 0
    listed = capsys.readouterr().out
    assert all(name in listed for name in list_studies())
    assert acn("reproduce", "dept", "--out", tmp_path) == 2
    assert "did you mean 'depth'" in capsys.readouterr().err
    assert acn("reproduce", "depth") == 2
    assert "--output DIR" in capsys.readouterr().err
    again = ("reproduce", "depth", "--preset", "smoke", "--seeds", 1, "--out", depth)
    assert acn(*again, "--check", "--committed", depth / "results.json") == 0
    assert "4 jobs agree" in capsys.readouterr().out
    assert acn(*again, "--faithful") == 2
    assert "not mixed" in capsys.readouterr().err
    words = ("--cluster", "rey", "--out", tmp_path / "new")
    assert acn("reproduce", "depth", "--preset", "smoke", *words) == 2
    assert "did you mean 'ray'" in capsys.readouterr().err


def test_the_example_of_a_study_joins_and_runs(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "reproduce.md").read_text()
    (code,) = re.findall(r"^```python\n(.*?)^```", page, re.M | re.S)
    try:
        exec(compile(code, "reproduce.md", "exec"), {"__name__": "page"})
        record = reproduce("mine", tmp_path / "mine", preset="smoke", seeds=1)
        assert record.study.shows == "that it works"
        assert len(record.findings) == 1
    finally:
        studies.forget_study("mine")


def committed() -> list[Path]:
    return sorted((ROOT / "benchmarks" / "results" / "reproduce").glob("*.json"))


@pytest.mark.parametrize("path", committed(), ids=lambda p: p.stem)
def test_the_committed_results_are_of_these_settings(path: Path) -> None:
    content = load_results(path).content
    study = StudyRun(
        content["claim"], content["preset"], Path(), tuple(content["seeds"]),
        tuple(content["data"]), content["faithful"],
    )  # fmt: skip
    if "withdrawn" in content:  # because the settings were wrong
        assert study.differences(content, ("claim", "revision")) == []
        assert load_results(path).verdict != "holds"  # the other statements can refute it alone
        return
    assert study.differences(content, ("claim", "revision", "settings")) == []
    few = (
        "encoders",
        "one-schedule",
    )  # which has seeds as arms; which stops where one shows no gain
    assert len(content["seeds"]) >= 3 or content["claim"] in few


@pytest.mark.parametrize("path", committed(), ids=lambda p: p.stem)
def test_a_run_of_today_can_be_checked_against_what_is_committed(path: Path) -> None:
    """Though the library has got options since, which then have their defaults."""
    then = load_results(path)
    today = Record({**then.content, "settings": plain(then.settings)})
    if then.withdrawn:
        with pytest.raises(ReproductionError, match="are withdrawn"):
            today.check(path)
        return
    assert f"{len(then.content['jobs'])} jobs agree" in today.check(path)


def runs_in(settings: Any) -> list[RunConfig]:
    found: list[RunConfig] = []

    def keep(run: RunConfig) -> RunConfig:
        found.append(run)
        return run

    studies.each_run(settings, keep)
    return found


@pytest.mark.parametrize("name", list_studies())
def test_no_run_of_a_study_takes_the_default_way(name: str) -> None:
    """Which may change, and would change the connectivity of networks that are fine-tuned."""
    for preset in find_study(name).presets.values():
        for run in runs_in(preset):
            assert run.model.connectivity is not None or run.path or run.fit.path


def test_withdrawn_statements_are_left_out_and_open_the_verdict(depth: Path) -> None:
    content = json.loads((depth / "results.json").read_text())
    whole = Record(content)
    gone = whole.findings[0].statement
    left = Record({**content, "withdrawn": {"rows": [gone], "why": "a mistake"}})
    assert left.findings == whole.findings[1:]
    assert left.verdict == "undecided"


def test_the_pages_are_of_the_committed_results(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    pages = importlib.import_module("evidence").pages()
    assert {path.name for path in pages} == {
        *("evidence.md", "blocks.md", "compression.md", "language.md", "choosing.md", "ruler.md"),
        *("pretrained.md", "results.md"),
    }
    for path, text in pages.items():
        assert path.read_text() == text


def test_the_committed_rows_are_those_of_the_study() -> None:
    """What each row of docs/blocks.md has changed is what the study says of it today."""
    record = load_results(ROOT / "benchmarks" / "results" / "reproduce" / "blocks-cpu.json")
    rows = json.loads(json.dumps(record.settings.rows))
    for (key, _), run in record.results.scores.items():
        assert run["changes"] == rows[key][1]


def test_settings_are_those_of_the_recipes() -> None:
    """Which the wheel does not hold, so the studies have them in their own words."""
    recipes = ROOT / "recipes"
    for config, name in (
        (blocks.DEMO, "digits"),
        (encoders.WORDS, "bert-mlm-cpu"),
        (encoders.TASK, "glue-sst2-cpu"),
    ):
        recipe = read_config(recipes / f"{name}.yaml")
        assert replace(config.data, name=recipe.data.name) == recipe.data
        assert replace(config.fit, device="auto") == recipe.fit
        assert config.augment == recipe.augment
        of_texts = name == "glue-sst2-cpu"  # starts from weights, which say which model it is
        model = replace(config.model, name=recipe.model.name) if of_texts else config.model
        assert model == recipe.model


def test_what_the_page_of_results_says_of_transfer_holds() -> None:
    record = load_results(ROOT / "benchmarks" / "results" / "reproduce" / "transfer-cpu.json")
    words = "halves of MNIST, equal epochs: the ACN needs fewer layers for the target than residual"
    assert {f.statement: f.outcome for f in record.findings}[words] == "holds"
    assert len(record.results.seeds) == 6


def quoted(text: str) -> list[tuple[str, str, str]]:
    """The differences with an interval that a text quotes: +1.6 (1.0 to 2.3); 3 less (1 to 5)."""
    number = r"[+-]?\d+(?:\.\d+)?"
    found = []
    for match in re.finditer(rf"({number})(?: less)? to ({number})( more| less)?(?=[;,)])", text):
        if "." in match[0] or match[3]:  # others are numbers of layers, images ..
            found.append((re.findall(number, text[: match.start()])[-1], match[1], match[2]))
    return found


def rounded(value: float | None, number: str) -> bool:
    return value is not None and f"{abs(value):.{len(number.partition('.')[2])}f}" == number


@pytest.mark.parametrize(("page", "most"), [("results", 1), ("ruler", 5)])
def test_the_intervals_that_a_page_quotes_are_those_found(page: str, most: int) -> None:
    """Typed from a page that rounds already, they would be rounded twice: 1.647, 1.65, 1.7."""
    folder = ROOT / "benchmarks" / "results" / "reproduce"
    seen = 0
    for item in re.split(r"\n- ", (ROOT / "docs" / f"{page}.md").read_text()):
        named = [n for n in re.findall(r"`([a-z-]+)`", item) if (folder / f"{n}-cpu.json").exists()]
        for numbers in quoted(" ".join(item.split())):
            value, *bounds = (number.lstrip("+-") for number in numbers)
            assert any(
                rounded(f.value, value) and (rounded(f.low, a) and rounded(f.high, b))
                for name in named or ("ruler", "levels")
                for f in load_results(folder / f"{name}-cpu.json").findings
                for a, b in (bounds, bounds[::-1])  # from -53 to -28 is 28 to 53 less
            ), (numbers, named)
            seen += 1
    assert seen >= most


@pytest.mark.parametrize("preset", ["smoke", "cpu", "paper"])
def test_the_summary_names_arms_of_the_claims(preset: str) -> None:
    pairs = find_study("summary").presets[preset].pairs.values()
    for pair in pairs:
        claim = find_study(pair.claim)
        names = [arm.name for arm in claim.arms(claim.presets[preset])]
        assert {pair.acn, pair.residual} <= set(names), pair
    if preset != "smoke":
        assert {pair.claim for pair in pairs} == set(TRAINED)


def test_the_summary_has_the_scores_of_the_claims_of_today() -> None:
    """It has to be measured again where a claim was."""
    summary = load_results(results_folder() / "summary-cpu.json")
    for name, pair in summary.settings.pairs.items():
        jobs = load_results(results_folder() / f"{pair.claim}-cpu.json").content["jobs"]
        scores = scores_of(pair, jobs)
        for run in summary.results.of(name):
            assert {row: of["scores"] for row, of in run.items()} == scores, name


def test_the_paper_preset_is_the_papers_network() -> None:
    """2,527,002 parameters (Mixer); 86.6M (ViT-B/16), and a norm in each of its 12 blocks."""
    for run, shape, count in (
        (PAPER, {"classes": 10, "image_size": 32, "channels": 3}, 2_527_002),
        (PAPER_VIT, {"classes": 1000, "image_size": 224, "channels": 3}, 86_567_656 + 12 * 2 * 768),
    ):
        with torch.device("meta"):
            net = build(run.model.name, **shape, **run.model.constructor_arguments())
        assert parameters(net) == count
    for name in TRAINED:
        assert set(find_study(name).presets) == set(PRESETS)
        assert set(find_study(name).costs) == set(PRESETS)
