"""What a newcomer types and saves: each mistake gets one clear message, and nothing is written."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

import autocompress as ac
from autocompress.cli import main
from autocompress.data import DataConfig, load_data
from autocompress.errors import DataError
from autocompress.pipeline.numbered import next_free

ROWS = "".join(f"film {n} is{' not' * (n % 2)} fine,{('good', 'bad')[n % 2]}\n" for n in range(40))


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a space and an umlaut in its name, and in it what people have."""
    root = tmp_path / "meine Bücher"
    for kind in ("Käfer", "naïve café"):
        (root / "photos" / kind).mkdir(parents=True)
        for n in range(6):
            shade = (30 * n, len(kind), 9)
            Image.new("RGB", (6, 6), shade).save(root / "photos" / kind / f"IMG {n}.JPG")
    (root / "photos" / ".DS_Store").write_text("x")
    (root / "photos" / "Käfer" / "Thumbs.db").write_text("x")
    (root / "sheet.xlsx").write_bytes(b"PK\x03\x04")
    (root / "set.zip").write_bytes(b"PK\x03\x04")
    (root / "one.jpg").write_bytes(b"x")
    (root / "novel.txt").write_text("It was a dark night.\n")
    (root / "plain.csv").write_text(ROWS)  # without a line of names
    (root / "header.csv").write_text("text,label\n")
    (root / "films.csv").write_text("text,label\n" + ROWS)
    (root / "tabs.yaml").write_text("data:\n\tname: photos\n")
    monkeypatch.chdir(root)
    return root


def listing(home: Path) -> list[str]:
    return sorted(str(path) for path in home.rglob("*"))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--data.name sheet.xlsx", "sheet.xlsx is not a table that can be read (.parquet, .csv"),
        ("--data.name set.zip --data.length 9", "set.zip is not a table that can be read"),
        ("--data.name one.jpg", "one.jpg is one picture; data are a folder with a folder"),
        ("--data.name novel.txt", "data.task causal-lm or masked-lm; texts with labels are a"),
        ("--data.name plain.csv", "the first line of a table has to name its columns"),
        ("--data.name header.csv", "the train split of .*header.csv is empty"),
        ("--data.name photo", "no such file or folder: 'photo'; did you mean 'photos'?"),
        ("photo", "no such file or folder: 'photo'; did you mean 'photos'?"),
        ("photos novel.txt", "unexpected word 'novel.txt'"),
        ("photos --data.name photos", "named twice: by 'photos' and by --data.name"),
        ("--config film.yaml", "cannot read 'film.yaml': No such file or directory; did you mean"),
        ("--config tabs.yaml", "tabs.yaml, line 2: .*begins with a tab, and YAML takes spaces"),
        ("--data.name photos --fit.device cuda:0", "did you mean 'auto'?"),
        ("--data.name photos --fit.device GPU", "did you mean 'auto'?"),
    ],
)
def test_a_mistake_is_one_message(
    words: str, said: str, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (home / "films.yaml").write_text("data: {name: photos}\n")
    before = listing(home)
    assert main(["train", *words.split()]) == 2
    error = capsys.readouterr().err
    lines = [line for line in error.splitlines() if line.startswith("acn: error: ")]
    assert len(lines) == 1
    head, _, tail = said.partition(".*")
    assert head in lines[0]
    assert tail in lines[0]
    assert "Traceback" not in error
    assert listing(home) == before


def test_in_python_too(home: Path) -> None:
    with pytest.raises(DataError, match=r"sheet.xlsx is not a table"):
        load_data("sheet.xlsx")
    with pytest.raises(DataError, match=r"one.jpg is one picture"):
        load_data("one.jpg", image_size=8)


def test_names_with_spaces_and_umlauts(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--model.name", "mlp", "--model.depth", "1", "--model.width", "4", "--fit.epochs", "1"]
    assert main(["train", "--data.name", "photos", "--output", "mein Lauf", *words]) == 0
    assert ac.load(home / "mein Lauf" / "model").class_names == ["Käfer", "naïve café"]
    assert next_free(home / "my  own photos.csv") == Path("runs/my-own-photos-1")


def test_a_table_named_tsv_may_have_semicolons(home: Path) -> None:
    pytest.importorskip("tokenizers")
    (home / "a.tsv").write_text("text;label\n" + ROWS.replace(",", ";"))
    (home / "b.tsv").write_text("text\tlabel\n" + ROWS.replace(",", "\t").replace("is", "is, yes;"))
    for name in ("a.tsv", "b.tsv"):
        data = load_data(
            DataConfig(name=name, task="text-classification", vocabulary=60, length=12)
        )
        assert data.classes == ["bad", "good"]
        assert sum(data.sizes.values()) == 40


@pytest.mark.parametrize("odd", ["0.png", "3.png"])
def test_the_first_picture_may_be_the_odd_one(odd: str, tmp_path: Path) -> None:
    for kind in ("cat", "dog"):
        (tmp_path / kind).mkdir()
        for n in range(5):
            Image.new("RGB", (6, 6), (n, 9, len(kind))).save(tmp_path / kind / f"{n}.png")
    Image.new("RGB", (7, 6)).save(tmp_path / "cat" / odd)
    with pytest.raises(DataError, match="set data.image_size") as caught:
        load_data(DataConfig(name=str(tmp_path)))
    last = str(caught.value).splitlines()[-1]
    if odd == "0.png":
        assert last.startswith(f"Most images differ from the first, image 0 of train ({tmp_path}")
        assert "cat/0.png): if it is the odd one, leave it out" in last
    else:
        assert "Most images" not in last
