"""What every verb has in common: help, answers as text or JSON, numbered folders; and runs."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

import autocompress as ac
from autocompress.cli import main
from autocompress.commands.accepts import options_of_verb
from autocompress.commands.help import explanation
from autocompress.commands.table import VERBS
from autocompress.errors import CheckpointError, ConfigError, OutputError
from autocompress.pipeline import read_words
from autocompress.pipeline.inferring import inferred
from autocompress.pipeline.overview import COLUMNS, condition, overview, runs_in

TINY = "--model.name mlp --model.depth 2 --model.width 8 --fit.epochs 1 --data.train_limit 100"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of two runs, of a training that has not begun, and of one that is damaged."""
    folder = tmp_path_factory.mktemp("several")
    for name, more in (("one", ""), ("two", "--fit.lr 0.01 --model.connectivity acn")):
        words = shlex.split(f"train {TINY} {more}")
        assert main([*words, "--output", str(folder / name), "--quiet"]) == 0
    (folder / "three").mkdir()
    (folder / "three" / "config.yaml").write_bytes((folder / "one" / "config.yaml").read_bytes())
    (folder / "four").mkdir()
    (folder / "four" / "config.yaml").write_text("fit: {epochs: none}")
    return folder


# -- help ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", VERBS.values(), ids=list(VERBS))
def test_examples_of_the_help_are_legal(verb: object) -> None:
    for example in verb.examples:  # type: ignore[attr-defined]
        acn, name, *words = shlex.split(
            example.split(">")[0] if "where" not in example else example
        )
        assert (acn, name) == ("acn", verb.name)  # type: ignore[attr-defined]
        words = [word for word in words if not word.endswith(".yaml") and word != "--config"]
        read_words(words, options_of_verb(VERBS[name]))


@pytest.mark.parametrize("name", VERBS)
def test_the_short_help_is_short_and_plain(name: str) -> None:
    shown, whole = explanation(VERBS[name]), explanation(VERBS[name], everything=True)
    for mark in ("``", ":class:", ":func:", "typing", "<class", "Literal"):
        assert mark not in whole
    assert len(shown.splitlines()) <= 110
    if name in ("compress", "train", "stream"):
        assert len(shown) < len(whole) / 3
        assert f"acn {name} --help-all" in shown
    keys = set(options_of_verb(VERBS[name]).names())
    words = {line.split()[0] for line in shown.splitlines() if line.startswith("  --")}
    assert words <= {f"--{key}" for key in keys}
    assert {"--json", "--quiet"} <= words


# -- answers ---------------------------------------------------------------------------------------


