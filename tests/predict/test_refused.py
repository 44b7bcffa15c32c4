"""What cannot be answered gets one line that says what to do; the rest is answered."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import autocompress as ac
from autocompress.cli import main
from autocompress.errors import ConfigError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    net = ac.models.MLP(depth=1, width=4, classes=2, image_size=4, channels=1)
    net.class_names = ["dark", "bright"]
    net.preprocess = ac.data.ImageInput(size=(4, 4), channels=1).to_json()
    ac.save(net, tmp_path / "net")
    Image.new("L", (4, 4)).save(tmp_path / "black.png")
    (tmp_path / "lost.png").symlink_to(tmp_path / "gone.png")
    return tmp_path


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("lost.png", "is a link to a file that does not exist"),
        ("blak.png", "does not exist; did you mean 'black.png'?"),
        ("holiday.jpeg", "does not exist; this network takes pictures"),
    ],
)
def test_files_that_are_not_there(folder: Path, name: str, words: str, capsys: Any) -> None:
    black = str(folder / "black.png")
    assert main(["predict", str(folder / "net"), str(folder / name), black]) == 1
    out, errors = capsys.readouterr()
    assert "black.png: " in out
    (line,) = errors.splitlines()
    assert line.endswith(words)  # and no list of the folder's other files


def test_an_address_is_not_fetched(folder: Path, capsys: Any, no_network: list[Any]) -> None:
    assert main(["predict", str(folder / "net"), "https://example.org/black.png"]) == 2
    assert "nothing is fetched, so download the picture first" in capsys.readouterr().err
    assert no_network == []


@pytest.mark.parametrize(("name", "words"), [("m.onnx", "an ONNX file"), ("black.png", "a file;")])
def test_a_file_is_no_model(folder: Path, name: str, words: str, capsys: Any) -> None:
    (folder / "m.onnx").write_bytes(b"\x08\x07")
    assert main(["predict", str(folder / name), str(folder / "black.png")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert words in line
    assert "expected the folder of a run or of a saved network" in line


def test_answers_for_tokens_are_none_of_predicts() -> None:
    transformers = pytest.importorskip("transformers")
    config = transformers.BertConfig(
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=1,
        intermediate_size=8,
        vocab_size=9,
    )
    net = ac.convert(transformers.BertForTokenClassification(config))
    with pytest.raises(ConfigError, match=r"\(BertForTokenClassification\) answers for each token"):
        ac.Predictor(net)
