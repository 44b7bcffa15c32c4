"""Short passages of novels by author, as a data set that ``load_data`` reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from autocompress.data.reading import read_splits
from autocompress.errors import DataError
from autocompress.io import atomic_file

__all__ = ["Passages", "write_passages"]


@dataclass(frozen=True, kw_only=True)
class Passages:
    """Settings for drawing passages from a library of novels.

    The first three fifths of every book are for train, the next fifth for validation, the last for
    test. No passage is in two splits, but books are, and their characters help: a linear classifier
    on words tells two authors apart in 82 % of the validation passages, and in 70 % if whole books
    are kept apart, which is too little for networks that train for seconds.

    Args:
        authors: Number of authors, drawn from those with enough books.
        books: Smallest number of books of an author.
        words: Number of words in a passage; the rest of a longer text is dropped.
        train, validation, test: Number of passages per author.
    """

    authors: int = 20
    books: int = 3
    words: int = 25
    train: int = 800
    validation: int = 30
    test: int = 50

    def describe(self) -> str:
        """Return a description in words."""
        return (
            f"{self.authors} authors with {self.books} or more books; for each of them, "
            f"{self.train} passages of {self.words} words from the first three fifths of every "
            f"book are used for training, {self.validation} from the next fifth for validation, "
            f"and {self.test} from the last fifth for test"
        )


def write_passages(name: str, folder: Path, passages: Passages, seed: int) -> None:
    """Draw passages by author and write them as parquet files of train, validation and test.

    Each file appears completely or not at all, test last; if test exists, nothing is done.

    Args:
        name: A set with the columns ``text`` and ``book``, in the order of the books, which are
            named Author_Title_Year, such as ``computationalstylistics/english_novels_100``; only
            its train split is read.
        folder: Folder of the files.
        passages: Settings of the passages.
        seed: Seed of all draws.

    Raises:
        DataError: The set cannot be read, has another form, or has too few authors or passages.
    """
    if (folder / "test.parquet").exists():
        return
    import datasets
    from pyarrow.parquet import write_table  # type: ignore[import-untyped]

    rows = read_splits(name)["train"]
    for column in ("text", "book"):
        if column not in rows.column_names:
            raise DataError(f"{name} has no column {column!r}, but {', '.join(rows.column_names)}")
    drawn = _drawn(name, _shelves(rows["text"], rows["book"]), passages, seed)
    names = list(drawn)
    features = datasets.Features(
        {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=names)}
    )
    for role in ("train", "validation", "test"):
        columns = {
            "text": [text for own in drawn.values() for text in own[role]],
            "label": [names.index(author) for author, own in drawn.items() for _ in own[role]],
        }
        with atomic_file(folder / f"{role}.parquet") as new:
            write_table(datasets.Dataset.from_dict(columns, features=features).data.table, new)


def _drawn(
    name: str, shelves: dict[str, dict[str, list[str]]], passages: Passages, seed: int
) -> dict[str, dict[str, list[str]]]:
    """Return the passages that are kept, by author and split."""
    known = sorted(author for author, books in shelves.items() if len(books) >= passages.books)
    if len(known) < passages.authors:
        raise DataError(
            f"{name} has {len(known)} authors of {passages.books} or more books; "
            f"{passages.authors} are needed"
        )
    random = np.random.RandomState(seed)
    chosen = sorted(random.choice(known, passages.authors, replace=False).tolist())
    found: dict[str, dict[str, list[str]]] = {}
    for author in chosen:
        found[author] = {}
        for role, pieces in _parted(shelves[author], passages.words).items():
            count = getattr(passages, role)
            if len(pieces) < count:
                raise DataError(
                    f"{author} has {len(pieces)} passages of {passages.words} words for {role}; "
                    f"{count} are needed"
                )
            some = random.permutation(len(pieces))[:count]
            found[author][role] = [pieces[index] for index in some]
    return found


def _shelves(texts: Sequence[str], books: Sequence[str]) -> dict[str, dict[str, list[str]]]:
    """Return texts in order by author and book, without each book's first, which has the title."""
    shelves: dict[str, dict[str, list[str]]] = {}
    for text, book in zip(texts, books, strict=True):
        shelves.setdefault(book.split("_")[0], {}).setdefault(book, []).append(text)
    return {a: {book: t[1:] for book, t in own.items()} for a, own in shelves.items()}


def _parted(books: dict[str, list[str]], words: int) -> dict[str, list[str]]:
    """Return one author's passages for train, validation and test."""
    found: dict[str, list[str]] = {"train": [], "validation": [], "test": []}
    for _, texts in sorted(books.items()):
        ends = [0, *(round(share * len(texts)) for share in (0.6, 0.8, 1.0))]
        for role, start, end in zip(found, ends, ends[1:], strict=False):
            found[role] += _pieces(texts[start:end], words)
    return found


def _pieces(texts: Sequence[str], words: int) -> list[str]:
    """Return each text cut into passages of equal length."""
    pieces = []
    for text in texts:
        said = text.split()
        ends = range(words, len(said) + 1, words)
        pieces += [" ".join(said[end - words : end]) for end in ends]
    return pieces
