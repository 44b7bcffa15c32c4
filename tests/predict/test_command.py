"""``acn predict``."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

import autocompress as ac
from autocompress.cli import main
from autocompress.data import DataConfig
from autocompress.predict.predictor import model_folder
from autocompress.predict.spoken import STDIN
from texts import write_sentences

SIZE = 4


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of pictures: black ones and white ones, which a fixed network tells apart."""
    torch.manual_seed(0)
    net = ac.models.MLP(depth=2, width=4, classes=3, image_size=SIZE, channels=1)
    net.class_names = ["night", "fog", "snow"]
    net.preprocess = ac.data.ImageInput(size=(SIZE, SIZE), channels=1).to_json()
    run = tmp_path_factory.mktemp("run")
    ac.save(net, run / "model")
    pictures = run / "pictures"
    pictures.mkdir()
    for name, level in [("a", 0), ("b", 255)]:
        Image.new("L", (SIZE, SIZE), level).save(pictures / f"{name}.png")
    (pictures / "notes.md").write_text("no picture")
    return run


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("tokenizers")
    home = tmp_path_factory.mktemp("texts")
    data = ac.load_data(
        DataConfig(name=str(write_sentences(home, 60)), task="text-classification", length=48)
    )
    net = ac.models.Encoder(depth=1, width=8, heads=1, **data.arguments)
    data.meaning.tell(net)
    ac.save(net, home / "net")
    return home / "net"


def acn(*words: Any) -> int:
    return main(["predict", *map(str, words)])


def lines(capsys: pytest.CaptureFixture[str]) -> tuple[list[str], list[str]]:
    said = capsys.readouterr()
    return said.out.splitlines(), said.err.splitlines()


def feed(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))


