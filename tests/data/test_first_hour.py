"""What a user's own files look like at first: broken, oddly named, in folders of texts."""

from __future__ import annotations

from pathlib import Path

import pytest
from datasets import Dataset
from PIL import Image

import autocompress as ac
from autocompress.cli import main
from autocompress.data import DataConfig, load_data
from autocompress.data.guessing import task_of
from autocompress.errors import DataError, UnknownNameError
from autocompress.pipeline import RunConfig, resolve
from autocompress.pipeline.inferring import inferred


def pictures(root: Path, count: int = 8, size: int = 6) -> Path:
    for number, kind in enumerate(("cat", "dog", "emu")):
        (root / kind).mkdir(parents=True)
        for index in range(count):
            level = (40 * number + index, index, 90)
            Image.new("RGB", (size, size), level).save(root / kind / f"{index}.png")
    return root


# -- broken examples -------------------------------------------------------------------------------


def test_all_bad_pictures_are_named_at_once(tmp_path: Path) -> None:
    root = pictures(tmp_path / "pets")
    (root / "cat" / "0.png").write_bytes(b"")  # the first one as well
    (root / "dog" / "3.png").write_bytes((root / "dog" / "3.png").read_bytes()[:40])
    Image.new("RGB", (7, 6)).save(root / "emu" / "5.png")
    with pytest.raises(DataError) as caught:
        load_data(DataConfig(name=str(root)))
    said = str(caught.value).splitlines()
    assert said[0].startswith("3 of 24 images cannot be used; --data.skip_broken true leaves out")
    assert said[1::3] == ["2 cannot be read:", "1 have another size or colour:"]
    assert "cat/0.png" in said[2]
    assert "dog/3.png" in said[3]
    assert "emu/5.png" in said[5]
    assert "set data.image_size" in said[5]


