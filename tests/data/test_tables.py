"""Tables in files: which files of a folder are read, and every cell and row as written."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path

import pytest
from PIL import Image

from autocompress.data import load_data
from autocompress.data.reading import TEXT_FILES, read_splits
from autocompress.data.tables import content_key
from autocompress.errors import DataError

SMALL = {"vocabulary": 60, "length": 12}


def write(path: Path, rows: list[str]) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text("text,label\n" + "\n".join(rows) + "\n")
    return path


def films(count: int, word: str = "film") -> list[str]:
    return [f"{word} {n},{('good', 'bad')[n % 2]}" for n in range(count)]


# -- folders ---------------------------------------------------------------------------------------


def folder(root: Path, *names: str) -> Path:
    for place, name in enumerate(names):
        write(root / name, films(20 + place, f"{place} film"))
    return root


@pytest.mark.parametrize(
    "name", ["eval.csv", "heldout.csv", "extra-train.csv", "my_test.tsv", "data/my_test.csv"]
)
def test_a_table_whose_name_is_like_that_of_a_split_is_not_lost(tmp_path: Path, name: str) -> None:
    root = folder(tmp_path, "train.csv", name)
    with pytest.raises(DataError, match=rf"{name} would be left out, although its name is like"):
        load_data(str(root), **SMALL)


def test_tables_of_splits_lie_in_one_folder(tmp_path: Path) -> None:
    root = folder(tmp_path, "train.csv", "data/test-1.csv")
    with pytest.raises(DataError, match=r"both in it and in its folder data \(data/test-1.csv\)"):
        load_data(str(root), **SMALL)


def test_rows_without_anything_at_the_end_are_none(tmp_path: Path) -> None:
    whole = load_data(str(write(tmp_path / "a.csv", films(20))), **SMALL)
    empty = load_data(str(write(tmp_path / "b.csv", [*films(20), ",", ","])), **SMALL)
    assert empty.sizes == whole.sizes
    assert (empty.test.labels == whole.test.labels).all()


def test_large_sets_are_known_by_size_and_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [write(tmp_path / name, films(20)) for name in ("a.csv", "b.csv")]
    monkeypatch.setattr("autocompress.data.tables.MOST_HASHED", files[0].stat().st_size + 1)
    before = content_key(files, 1)
    assert content_key(files, 1) == before
    os.utime(files[1], ns=(1, 1))
    assert content_key(files, 1) != before


def test_other_tables_are_left_out_and_said(tmp_path: Path) -> None:
    root = folder(tmp_path, "train.csv", "test.csv", "sample_submission.csv", "test words.txt")
    data = load_data(str(root), **SMALL)
    assert data.sizes == {"train": 16, "validation": 4, "test": 21}
    said = "left out, in no split: sample_submission.csv, test words.txt"
    assert said in data.description["remarks"]


def test_tables_of_pictures_are_not_lost_either(tmp_path: Path) -> None:
    import datasets

    cells = []
    for level in range(12):
        file = io.BytesIO()
        Image.new("L", (4, 4), level).save(file, "PNG")
        cells.append({"bytes": file.getvalue(), "path": None})
    features = datasets.Features({"image": datasets.Image(), "label": datasets.Value("int64")})
    columns = {"image": cells, "label": [n % 2 for n in range(12)]}
    rows = datasets.Dataset.from_dict(columns, features=features)
    rows.to_parquet(tmp_path / "train.parquet")
    rows.to_parquet(tmp_path / "more.parquet")
    data = load_data(str(tmp_path))
    assert "left out, in no split: more.parquet" in data.description["remarks"]
    (tmp_path / "more.parquet").rename(tmp_path / "eval.parquet")
    with pytest.raises(DataError, match=r"eval.parquet would be left out"):
        load_data(str(tmp_path))


# -- the cache -------------------------------------------------------------------------------------


def rewritten(path: Path, text: str) -> None:
    """Write a file with the time of change that it had before, as cp -p and tar do."""
    path.write_text(text)
    os.utime(path, (1000, 1000))


def test_a_table_with_the_size_and_time_of_another_is_read(tmp_path: Path) -> None:
    file, rows = tmp_path / "a.csv", "text,label\n" + "\n".join(films(40)) + "\n"
    rewritten(file, rows)
    assert load_data(str(file), **SMALL).classes == ["bad", "good"]
    rewritten(file, rows.replace("bad", "odd"))
    assert load_data(str(file), **SMALL).classes == ["good", "odd"]


@pytest.mark.parametrize("suffix", [".txt", ".parquet"])
def test_other_kinds_of_files_too(tmp_path: Path, suffix: str) -> None:
    import datasets

    for word in ("one", "two"):
        file = tmp_path / f"a{suffix}"
        if suffix == ".txt":
            file.write_text(word)
        else:
            datasets.Dataset.from_dict({"text": [word]}).to_parquet(file)
        os.utime(file, (1000, 1000))
        assert read_splits(str(file), TEXT_FILES)["train"]["text"][0] == word


def test_a_relative_name_in_another_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for place, word in enumerate(("here", "away")):
        file = write(tmp_path / str(place) / "t.csv", films(40, word))
        os.utime(file, (1000, 1000))
        monkeypatch.chdir(file.parent)
        found.append(read_splits("t.csv", TEXT_FILES)["train"]["text"][0])
    assert found == ["here 0", "away 0"]


# -- cells and rows --------------------------------------------------------------------------------


def test_half_a_character_is_refused_with_its_line(tmp_path: Path) -> None:
    lines = [json.dumps({"text": f"\U0001f600 {n}", "label": n % 2}) for n in range(40)]
    file = tmp_path / "a.jsonl"
    file.write_text("\n".join(lines))
    assert sum(load_data(str(file), **SMALL).sizes.values()) == 40  # both halves are a character
    file.write_text("\n".join([*lines, '{"text": "a \\ud800 b", "label": 1}']))
    with pytest.raises(DataError, match=r"a.jsonl line 41 .* half a character \(\\ud800\)"):
        load_data(str(file), **SMALL)


def test_a_row_of_empty_cells_is_a_gap_and_a_blank_line_is_nothing(tmp_path: Path) -> None:
    file = write(tmp_path / "a.csv", ["", *films(20), "", ",", *films(20)])
    with pytest.raises(DataError, match=r"a.csv line 24 has no text in .* and no label in column"):
        load_data(str(file), **SMALL)
    data = load_data(str(file), **SMALL, skip_broken=True)
    assert sum(data.sizes.values()) == 40
    (said,) = [remark for remark in data.description["remarks"] if "left out" in remark]
    assert said.startswith("1 of 41 examples of train left out")
    assert said.endswith("a.csv line 24")


@pytest.mark.parametrize("digits", [600, 5000])
def test_labels_of_many_digits(tmp_path: Path, digits: int) -> None:
    """Python reads 4,300 digits as a number by default, and 640 at least."""
    long = "1" * digits
    rows = [f"film {n},{('2', long)[n % 2]}" for n in range(40)]
    data = load_data(str(write(tmp_path / "a.csv", rows)), **SMALL)
    assert data.classes == (["2", long] if digits == 600 else [long, "2"])
