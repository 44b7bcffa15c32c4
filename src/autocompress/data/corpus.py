"""Turn the texts of a data set into tokens: rows of a corpus, or one row for each text."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from autocompress.data.broken import place_of
from autocompress.data.tokenizer import Tokenizer, widths
from autocompress.errors import DataError
from autocompress.io.atomic import atomic_file

__all__ = ["TextColumns", "encode_corpus", "encode_texts", "padded"]

#: Number of texts read and encoded at a time, which bounds the memory for any size of corpus.
_AT_A_TIME = 1000

#: Part of a cached file's name, to be changed whenever the format of the file changes.
_LAYOUT = 1


class TextColumns:
    """One or two text columns of a split; iteration yields lists of the texts of all columns.

    Args:
        rows: A ``datasets.Dataset``, which stays on the disk.
        columns: Names of the columns.
        split: Name of the split, for error messages.
        numbers: Indices of the selected rows, int64 (n,).
    """

    def __init__(self, rows: Any, columns: Sequence[str], split: str, numbers: Tensor) -> None:
        self.whole, self.columns, self.split, self.numbers = rows, columns, split, numbers
        self.rows = rows.select_columns(list(columns)).select(_indices(numbers))

    def __len__(self) -> int:
        return len(self.numbers)

    def named(self, place: int) -> str:
        """Return a name for the row at a position, for error messages."""
        return place_of(self.whole, int(self.numbers[place]), self.split)

    def chunks(self) -> Iterator[list[list[str]]]:
        """Yield some texts at a time, as one list per column.

        Raises:
            DataError: A cell is empty.
        """
        for start in range(0, len(self), _AT_A_TIME):
            some = self.rows[start : start + _AT_A_TIME]
            columns = [some[name] for name in self.columns]
            for name, cells in zip(self.columns, columns, strict=True):
                if None in cells:
                    row = self.named(start + cells.index(None))
                    raise DataError(f"{row} has no text in column {name!r}")
            yield columns

    def __iter__(self) -> Iterator[list[str]]:
        for columns in self.chunks():
            yield from columns


def _indices(numbers: Tensor) -> Iterable[int]:
    """Return consecutive numbers as a range, of which ``datasets`` need not keep a list."""
    first, last = int(numbers[0]), int(numbers[-1])
    run = range(first, last + 1)
    return run if torch.equal(numbers, torch.arange(first, last + 1)) else numbers.tolist()


def encode_corpus(texts: TextColumns, tokenizer: Tokenizer, limit_mb: int) -> tuple[Tensor, bool]:
    """Return a corpus as one row of tokens, each text followed by the separator.

    It is written to a file in the cache of ``datasets``, some texts at a time, and read from there
    the next time.

    Args:
        texts: Texts of one column; blank ones are skipped.
        tokenizer: A tokenizer with a separator.
        limit_mb: Size in MiB above which the file is mapped to memory rather than read.

    Returns:
        The tokens, int16 or int32 (any,), and whether they are in memory.

    Raises:
        DataError: There is no text.
        OutputError: The file cannot be written.
    """
    import datasets

    separator = tokenizer.need("separator")["separator"]
    dtype = _dtype(tokenizer)
    said = [tokenizer.core, texts.rows._fingerprint, *texts.columns, separator, _LAYOUT]
    key = hashlib.sha256("\0".join(map(str, said)).encode()).hexdigest()[:32]
    path = Path(datasets.config.HF_DATASETS_CACHE) / "autocompress" / f"{key}.{dtype.__name__}"
    if not path.is_file():
        with atomic_file(path) as new, new.open("wb") as file:
            for some in texts:
                filled = [text for text in some if text.strip()]
                for ids in tokenizer.encode(filled):
                    np.asarray([*ids, separator], dtype=dtype).tofile(file)
    size = path.stat().st_size
    if size == 0:
        raise DataError(f"the column {texts.columns[0]!r} of {texts.split} holds no text")
    resident = size <= limit_mb * 2**20
    tokens = np.fromfile(path, dtype) if resident else np.memmap(path, dtype, "c")
    return torch.from_numpy(tokens), resident


def encode_texts(
    texts: TextColumns, tokenizer: Tokenizer, length: int, truncate: bool
) -> tuple[Tensor, Tensor]:
    """Return texts as rows of tokens, exactly as the tokenizer's JSON by itself defines them.

    Args:
        texts: Texts of one or two columns.
        tokenizer: Tokenizer for the task and ``length``, see :meth:`Tokenizer.for_task`.
        length: Largest number of tokens in a row.
        truncate: Whether to cut longer texts, of a pair always the longer one; otherwise they are
            an error.

    Returns:
        Tokens with padding, int16 or int32 (n, longest), and the number of tokens in each row
        without padding, int64 (n,).

    Raises:
        DataError: A text is blank, too long, or contains the padding token.
    """
    pad = tokenizer.need("pad")["pad"]
    rows: list[list[int]] = []
    long: list[int] = []
    for columns in texts.chunks():
        for row in tokenizer.rows(columns, truncate):
            if not row:
                raise DataError(f"{texts.named(len(rows))} has a text without a word in it")
            if len(row) > length:
                long.append(len(rows))
            if pad in row:
                raise DataError(
                    f"{texts.named(len(rows))} holds the tokenizer's padding token as a word, "
                    "which the network would not see; take it out of the text"
                )
            rows.append(row)
    if long:
        more = f", and so have {len(long) - 1} more of {len(rows)} texts" if len(long) > 1 else ""
        longest = f" (the longest: {max(map(len, rows))})" if more else ""
        raise DataError(
            f"{texts.named(long[0])} has {len(rows[long[0]])} tokens, more than data.length "
            f"{length}{more}{longest}: --data.truncate true cuts such texts"
        )
    return padded(rows, tokenizer, length)


def padded(
    rows: Sequence[Sequence[int]], tokenizer: Tokenizer, length: int
) -> tuple[Tensor, Tensor]:
    """Return rows of tokens as one tensor with padding, and the number of tokens in each.

    Args:
        rows: Tokens of each text, at least one row.
        tokenizer: Their tokenizer.
        length: Largest number of tokens in a row that the network takes.
    """
    pad = tokenizer.need("pad")["pad"]
    lengths = torch.tensor([len(row) for row in rows])
    width = -(-int(lengths.max()) // widths(length)) * widths(length)
    ids = np.full((len(rows), width), pad, dtype=_dtype(tokenizer))
    for line, row in zip(ids, rows, strict=True):
        line[: len(row)] = row
    return torch.from_numpy(ids), lengths


def _dtype(tokenizer: Tokenizer) -> type[np.signedinteger[Any]]:
    return np.int16 if tokenizer.size <= 2**15 else np.int32
