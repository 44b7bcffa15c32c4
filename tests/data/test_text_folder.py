"""Folders of texts by class: no text is lost, and none is in a split or class that is not its own.

The rules are those of folders of images, and tests/data/test_image_folder.py has more of them.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from autocompress.data import DataConfig, load_data
from autocompress.data.splits import Splits
from autocompress.errors import DataError


def put(folder: Path, count: int, suffix: str = ".txt") -> None:
    """Write texts of which no two are alike."""
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(count):
        (folder / f"{index}{suffix}").write_text(
            f"{suffix} {folder.name} {folder.parent.name[:5]} {index}"
        )


def load(root: Path) -> Splits:
    config = DataConfig(task="text-classification", name=str(root), vocabulary=60, length=40)
    return load_data(config)


def remarks(data: Splits) -> list[str]:
    said: list[str] = data.description["remarks"]
    return [remark for remark in said if "left out" in remark]


def classes(root: Path) -> Path:
    put(root / "pos", 12)
    put(root / "neg", 12)
    return root


def test_suffixes_in_any_case_and_what_else_lies_there(tmp_path: Path) -> None:
    root = classes(tmp_path)
    put(root / "pos", 5, ".TXT")
    put(root / "neg", 6, "")
    put(root / "pos" / ".ipynb_checkpoints", 12)
    (root / "README.md").write_text("mine")
    data = load(root)
    assert sum(data.sizes.values()) == 29
    (said,) = remarks(data)
    assert said.startswith("7 files left out, no texts: README.md, neg/0, neg/1")


def test_texts_below_a_class_and_behind_links(tmp_path: Path) -> None:
    root = classes(tmp_path / "set")
    put(root / "pos" / "more", 2)
    put(tmp_path / "elsewhere", 3)
    (root / "neg" / "linked").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    data = load(root)
    assert data.classes == ["neg", "pos"]
    assert sum(data.sizes.values()) == 29
    (root / "pos" / "gone.txt").symlink_to(tmp_path / "nowhere.txt")
    with pytest.raises(DataError, match=r"gone.txt is a link to nothing"):
        load(root)
    (root / "pos" / "gone.txt").unlink()
    (root / "pos" / "again").symlink_to(root, target_is_directory=True)
    with pytest.raises(DataError, match="again is a link back to a folder that holds it"):
        load(root)


def test_splits_are_the_outermost_folders(tmp_path: Path) -> None:
    for split, count in (("Train", 6), ("val", 3), ("test", 2)):
        put(tmp_path / split / "test", count)
        put(tmp_path / split / "train", count)
    data = load(tmp_path)
    assert data.sizes == {"train": 12, "validation": 6, "test": 4}
    assert data.classes == ["test", "train"]


@pytest.mark.parametrize(
    ("folders", "words"),
    [
        (
            ["pos/train", "pos/test", "neg/train", "neg/test"],
            r"neg/ holds test/, train/, .*Splits are outermost \(.*/test/neg\)",
        ),
        (
            ["train/pos", "train/neg", "test/pos", "test/neg", "unsup"],
            r"train/ holds folders of texts, as a split does, beside unsup/",
        ),
        (
            ["train/pos", "train/neg", "test/pos", "test/neg", "train/unsup"],
            r"classes only in train: unsup. Every class needs",
        ),
        (
            ["train/pos", "train/neg", "test/pos", "test/neg", "train"],
            r"/train: 4 texts \(0.txt, .* lie beside the class folders, in none of them",
        ),
        (["train", "test"], r"texts of test/, train/ are in no class .*CLASS/\*.txt"),
        (["train_set/pos", "test_set/pos"], r"test_set/, train_set/ look like splits of one"),
        (["test/pos", "test/neg"], r"has no train split, but test/"),
        (["pos"], r"one class, 'pos'; at least two"),
    ],
    ids=[
        "a split inside a class",
        "a folder without labels",
        "IMDB: a class of train only",
        "IMDB: lists beside the classes",
        "no classes",
        "splits by other names",
        "no train",
        "one class",
    ],
)
def test_what_can_be_meant_in_two_ways_is_refused(
    tmp_path: Path, folders: list[str], words: str
) -> None:
    for folder in folders:
        put(tmp_path / folder, 4)
    with pytest.raises(DataError, match=words):
        load(tmp_path)


def test_notes_beside_the_splits_are_left_out_and_said(tmp_path: Path) -> None:
    for place in ("train/pos", "train/neg", "test/pos", "test/neg"):
        put(tmp_path / place, 4)
    whole = load(tmp_path).sizes
    (tmp_path / "README.txt").write_text("what this is")
    data = load(tmp_path)
    assert data.sizes == whole
    assert "left out, in no split: README.txt" in data.description["remarks"]


def test_a_class_without_a_text_is_refused(tmp_path: Path) -> None:
    root = classes(tmp_path)
    put(root / "web", 2, ".html")
    with pytest.raises(DataError, match=r"web/ holds no text.*\(it has 0.html, 1.html, no text\)"):
        load(root)
