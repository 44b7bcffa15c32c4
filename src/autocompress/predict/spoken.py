"""Inputs named on a command line: files, folders, texts, standard input."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from autocompress.errors import DataError
from autocompress.predict.asking import Asked
from autocompress.predict.preparing import Reader

__all__ = ["STDIN", "find_words"]

#: The word that stands for standard input.
STDIN = "-"

#: Largest size in bytes of a picture on standard input.
_MOST_BYTES = 1 << 28


def find_words(words: Sequence[str], reader: Reader, stdin: BinaryIO) -> Iterator[Asked]:
    """Yield every input that the words name; inputs that cannot be read have an error.

    For a network of pictures a word is a file or a folder, and ``-`` is one picture on standard
    input. For a network of texts a word is a text, unless it names a .txt file with one text per
    line or a folder of such files; ``-`` reads texts line by line.

    Args:
        words: Words of the command line.
        reader: Reader of the network.
        stdin: Standard input, as bytes.
    """
    find = _texts if reader.takes_texts else _pictures
    for word in words:
        try:
            yield from find(word, reader, stdin)
        except DataError as error:
            yield Asked(word, error=str(error))


def _pictures(word: str, reader: Reader, stdin: BinaryIO) -> Iterator[Asked]:
    if word != STDIN:
        yield from reader.find(word)
        return
    data = stdin.read(_MOST_BYTES + 1)
    if not data or len(data) > _MOST_BYTES:
        size = f"more than {_MOST_BYTES >> 20} MiB" if data else "0 bytes"
        raise DataError(f"standard input has {size}; expected one picture")
    yield Asked("standard input", {"bytes": data, "path": None})


def _texts(word: str, reader: Reader, stdin: BinaryIO) -> Iterator[Asked]:
    if word == STDIN:
        yield from _lines(stdin, reader.find)
        return
    named = _path_of(word)
    yield from reader.find(word if named is None else named)


def _path_of(word: str) -> Path | None:
    """Return the file or folder that a word names; None for a text."""
    try:
        path = Path(word)
        return path if word and path.exists() else None
    except (OSError, ValueError):  # too long, or with bytes that no file name has
        return None


def _lines(stdin: BinaryIO, find: Callable[[Any], Iterator[Asked]]) -> Iterator[Asked]:
    for number, line in enumerate(stdin, 1):
        try:
            text = line.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
        except UnicodeDecodeError as error:
            name = f"line {number} of standard input"
            yield Asked(name, error=f"{name} is not UTF-8 text: {error}")
            continue
        if text.strip():
            yield from find(text)
