"""What cannot be answered gets one line that says what to do; the rest is answered."""

from __future__ import annotations

import io
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, features

import autocompress as ac
from autocompress.cli import main
from autocompress.data.decode import ImageDecoder
from autocompress.errors import ConfigError, DataError


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


@pytest.mark.parametrize("name", ["pictures.parquet", "pictures.CSV", "pictures.jsonl"])
def test_a_table_of_pictures_is_called_a_table(folder: Path, name: str, capsys: Any) -> None:
    (folder / name).write_bytes(b"PAR1")
    assert main(["predict", str(folder / "net"), str(folder / name)]) == 2
    said = capsys.readouterr().err
    assert f"{name} is a table; this network takes files of pictures" in said
    assert "ac.Predictor(RUN)(table['image'])" in said


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP", "TIFF", "PPM", "WEBP"])
def test_a_picture_that_was_cut_short_is_refused_unless_no_pixel_is_missing(kind: str) -> None:
    if kind == "WEBP" and not features.check("webp"):
        pytest.skip("this Pillow has no WebP")
    noise = np.random.default_rng(0).integers(256, size=(40, 40, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).save(file, kind)
    data, decoder = file.getvalue(), ImageDecoder(3, 40, 40, resize=True)
    whole, _ = decoder.single({"bytes": data, "path": None}, "it")
    answered = []
    for missing in (1, 4, 12, 20, 21, 30, 100, len(data) // 2):
        with suppress(DataError):
            found, _ = decoder.single({"bytes": data[:-missing], "path": None}, "it")
            answered.append(missing)
            assert torch.equal(found, whole), missing
    # a PNG ends with 20 bytes that are no pixels, its checksum and its end mark; a GIF with one
    assert answered == {"PNG": [1, 4, 12, 20], "GIF": [1]}.get(kind, [])


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


def test_a_size_that_the_network_does_not_take_is_refused_before_a_picture_is_resized(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def decode(*_: Any) -> None:
        raise AssertionError("a picture was decoded")

    monkeypatch.setattr(ImageDecoder, "single", decode)
    net = ac.load(folder / "net")
    for said in ({"size": [16384, 16384]}, {"size": [4, 5]}, {"channels": 3}):
        net.preprocess = ac.data.ImageInput(size=(4, 4), channels=1).to_json() | said
        with pytest.raises(ConfigError, match=r"do not fit this network: .*takes \(batch, 1, 4, 4"):
            ac.Predictor(net)(folder / "black.png")


def test_a_network_of_pictures_of_any_size_keeps_the_size_that_it_records() -> None:
    class AnySize(ac.models.MLP):
        """Its stem takes the mean of what it gets."""

        def __init__(self) -> None:
            super().__init__(depth=1, width=4, classes=2, image_size=4, channels=1)
            stem = self.stem
            self.stem = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(4), stem)

    net = AnySize()
    net.preprocess = ac.data.ImageInput(size=(6, 8), channels=1).to_json()
    assert ac.Predictor(net)(Image.new("L", (8, 6))).label in ("0", "1")