def test_one_line_per_input(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert acn(folder, folder / "pictures", folder / "pictures" / "a.png", "--top", 2) == 0
    out, err = lines(capsys)
    assert [line.split(": ")[0][-5:] for line in out] == ["a.png", "b.png", "a.png"]
    assert out[0] == out[2]
    assert out[0].count(" %") == 2
    assert not err


def test_json_has_an_object_per_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    broken = folder / "broken.png"
    broken.write_bytes(b"")
    assert acn(folder / "model", folder / "pictures" / "a.png", broken, "--json") == 1
    out, err = lines(capsys)
    good, bad = map(json.loads, out)
    wanted = ac.load(folder / "model").predict(folder / "pictures" / "a.png", top=3)
    assert (good["label"], good["error"]) == (wanted.label, None)
    assert good["top"] == [list(guess) for guess in wanted.top]
    assert bad["label"] is None
    assert "0 bytes" in bad["error"]
    assert err == [f"acn: error: {broken} is empty: it has 0 bytes"]


def test_nothing_answered_is_status_2(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert acn(folder, folder / "pictures" / "c.png") == 2
    out, err = lines(capsys)
    assert not out
    assert len(err) == 1
    assert "did you mean" in err[0]
    assert acn(folder, folder / "no.png", folder / "nor.png") == 2
    out, err = lines(capsys)
    assert len(err) == 3
    assert "none of the 2 inputs" in err[2]
    assert acn(folder) == 2
    assert "inputs is missing" in lines(capsys)[1][0]
    assert acn(folder / "pictures", "a.png") == 2
    assert "no saved network" in lines(capsys)[1][0]


def test_a_bad_file_in_a_folder_is_told(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mixed = folder / "mixed"
    mixed.mkdir()
    (mixed / "a.png").write_bytes(b"nothing")
    Image.new("L", (SIZE, SIZE)).save(mixed / "b.png")
    assert acn(folder, mixed) == 1
    out, err = lines(capsys)
    assert len(out) == 1
    assert len(err) == 1
    assert "a.png cannot be decoded" in err[0]


def test_a_picture_on_standard_input(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    picture = folder / "pictures" / "b.png"
    feed(monkeypatch, picture.read_bytes())
    assert acn(folder, picture, STDIN) == 0
    first, second = lines(capsys)[0]
    assert second == first.replace(str(picture), "standard input")
    feed(monkeypatch, b"")
    assert acn(folder, STDIN) == 2


def test_texts_are_words_files_and_standard_input(
    texts: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "some.txt").write_text("good film\n\n  \ndull plot\n")
    feed(monkeypatch, b"good film\ndull plot\n")
    assert acn(texts, "good film", tmp_path / "some.txt", STDIN, "dull plot") == 0
    out, _ = lines(capsys)
    assert len(out) == 6
    assert out[0] == out[1] == out[3]
    assert out[2] == out[4] == out[5]


def test_bad_texts(texts: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = folder / "pictures" / "a.png"
    assert acn(texts, picture) == 2
    assert "not a .txt file; this network takes texts" in lines(capsys)[1][0]
    assert acn(texts, "good film " * 60, "good") == 0
    out, err = lines(capsys)
    assert len(out) == 2
    assert len(err) == 1
    assert "was cut to 48, as in training" in err[0]


def test_leaving_early(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert acn(folder, folder / "pictures", "--exit-below", 9.9) == 0
    assert all("(depth 1)" in line for line in lines(capsys)[0])
    assert acn(folder, folder / "pictures", "--exit") == 2
    assert "--exit-below 0.4" in lines(capsys)[1][0]


def test_a_converted_network_leaves_early(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    timm = pytest.importorskip("timm")
    options = {"img_size": 16, "patch_size": 8, "embed_dim": 8, "depth": 2, "num_heads": 2}
    net = ac.convert(timm.create_model("vit_tiny_patch16_224", num_classes=3, **options))
    net.preprocess = ac.data.ImageInput(size=(16, 16), channels=3, resize=True).to_json()
    ac.save(net, tmp_path / "net")
    assert acn(tmp_path / "net", folder / "pictures", "--exit-below", 9.9) == 0
    assert all("(depth 1)" in line for line in lines(capsys)[0])
    rule = ac.ExitRule.uniform("margin", [1, 2], 1.0)
    ac.ExitRecord(rule, classes=3).save(tmp_path / "net")
    assert acn(tmp_path / "net", folder / "pictures", "--exit") == 0
    assert all("(depth 2)" in line for line in lines(capsys)[0])


def test_exit_is_calibrated_on_the_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    words = ["--data.train_limit", "60", "--model.depth", "2", "--model.width", "8"]
    words += ["--model.name", "mlp", "--fit.epochs", "1", "--output", str(run)]
    assert main(["train", *words]) == 0
    image = ac.load_data(DataConfig(train_limit=60)).test.images[0, 0]
    Image.fromarray(image.numpy()).save(tmp_path / "one.png")
    capsys.readouterr()
    assert acn(run, tmp_path / "one.png", "--exit", "--json") == 0
    (out,) = lines(capsys)[0]
    assert json.loads(out)["depth"] in (1, 2)
    assert json.loads(out)["label"] in map(str, range(10))


def test_exit_takes_the_network_of_the_run_that_has_exits(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    net = ac.load(folder / "model")
    ac.save(net, run / "model")
    ac.save(ac.cut(net, 1), run / "small")
    rule = ac.ExitRule.uniform("probability", depths=[1, 2], threshold=1.0)  # nobody leaves early
    ac.ExitRecord(rule, classes=3).save(run / "model")
    picture = folder / "pictures" / "a.png"
    assert acn(run, picture, "--exit") == 0
    assert lines(capsys)[0][0].endswith("(depth 2)")
    assert model_folder(run) == run / "small"
    ac.ExitRecord(ac.ExitRule.uniform("margin", [1], 0.5), classes=3).save(run / "small")
    assert model_folder(run, exits=True) == run / "small"


# -- folders: nothing is lost in silence -----------------------------------------------------------


def test_everything_in_a_folder_is_answered_or_told(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked, elsewhere = tmp_path / "asked", tmp_path / "elsewhere"
    (asked / ".hidden").mkdir(parents=True)
    elsewhere.mkdir()
    for path in (asked / "b.PNG", asked / ".hidden" / "x.png", elsewhere / "a.png"):
        Image.new("L", (SIZE, SIZE)).save(path)
    (asked / "notes.txt").write_text("no picture")
    (asked / "linked").symlink_to(elsewhere, target_is_directory=True)
    assert acn(folder, asked) == 0
    out, err = lines(capsys)
    ends = [line.split(": ")[0].partition("/asked/")[2] for line in out]  # long names are cut
    assert ends == ["b.PNG", "linked/a.png"]
    assert not err
    (asked / "c.png").symlink_to(tmp_path / "nowhere.png")
    (asked / "d.HEIC").write_bytes(b"x")
    assert acn(folder, asked) == 1
    out, err = lines(capsys)
    assert len(out) == 2
    assert err == [
        f"acn: error: {asked}/c.png is a link to nothing; remove it",
        f"acn: error: {asked}/d.HEIC is a picture of a kind that is not supported; convert it to "
        ".png or .jpg",
    ]


def test_every_text_in_a_folder_is_answered_or_told(
    texts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = tmp_path / "asked"
    (asked / "more").mkdir(parents=True)
    (asked / "a.TXT").write_text("good film\n")
    (asked / "more" / "b.txt").write_text("dull plot\nfine\n")
    assert acn(texts, asked) == 0
    assert len(lines(capsys)[0]) == 3
    (asked / "c.txt").symlink_to(tmp_path / "nowhere.txt")
    assert acn(texts, asked) == 1
    out, err = lines(capsys)
    assert len(out) == 3
    assert err == [f"acn: error: {asked}/c.txt is a link to nothing; remove it"]
