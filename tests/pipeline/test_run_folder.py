"""A run folder: one writer, leftovers of killed runs, settings compared by value, damage."""

from __future__ import annotations

import json
import shutil
import sys
import threading
from pathlib import Path

import pytest
import yaml

import autocompress as ac
from autocompress.cli import main
from autocompress.io.lock import locked
from autocompress.io.temporary import temporary_name
from toy import remove_onnx, same, weights

TINY = [
    *("--model.name", "mlp", "--model.depth", "2", "--model.width", "8"),
    *("--fit.epochs", "2", "--fit.warmup_epochs", "0", "--data.train_limit", "200"),
]


def acn(*words: object) -> int:
    return main([str(word) for word in words])


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "run"
    with pytest.MonkeyPatch.context() as patch:
        remove_onnx(patch)
        assert acn("compress", *TINY, "--rivals", "false", "--output", folder) == 0
    return folder


@pytest.fixture
def copy(run: Path, tmp_path: Path) -> Path:
    shutil.copytree(run, tmp_path / "copy")
    return tmp_path / "copy"


@pytest.mark.parametrize("verb", ["train", "compress", "stream", "reproduce"])
def test_a_second_writer_is_told_who_is_first(
    verb: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    held, over = threading.Event(), threading.Event()

    def hold() -> None:
        with locked(tmp_path / "run"):
            held.set()
            over.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    words = [*TINY, "--output"] if verb != "reproduce" else ["depth", "--preset", "smoke", "--out"]
    try:
        assert acn(verb, *words, tmp_path / "run") == 2
    finally:
        over.set()
        thread.join()
    assert "is being written by another thread" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def dead(path: Path) -> Path:
    """A temporary of a process that is no more, as no process has such a number."""
    name = temporary_name(path)
    host, _, token = name.name.removesuffix(path.suffix).split(".")[-2].split("-")
    return name.with_name(f".{path.stem}.{host}-{2**22 + 1}-{token}.tmp{path.suffix}")


def test_leftovers_of_killed_runs_are_no_run_and_go(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    (folder / "checkpoints").mkdir(parents=True)
    shutil.rmtree(folder / "checkpoints")
    (folder / "lock").write_text('{"process": 1}')
    dead(folder / "config.yaml").write_text("data:")
    assert acn("train", *TINY, "--output", folder) == 0
    trained = weights(ac.load(folder / "model"))
    shutil.rmtree(folder / "model")
    orphan = dead(folder / "checkpoints" / "epoch-0003")
    orphan.mkdir()
    (orphan / "state.pt").write_bytes(b"half")
    dead(folder / "model").mkdir()
    words = ["--config", folder / "config.yaml", "--output", folder, "--resume", "true"]
    assert acn("train", *words) == 0
    assert same(trained, weights(ac.load(folder / "model")))
    assert not [path for path in folder.rglob("*") if ".tmp" in path.name or path.name == "lock"]


def test_settings_are_compared_by_value(
    copy: Path, no_onnx: None, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = copy / "config.yaml"
    settings = yaml.safe_load(kept.read_text())
    del settings["fit"]["layer_drop_grows"], settings["select"], settings["heal"]
    settings["fit"]["betas"] = [9e-1, 0.9990]
    kept.write_text(yaml.safe_dump(settings, sort_keys=True))  # an earlier version wrote it so
    (copy / "sealed.json").unlink()
    words = ["compress", "--rivals", "false", "--output", copy, "--resume", "true"]
    assert acn(*words, *TINY) == 0
    capsys.readouterr()
    assert acn(*words, *TINY, "--fit.lr", "0.5", "--select.layers", "1") == 2
    errors = capsys.readouterr().err
    assert "fit.lr: 0.001 -> 0.5" in errors
    assert "select: nothing -> " in errors


# -- damage ----------------------------------------------------------------------------------------


def flipped(text: bytes, at: int) -> bytes:
    return text[:at] + bytes([text[at] ^ 1]) + text[at + 1 :]


METRICS = {
    "a line less": lambda t: t[: t.index(b"\n") + 1],
    "a line twice": lambda t: t + t.splitlines(keepends=True)[-1],
    "lines in another order": lambda t: b"".join(reversed(t.splitlines(keepends=True))),
    "cut": lambda t: t[: len(t) - 20],
    "nothing": lambda t: b"",
    "another digit": lambda t: flipped(t, t.index(b'"seconds": ') + 11),
    "another epoch": lambda t: t.replace(b'"epoch": 2', b'"epoch": 3'),
    "a list": lambda t: b"[1]\n[2]\n",
    "no text": lambda t: b"\xff\xfe" + t,
    "NaN": lambda t: t.replace(b'"loss": ', b'"loss": NaN, "x": '),
    "deep": lambda t: b"[" * 100_000,
}


@pytest.mark.parametrize("sealed", [True, False], ids=["sealed", "before seals"])
@pytest.mark.parametrize("damage", list(METRICS))
def test_damaged_metrics_are_an_error(
    damage: str, sealed: bool, copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Runs of before there were seals are held to their form: all but a digit is seen there too."""
    path = copy / "metrics.jsonl"
    path.write_bytes(METRICS[damage](path.read_bytes()))
    if not sealed:
        if damage in ("another digit", "a line less"):
            pytest.skip("what nobody noted nobody can see")
        (copy / "sealed.json").unlink()
    words = ["--config", copy / "config.yaml", "--output", copy, "--resume", "true"]
    assert acn("train", *words) == 2
    errors = capsys.readouterr().err
    assert "metrics.jsonl" in errors
    assert "Traceback" not in errors


@pytest.mark.parametrize("name", ["config.yaml", "report.json", "sealed.json"])
@pytest.mark.parametrize("verb", ["report", "probe", "exit", "compress", "train"])
def test_damaged_files_of_a_run_are_an_error_or_change_nothing(
    name: str, verb: str, copy: Path, no_onnx: None, capsys: pytest.CaptureFixture[str]
) -> None:
    path, text = copy / name, (copy / name).read_text()
    fields = {"config.yaml": "seed: 0", "report.json": '"selected": ', "sealed.json": '"sha256": "'}
    at = text.index(fields[name]) + len(fields[name]) - (name == "config.yaml")
    path.write_bytes(flipped(text.encode(), at))
    others = {"compress": [*TINY, "--rivals", "false"], "train": []}
    words: list[object] = [verb, copy, *(["--clock", "false"] if verb == "exit" else [])]
    if verb in others:
        words = [verb, "--config", copy / "config.yaml", "--output", copy, "--resume", "true"]
    status, errors = acn(*words), capsys.readouterr().err
    if name != "report.json" or verb == "report":  # the only verb that reads it
        assert status == 2
        assert "altered" in errors or "damaged" in errors
    else:
        assert status == 0
    assert "Traceback" not in errors


def test_the_seal_counts_what_it_seals(run: Path) -> None:
    files = json.loads((run / "sealed.json").read_text())["files"]
    assert set(files) == {"config.yaml", "metrics.jsonl", "report.json"}
    assert files["metrics.jsonl"]["records"] == 2
    assert {"epoch", "loss", "depths", "seconds"} <= set(files["metrics.jsonl"]["keys"])
    assert "autocompress" in sys.modules