def test_json_is_all_of_the_standard_output(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    assert main(["train", *shlex.split(TINY), "--output", str(out), "--json"]) == 0
    said = capsys.readouterr()
    found = json.loads(said.out)
    assert found["model"] == str(out / "model")
    assert found["last"]["epoch"] == 1
    assert "digits" in said.err
    for words in (
        ["probe", out],
        ["measure", out, "--batch_sizes", "1"],
        ["cut", out, "--depth", "1", "--output", tmp_path / "small"],
        ["prune", out, "--share", "0.5", "--output", tmp_path / "sparse"],
        ["exit", out],
        ["runs", tmp_path],
        ["compare", out, out],
        ["completion", "bash"],
        ["reproduce", "--list"],
    ):
        assert main([str(word) for word in words] + ["--json"]) == 0
        json.loads(capsys.readouterr().out)


def test_without_output_folders_are_numbered(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for number in (1, 2):
        assert main(["cut", str(runs / "one"), "--depth", str(number - 1), "--quiet"]) == 0
        assert capsys.readouterr().out.endswith(f"runs/cut-{number}\n")
        assert ac.load(tmp_path / "runs" / f"cut-{number}").depth == number - 1
    assert main(["train", *shlex.split(TINY), "--quiet"]) == 0
    assert (tmp_path / "runs" / "digits-1" / "model").is_dir()
    assert main(["train", *shlex.split(TINY), "--resume"]) == 2
    assert "name the run to continue: --output RUN --resume" in capsys.readouterr().err
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == [
        "cut-1", "cut-2", "digits-1"
    ]  # fmt: skip


def test_the_reader_of_the_output_may_leave(tmp_path: Path) -> None:
    """As in ``acn --help | head -1``: no traceback, the status of SIGPIPE."""
    reading, writing = os.pipe()
    os.close(reading)
    words = [sys.executable, "-m", "autocompress", "--help"]
    done = subprocess.run(words, stdout=writing, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.parametrize(
    ("closed", "said"), [(">&-", ""), ("--json 2>&-", '[{"depth": 0'), ("2>&1", "?"), ("<&-", "?")]
)
def test_streams_that_are_closed_or_know_no_lines(closed: str, said: str, runs: Path) -> None:
    """A table's lines are no ASCII, and a service may have no output at all."""
    command = (
        f"{shlex.quote(sys.executable)} -m autocompress probe {shlex.quote(str(runs / 'one'))}"
    )
    done = subprocess.run(
        ["bash", "-c", f"{command} {closed}"],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert said in done.stdout
    assert (said == "") == (done.stdout == "")


def test_completion_of_a_shell(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", "bash"]) == 0
    script = capsys.readouterr().out
    asked = "COMP_WORDS=(acn cut --de); COMP_CWORD=2; _acn; echo ${COMPREPLY[@]}"
    done = subprocess.run(["bash", "-c", f"{script}\n{asked}"], capture_output=True, text=True)
    assert done.stdout.split() == ["--depth"]
    asked = "COMP_WORDS=(acn co); COMP_CWORD=1; _acn; echo ${COMPREPLY[@]}"
    done = subprocess.run(["bash", "-c", f"{script}\n{asked}"], capture_output=True, text=True)
    assert done.stdout.split() == ["compress", "convert", "compare", "completion"]


def test_a_table_of_texts_needs_its_name_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for suffix, mark in ((".csv", ","), (".tsv", "\t")):
        rows = [f"{'fine' if n % 2 else 'dull'} film {n}{mark}{n % 2}" for n in range(60)]
        file = tmp_path / f"reviews{suffix}"
        file.write_text("\n".join([f"text{mark}label", *rows]))
        words = "--model.depth 1 --model.width 8 --model.heads 1 --fit.epochs 1"
        words += f" --data.name {file.name} --output run{suffix}"
        assert main(["train", *words.split()]) == 0
        said = capsys.readouterr().err
        assert (
            f"inferred from {file.name}: data.task text-classification, model.name encoder" in said
        )
        assert ac.load(tmp_path / f"run{suffix}" / "model").task == "text-classification"
        assert main(["probe", f"run{suffix}/model", "--data.name", file.name, "--quiet"]) == 0
    assert main(["train", *words.split(), "--model.name", "mixer"]) == 2  # what is said stands
    assert main(["train", "--data.name", "shotz", "--output", "none"]) == 2
    assert "no such file or folder: 'shotz'" in capsys.readouterr().err


def test_a_generated_set_may_name_the_model_it_needs() -> None:
    given: dict[str, dict[str, Any]] = {"data": {"name": "doubling"}, "model": {"depth": 2}}
    found, said = inferred(given)
    assert (found["model"], said) == ({"depth": 2, "name": "encoder"}, ["model.name encoder"])
    given["model"]["name"] = "mlp"  # what is said stands
    assert inferred(given) == (given, [])
    assert inferred({"data": {"name": "hierarchy"}})[1] == []


# -- runs ------------------------------------------------------------------------------------------


def test_runs_are_listed_with_what_is_known(runs: Path) -> None:
    rows = {Path(row["run"]).name: row for row in map(overview, runs_in(runs))}
    assert list(rows) == ["four", "one", "three", "two"]
    assert rows["one"]["state"] == "trained"
    assert rows["three"]["state"] == "not begun"
    assert rows["four"]["state"].startswith("damaged: ")
    assert rows["two"]["connectivity"] == "acn"
    assert rows["one"]["validation"] == pytest.approx(
        json.loads((runs / "one" / "metrics.jsonl").read_text().splitlines()[-1])["validation"]
    )
    assert all(tuple(row) == COLUMNS for row in rows.values())


class Look(ac.Hook):
    """What ``acn runs`` says of a run before each of its epochs."""

    def __init__(self, run: Path) -> None:
        self.run, self.seen = run, list[dict[str, Any]]()

    def before_epoch(self, net: Any, epoch: int, epochs: int, steps: int) -> None:
        self.seen.append(overview(self.run))


def watched(runs: Path, run: Path) -> tuple[Look, Any, tuple[torch.Tensor, torch.Tensor]]:
    """A hook that looks at a run, and a small network and data to train there."""
    (run / "config.yaml").write_bytes((runs / "three" / "config.yaml").read_bytes())
    net = ac.models.MLP(depth=1, width=4, classes=3, image_size=2, channels=1)
    return Look(run), net, (torch.randn(4, 1, 2, 2), torch.arange(4) % 3)


def test_a_run_in_its_first_epoch_is_not_damaged(runs: Path, tmp_path: Path) -> None:
    look, net, data = watched(runs, tmp_path)
    ac.fit(net, data, hooks=[look], run=tmp_path, epochs=1, progress=False)
    assert look.seen[0]["state"] == "stopped or running, epoch 0 of 1"
    assert look.seen[0]["data"] == "digits"


def test_the_last_score_is_told_with_its_epoch(runs: Path, tmp_path: Path) -> None:
    look, net, data = watched(runs, tmp_path)
    config = ac.FitConfig(epochs=4, evaluate_every=2)
    found = ac.fit(net, data, data, config, hooks=[look], run=tmp_path, progress=False)
    assert [row["validation"] for row in look.seen[:2]] == [None, None]
    assert {row["validation"] for row in look.seen[2:]} == {found.history[1]["validation"]}
    assert look.seen[2]["state"] == "stopped or running, epoch 2 of 1"
    assert look.seen[3]["state"] == "stopped or running, epoch 3 of 1, scored after epoch 2"


@pytest.mark.parametrize(
    ("words", "kept"),
    [
        (None, ["four", "one", "three", "two"]),
        ("epochs >= 1 and connectivity = acn", ["two"]),
        ("depth < 2", []),
        ("validation > 0", ["one", "two"]),
        ("state != trained", ["four", "three"]),
    ],
)
def test_conditions(words: str | None, kept: list[str], runs: Path) -> None:
    allowed = condition(words)
    found = [Path(row["run"]).name for row in map(overview, runs_in(runs)) if allowed(row)]
    assert found == kept


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("test", "is not a condition"),
        ("tests > 1", "'tests' is not a column of a run"),
        ("__import__('os') > 1", "is not a condition"),
        ("depth > many", "'many' is not a number"),
    ],
)
def test_wrong_conditions(words: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said.replace("(", r"\(")):
        condition(words)({"depth": 2})


def test_two_runs_side_by_side(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", str(runs / "one"), str(runs / "two"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["settings"]["fit.lr"] == [0.001, 0.01]
    assert "fit.epochs" not in found["settings"]
    assert main(["compare", str(runs / "one"), str(runs / "one")]) == 0
    assert "All settings are the same." in capsys.readouterr().out


def test_advice_can_be_followed_on_the_command_line(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = str(runs / "one")
    assert main(["probe", one, "--data.name", "digits", "--data.image_size", "16"]) == 2
    assert "data.image_size 8 and data.channels 1 convert" in capsys.readouterr().err
    (tmp_path / "mine").write_text("")
    for verb in (["cut", one, "--depth", "1"], ["export", one]):
        place = tmp_path if verb[0] == "cut" else tmp_path / "net.onnx"
        (tmp_path / "net.onnx").touch()
        assert main([*verb, "--output", str(place)]) == 2
        assert "choose another name (in Python, overwrite=True" in capsys.readouterr().err


def test_names_of_runs_are_shown_as_they_are(
    runs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(runs)
    Path("a_b[bold]").symlink_to("one")
    assert main(["compare", "a_b[bold]", "two"]) == 0
    assert capsys.readouterr().out.count("a_b[bold]") == 2
    Path("a_b[bold]").unlink()


@pytest.mark.parametrize(
    ("model", "words", "warned"),
    [
        ("run", "", False),  # the division of the run
        ("run", "--data.name digits --data.train_limit 100", False),  # the same in words
        ("run", "--data.name digits --data.train_limit 100 --data.seed 4", True),
        ("run", "--data.name digits", True),  # the run had fewer images
        ("run", "--data.name digits --split test", False),  # no part of train
        ("alone", "--data.name digits --data.train_limit 100", True),  # no run can tell
        ("alone", "--data.name doubling --split train", False),
    ],
)
def test_validation_that_the_network_may_know(
    model: str, words: str, warned: bool, runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    alone = runs.parent / "alone"
    if not alone.exists():
        ac.save(ac.load(runs / "one" / "model"), alone)
    path = {"run": runs / "one", "alone": alone}[model]
    main(["probe", str(path), *words.split(), "--json"])
    assert ("trained on some of them" in capsys.readouterr().err) == warned


def test_loading_a_run_says_where_its_network_is(runs: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no config\.json; saved networks are in .*model$"):
        ac.load(runs / "one")


def test_no_folder_of_runs(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="is not a folder"):
        runs_in(tmp_path / "none")


def test_the_compiler_has_limited_time() -> None:
    from autocompress.commands.doctor import compiled

    begin = time.perf_counter()
    check = compiled("cpu", 0.2)
    assert time.perf_counter() - begin < 5
    assert check.found.startswith("not finished after 0 s")
    assert check.fix == ""
    check = compiled("nonsense", 60)
    assert check.found.startswith("fails: RuntimeError")
    assert "g++" in check.fix or "triton" in check.fix


def test_doctor_says_what_to_mend(capsys: pytest.CaptureFixture[str]) -> None:
    from autocompress.commands.doctor import Check, failure_of

    def broken() -> None:
        raise RuntimeError("operator torchvision::nms does not exist\nand more")

    assert failure_of(broken) == "RuntimeError: operator torchvision::nms does not exist"
    assert failure_of(lambda: None) == ""
    assert Check("torch", "2.13").fix == ""


def test_a_network_of_zeros_cannot_be_pruned(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    net = ac.models.MLP(depth=2, width=8, classes=3, image_size=2, channels=1)
    ac.prune(net, 1.0)
    ac.save(net, tmp_path / "zeros")
    assert main(["prune", str(tmp_path / "zeros"), "--share", "0.5"]) == 2
    said = capsys.readouterr().err
    assert "all weights in the blocks' matrices are zero already: nothing is left" in said
    assert "above 1" not in said


def test_texts_for_a_network_of_pictures_are_refused_in_plain_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    net = ac.models.MLP(depth=2, width=8, classes=2, image_size=2, channels=1)
    net.task = "image"
    ac.save(net, tmp_path / "net")
    (tmp_path / "a.csv").write_text("text,label\na tea,good\na cake,bad\n")
    words = ["probe", str(tmp_path / "net"), "--data.name", str(tmp_path / "a.csv")]
    assert main(words) == 2
    assert "takes pictures, and" in capsys.readouterr().err
