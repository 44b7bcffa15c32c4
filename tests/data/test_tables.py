"""Tables in files: which files of a folder are read, and every cell and row as written."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image

from autocompress.data import load_data
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
    "name", ["eval.csv", "heldout.csv", "extra-train.csv", "my_test.tsv", "data/test-1.csv"]
)
def test_a_table_whose_name_is_like_that_of_a_split_is_not_lost(tmp_path: Path, name: str) -> None:
    root = folder(tmp_path, "train.csv", name)
    with pytest.raises(DataError, match=rf"{name} would be left out, although its name is like"):
        load_data(str(root), **SMALL)


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