def test_more_than_ten_are_counted(tmp_path: Path) -> None:
    root = pictures(tmp_path / "pets")
    for index in range(4):
        for kind in ("cat", "dog", "emu"):
            (root / kind / f"{index}.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match="12 of 24 images") as caught:
        load_data(DataConfig(name=str(root)))
    assert str(caught.value).splitlines()[-1] == "  and 2 more"
    assert len(str(caught.value).splitlines()) == 13


def test_broken_pictures_are_left_out_and_said(tmp_path: Path) -> None:
    root = pictures(tmp_path / "pets")
    (root / "cat" / "0.png").write_bytes(b"")
    (root / "emu" / "2.png").write_bytes(b"no picture")
    data = load_data(DataConfig(name=str(root), skip_broken=True))
    assert sum(data.sizes.values()) == 22
    (said,) = [note for note in data.description["remarks"] if "left out" in note]
    assert said == "2 of 24 examples of train left out (data.skip_broken): cat/0.png, emu/2.png"
    Image.new("RGB", (7, 6)).save(root / "emu" / "5.png")  # readable: not to be lost
    with pytest.raises(DataError, match="emu/5.png"):
        load_data(DataConfig(name=str(root), skip_broken=True))
    for file in (root / "dog").iterdir():
        file.write_bytes(b"no picture")
    with pytest.raises(DataError, match="no image of dog can be read"):
        load_data(DataConfig(name=str(root), skip_broken=True))


def test_broken_pictures_of_a_table(tmp_path: Path) -> None:
    import datasets

    root = pictures(tmp_path / "pets")
    cells = [{"bytes": p.read_bytes(), "path": None} for p in sorted(root.glob("*/*.png"))]
    cells[4] = {"bytes": b"no picture", "path": None}
    labels = [row // 8 for row in range(24)]
    features = datasets.Features({"image": datasets.Image(), "label": datasets.Value("int64")})
    rows = {"image": cells, "label": [None if row == 20 else x for row, x in enumerate(labels)]}
    datasets.Dataset.from_dict(rows, features=features).to_parquet(tmp_path / "pets.parquet")
    data = load_data(DataConfig(name=str(tmp_path / "pets.parquet"), skip_broken=True))
    assert sum(data.sizes.values()) == 22
    assert any("row 4 of train, row 20 of train" in note for note in data.description["remarks"])


def test_broken_pictures_and_missing_labels_are_told_together(tmp_path: Path) -> None:
    import datasets

    root = pictures(tmp_path / "pets")
    cells = [{"bytes": p.read_bytes(), "path": None} for p in sorted(root.glob("*/*.png"))]
    cells[4] = {"bytes": b"no picture", "path": None}
    features = datasets.Features({"image": datasets.Image(), "label": datasets.Value("int64")})
    rows = {"image": cells, "label": [None if row == 20 else row // 8 for row in range(24)]}
    datasets.Dataset.from_dict(rows, features=features).to_parquet(tmp_path / "pets.parquet")
    with pytest.raises(DataError) as caught:
        load_data(DataConfig(name=str(tmp_path / "pets.parquet")))
    first, *rest = str(caught.value).splitlines()
    assert first.startswith("2 of 24 rows cannot be used")
    assert rest == [
        "  row 4 of train has a picture that cannot be read",
        "  row 20 of train has no label in column 'label'",
    ]


def table(path: Path, more: str = "") -> Path:
    lines = [f'"film {n},\nand {n}",{("good", "bad")[n % 2]}' for n in range(40)]
    path.write_text("text,label\n" + "\n".join(lines) + "\n" + more)
    return path


def test_rows_of_a_table_are_named_by_their_lines(tmp_path: Path) -> None:
    """As an editor counts them: from 1, with the header, a row of several lines by its first."""
    text = {"task": "text-classification", "vocabulary": 60, "length": 12}
    file = table(tmp_path / "a.csv", '\n"no\nlabel",\nfine,good\n,bad\n')
    with pytest.raises(DataError, match=r"skip_broken(?s:.*)a\.csv line 83 has no label"):
        load_data(DataConfig(name=str(file), **text))
    data = load_data(DataConfig(name=str(file), **text, skip_broken=True))
    assert sum(data.sizes.values()) == 41
    (said,) = [note for note in data.description["remarks"] if "left out" in note]
    assert "line 83" in said
    assert "line 86" in said
    file = table(tmp_path / "b.csv", "fine,good\none,two,three\n")
    with pytest.raises(DataError, match=r"b\.csv line 83 has 3 cells"):
        load_data(DataConfig(name=str(file), **text))
    file = table(tmp_path / "c.csv", '"  ",good\n')
    with pytest.raises(DataError, match=r"c\.csv line 82"):
        load_data(DataConfig(name=str(file), **text))


def test_rows_without_a_text_and_without_a_label_are_told_together(tmp_path: Path) -> None:
    text = {"task": "text-classification", "vocabulary": 60, "length": 12}
    file = table(tmp_path / "a.csv", ",good\nfine,\n  ,\n")
    with pytest.raises(DataError) as caught:
        load_data(DataConfig(name=str(file), **text))
    first, *rest = str(caught.value).splitlines()
    assert first.startswith("3 of 43 rows cannot be used; fill the cells")
    assert "skip_broken" in first
    assert [line.split("a.csv ")[1] for line in rest] == [
        "line 82 has no text in column 'text'",
        "line 83 has no label in column 'label'",
        "line 84 has a text without a word in it and no label in column 'label'",
    ]
    file = table(tmp_path / "b.csv", ",good\n" * 12)
    with pytest.raises(DataError, match=r"12 of 52 rows(?s:.*)line 91 .*\n  and 2 more$"):
        load_data(DataConfig(name=str(file), **text))


# -- texts by class --------------------------------------------------------------------------------


def texts(root: Path, split: str = "") -> Path:
    for kind in ("good", "bad"):
        (root / split / kind).mkdir(parents=True)
        for index in range(12):
            (root / split / kind / f"{index}.txt").write_text(f"{kind} film\n\nnumber {index}")
    return root


def test_a_folder_of_texts_by_class(tmp_path: Path) -> None:
    plain, split = texts(tmp_path / "plain"), texts(tmp_path / "split", "train")
    texts(split, "test")
    (plain / "README.md").write_text("mine")
    for root in (plain, split):
        assert task_of(str(root)) == "text-classification"
        config = DataConfig(task="text-classification", name=str(root), vocabulary=60, length=12)
        data = load_data(config)
        assert data.classes == ["bad", "good"]
        assert sum(data.sizes.values()) == (24 if root is plain else 48)
    (plain / "good" / "latin.txt").write_bytes("schön".encode("latin1"))
    with pytest.raises(DataError, match=r"1 of 25 texts.*latin.txt is not UTF-8"):
        load_data(DataConfig(task="text-classification", name=str(plain)))
    (plain / "odd.txt").write_text("x")
    with pytest.raises(DataError, match="odd.txt.*beside the class folders"):
        load_data(DataConfig(task="text-classification", name=str(plain)))


def test_parquet_is_texts_if_it_has_words_and_no_images(tmp_path: Path) -> None:
    words, images = tmp_path / "words", tmp_path / "images"
    for root in (words, images):
        root.mkdir()
    rows = {"sentence": ["good film", "bad film"] * 12, "label": [1, 0] * 12, "idx": [*range(24)]}
    Dataset.from_dict(rows).to_parquet(words / "train.parquet")
    Dataset.from_dict(rows | {"img": [b"png"] * 24}).to_parquet(images / "train.parquet")
    for place in (words, words / "train.parquet"):
        assert task_of(str(place)) == "text-classification"
        assert load_data(str(place), length=8, vocabulary=60).sizes["test"] == 5
    for place in (images, images / "train.parquet"):
        assert task_of(str(place)) is None
    pictures(words, 1)  # which of them is meant is for the user to say
    assert task_of(str(words)) is None
    (tmp_path / "broken.parquet").write_bytes(b"PAR1")
    assert task_of(str(tmp_path / "broken.parquet")) is None


def test_what_is_no_folder_of_texts(tmp_path: Path) -> None:
    root = pictures(tmp_path / "pets", 1)
    (root / "cat" / "notes.txt").write_text("a cat")
    assert task_of(str(root)) is None
    (root / "captions").mkdir()
    (root / "captions" / "0.txt").write_text("a cat on a mat")
    assert task_of(str(root)) is None
    with pytest.raises(DataError, match="captions/ holds no image.*0.txt.*remove it"):
        load_data(DataConfig(name=str(root)))
    assert task_of(str(tmp_path / "nowhere")) is None
    (tmp_path / "tables").mkdir()
    table(tmp_path / "tables" / "train.csv")
    assert task_of(str(tmp_path / "tables")) == "text-classification"
    assert task_of("digits") is None


# -- names and places ------------------------------------------------------------------------------


def test_a_name_with_a_typo_says_what_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("shots", *map(str, range(12))):
        (tmp_path / name).mkdir()
    with pytest.raises(UnknownNameError) as caught:
        load_data(DataConfig(name="shotz"))
    said = "no such file or folder: 'shotz'; did you mean 'shots'? (nor is there a data set"
    assert str(caught.value).startswith(said)
    assert "11" not in str(caught.value)


def test_relative_paths_hold_in_another_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pictures(tmp_path / "here" / "pets")
    (tmp_path / "there").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    words = "train --data.name pets --model.name mlp --model.depth 1 --model.width 4"
    words += " --fit.epochs 1 --fit.batch_size 4 --output run --quiet"
    assert main(words.split()) == 0
    monkeypatch.chdir(tmp_path / "there")
    run = tmp_path / "here" / "run"
    assert main(["probe", str(run), "--quiet"]) == 0
    again = ["train", "--config", str(run / "config.yaml"), "--output", str(run), "--resume"]
    assert main([*again, "--quiet"]) == 0
    assert "trained" in capsys.readouterr().out
    assert '"name": "pets"' in (run / "data.json").read_text()


def test_weights_and_tokenizers_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    net = ac.models.MLP(depth=1, width=4, classes=10, image_size=8, channels=1)
    ac.save(net, "start")
    Path("words.json").write_text("{}")
    data = DataConfig(task="text-classification", name="x.csv", tokenizer="words.json")
    run = resolve(RunConfig(data=data, model=ac.pipeline.ModelConfig(init="start")))
    assert run.model.init == str(tmp_path / "start")
    assert run.data.tokenizer == str(tmp_path / "words.json")
    assert run.data.name == "x.csv"  # there is none: its error should name what was given
    assert resolve(run) == run


def test_a_task_that_is_said_stands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """``probe`` reads a table as texts only if nobody says that it holds images."""
    file = table(tmp_path / "a.csv")
    ac.save(ac.models.MLP(depth=1, width=4, classes=2, image_size=8, channels=1), tmp_path / "net")
    words = ["probe", str(tmp_path / "net"), "--data.name", str(file), "--data.task", "image"]
    assert main(words) == 2
    assert "no .parquet file" in capsys.readouterr().err


def test_without_a_name_the_working_folder_is_no_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("cats", "dogs"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "one.txt").write_text("a text", encoding="utf-8")
    assert inferred({"data": {"name": str(tmp_path)}})[1]
    monkeypatch.chdir(tmp_path)
    for said in ({}, {"data": {}}, {"data": {"name": None}}, {"model": {"depth": 2}}):
        assert inferred(said) == (said, [])
