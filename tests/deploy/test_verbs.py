"""``acn export`` to a folder and ``acn bench``, as commands."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

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


@pytest.mark.parametrize(
    ("depths", "words"),
    [
        (["1", "3"], ""),
        (["2", "3"], "exits at depths 1, which are not exported: no example leaves early"),
    ],
)
def test_exits_that_are_not_exported_are_named(
    depths: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = saved(tmp_path / "net")
    out = ["--format", "pt2", "--output", str(tmp_path / "out")]
    assert main(["export", model, "--depths", *depths, *out]) == 0
    printed = capsys.readouterr().out
    assert ("not exported" in printed) == bool(words)
    assert words in printed


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


def test_a_format_that_would_not_be_written_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, file = saved(tmp_path / "net"), tmp_path / "net.pt2"
    assert main(["export", model, "--output", str(file), "--format", "onnx"]) == 2
    assert "--output NAME.onnx" in capsys.readouterr().err
    assert not file.exists()
    assert main(["export", model, "--output", str(file), "--format", "pt2"]) == 0
    assert file.exists()


@pytest.mark.parametrize("raw", [["--raw"], []])
def test_a_network_in_half_precision_is_exported_with_a_larger_tolerance(
    raw: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    torch.manual_seed(0)
    net = ac.models.MLP(depth=3, width=64, classes=2, image_size=8, channels=1)
    net.preprocess = ac.data.ImageInput(size=(8, 8), channels=1).to_json()
    ac.save(net.half(), tmp_path / "half")
    words = ["export", str(tmp_path / "half"), "--output", str(tmp_path / "out"), *raw]
    assert main([*words, "--tolerance", "1e-9"]) == 2
    assert "tolerance is 1e-09" in capsys.readouterr().err
    assert main([*words, "--tolerance", "0.01"]) == 0


@pytest.fixture
def timm_net(tmp_path: Path) -> Path:
    timm = pytest.importorskip("timm", reason="needs the extra timm")
    own = {"img_size": 32, "patch_size": 16, "embed_dim": 8, "depth": 1, "num_heads": 1}
    net = ac.convert(timm.create_model("vit_tiny_patch16_224", **own, num_classes=2).eval(), "acn")
    ac.save(net, tmp_path / "timm")
    return tmp_path / "timm"


@pytest.mark.parametrize(
    "words", [["--format", "pt2"], ["--tolerance", "0.01"], ["--data.name", "digits"]]
)
def test_a_folder_of_another_library_has_no_graphs(
    words: list[str], timm_net: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert main(["export", str(timm_net), "--output", str(out), *words]) == 2
    assert f"{words[0].split('.')[0]} is for a folder of graphs" in capsys.readouterr().err
    assert not out.exists()


def test_export_json_says_how_pictures_come_to_their_size(timm_net: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    words = ["export", str(timm_net), "--depths", "1", "--format", "pt2", "--output", str(out)]
    assert main(words) == 0
    said = json.loads((out / "export.json").read_text())["preprocess"]
    assert said["crop"] == 0.9
    assert {k: said[k] for k in ("fit", "resize", "interpolation", "size")} == {
        "fit": "center",
        "resize": True,
        "interpolation": "bicubic",
        "size": [32, 32],
    }


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


def test_layers_that_cannot_be_kept_are_named_with_the_option_that_works(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = saved(tmp_path / "net")
    for layers, words in (("[0, 2]", "give a depth (--depth 2;"), ("[0, 9]", "layer 9 is out of")):
        assert main(["cut", model, "--layers", layers, "--output", str(tmp_path / "cut")]) == 2
        assert words in capsys.readouterr().err
