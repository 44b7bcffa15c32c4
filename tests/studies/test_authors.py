"""Passages by author: whose they are, from which part of a book, that a seed fixes them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from autocompress.data import DataConfig, load_data
from autocompress.errors import DataError
from autocompress_studies.authors import Passages, write_passages

FEW = Passages(authors=2, books=3, words=2, train=15, validation=5, test=5)


def library(folder: Path, books: int = 3) -> Path:
    """Three authors; a text says its book and its place there, twice, and a word too many."""
    datasets = pytest.importorskip("datasets")
    rows: dict[str, list[str]] = {"text": [], "book": []}
    for author, title in [(a, t) for a in ("Ann", "Bob", "Cyd") for t in range(books)]:
        for place in range(6):
            word = f"{author.lower()}{title}p{place}"
            rows["text"].append(f"{word} a {word} b rest")
            rows["book"].append(f"{author}_T{title}_1900")
    (folder / "novels").mkdir(parents=True)
    datasets.Dataset.from_dict(rows).to_parquet(folder / "novels" / "train.parquet")
    return folder / "novels"


def written(folder: Path) -> dict[str, list[tuple[str, int]]]:
    """(text, label) by split."""
    from pyarrow.parquet import read_table  # type: ignore[import-untyped]

    rows = {
        role: read_table(folder / f"{role}.parquet") for role in ("train", "validation", "test")
    }
    return {
        role: list(zip(t["text"].to_pylist(), t["label"].to_pylist(), strict=True))
        for role, t in rows.items()
    }


def test_each_part_of_a_book_is_on_one_side(tmp_path: Path) -> None:
    """Of texts 1..5 (0 bears the title) 1..3 are train, 4 validation, 5 test."""
    novels = str(library(tmp_path))
    write_passages(novels, tmp_path / "set", FEW, seed=0)
    found = written(tmp_path / "set")
    for role, count, places in (
        ("train", 15, {"1", "2", "3"}),
        ("validation", 5, {"4"}),
        ("test", 5, {"5"}),
    ):
        assert [label for _, label in found[role]] == [0] * count + [1] * count
        words = [text.split() for text, _ in found[role]]
        assert all(len(two) == 2 and "rest" not in two for two in words)
        assert {two[0][5] for two in words} == places
        for label in (0, 1):
            own = [text for text, number in found[role] if number == label]
            assert len(set(own)) == count
            assert len({text[:3] for text in own}) == 1  # one author
            assert {text[3] for text in own} == {"0", "1", "2"}  # all books


def test_a_seed_fixes_the_passages(tmp_path: Path) -> None:
    novels = str(library(tmp_path))
    for place, seed in (("a", 0), ("b", 0), ("c", 1)):
        write_passages(novels, tmp_path / place, FEW, seed)
    first, again, other = (written(tmp_path / place) for place in ("a", "b", "c"))
    assert first == again != other
    before = (tmp_path / "a" / "train.parquet").stat().st_mtime_ns
    write_passages("nowhere", tmp_path / "a", FEW, 0)  # it is there already
    assert (tmp_path / "a" / "train.parquet").stat().st_mtime_ns == before


def test_the_passages_are_a_set_of_texts_by_class(tmp_path: Path) -> None:
    pytest.importorskip("tokenizers")
    write_passages(str(library(tmp_path)), tmp_path / "set", FEW, seed=0)
    config = DataConfig(task="text-classification", name=str(tmp_path / "set"), vocabulary=60)
    data = load_data(config)
    assert data.sizes == {"train": 30, "validation": 10, "test": 10}
    assert set(data.classes) < {"Ann", "Bob", "Cyd"}


def test_what_is_refused(tmp_path: Path) -> None:
    novels = str(library(tmp_path))
    for wrong, message in (
        (replace(FEW, authors=4), "3 authors of 3 or more books; 4 are needed"),
        (replace(FEW, books=4), "0 authors of 4 or more books"),
        (replace(FEW, train=100), "18 passages of 2 words for train; 100 are needed"),
    ):
        with pytest.raises(DataError, match=message):
            write_passages(novels, tmp_path / "set", wrong, seed=0)
        assert not (tmp_path / "set").exists()
    write_passages(novels, tmp_path / "set", FEW, seed=0)
    with pytest.raises(DataError, match="no column 'book', but text, label"):
        write_passages(str(tmp_path / "set"), tmp_path / "other", FEW, seed=0)
