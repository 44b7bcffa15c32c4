"""``acn export`` to a folder and ``acn bench``, as commands."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import autocompress as ac
from autocompress.cli import main


def saved(folder: Path) -> str:
    net = ac.models.MLP(depth=3, width=8, classes=2, image_size=2, channels=1)
    net.class_names = ["dark", "bright"]
    net.preprocess = ac.data.ImageInput(size=(2, 2), channels=1).to_json()
    ac.save(net, folder)
    ac.ExitRecord(ac.ExitRule.uniform("margin", [1, 3], 0.4), classes=2).save(folder)
    return str(folder)


def test_the_exits_beside_the_network_choose_the_depths(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, out = saved(tmp_path / "net"), tmp_path / "out"
    words = ["export", model, "--raw", "--format", "pt2", "--output", str(out), "--json"]
    assert main(words) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["depths"] == [1, 3]
    assert said["max_abs_difference"] < 1e-6
    written = json.loads((out / "export.json").read_text())
    assert written["source"] == "net"
    assert written["classes"] == ["dark", "bright"]
    assert written["exits"]["criterion"] == "margin"
    assert (out / "cascade.py").read_text().startswith('"""Run an exported network')
    assert main(words) == 2
    assert "not empty" in capsys.readouterr().err


def run_with(folder: Path, exits: bool) -> str:
    """A run whose network of 3 layers was cut to 1."""
    saved(folder / "model")
    if not exits:
        (folder / "model" / "exits.json").unlink()
    ac.save(ac.cut(ac.load(folder / "model"), 1), folder / "small")
    (folder / "config.yaml").write_text("data: {name: digits}\n")
    return str(folder)


@pytest.mark.parametrize(
    ("words", "exits", "network", "depth"),
    [
        ([], False, "small", 1),
        (["--whole"], False, "model", 3),
        ([], True, "small", 1),  # a file has no exits
    ],
)
def test_of_a_run_the_smaller_network_is_exported(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    exits: bool,
    network: str,
    depth: int,
) -> None:
    run, out = run_with(tmp_path / "run", exits), str(tmp_path / "net.pt2")
    assert main(["export", run, "--output", out, *words, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["network"] == str(tmp_path / "run" / network)
    assert said["depth"] == depth


def test_an_export_says_which_network_of_the_run_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, out = run_with(tmp_path / "run", exits=False), str(tmp_path / "net.pt2")
    assert main(["export", run, "--output", out]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == f"network: {run}/small, 1 layer (--whole takes {run}/model)"
    assert main(["export", f"{run}/small", "--output", str(tmp_path / "b.pt2")]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"network: {run}/small, 1 layer"


def test_bench_as_a_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = saved(tmp_path / "net")
    words = ["bench", model, "--formats", "eager", "--batch_sizes", "2", "--seconds", "0.2"]
    assert main([*words, "--depths", "1", "3", "--json"]) == 0
    out = capsys.readouterr()
    assert "depth 1, eager: make it\n" in out.err
    said = json.loads(out.out)
    assert [(row["depth"], row["format"]) for row in said["rows"]] == [(1, "eager"), (3, "eager")]
    assert said["rows"][0]["score"] is None
    assert main([*words[:2], "--formats", "onxn"]) == 2
    assert "did you mean 'onnx'" in capsys.readouterr().err
