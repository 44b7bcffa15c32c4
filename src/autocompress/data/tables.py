"""Tables in text files: .csv, .tsv and .jsonl, with every cell as written.

A cell is text unless its whole column is numbers; "NA", "null" and "None" are ordinary words. The
separator is detected, quotes are checked, and errors name the line that does not fit.
"""

from __future__ import annotations

import codecs
import csv
import hashlib
import json
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from autocompress.data.listing import some
from autocompress.errors import DataError

__all__ = ["MOST_HASHED", "READERS", "check_encoding", "content_key", "read_table"]

#: Kinds of files that :func:`read_table` reads, by suffix.
READERS = {".csv": "csv", ".tsv": "tsv", ".jsonl": "jsonl", ".ndjson": "jsonl"}

_INTEGER = re.compile(r"-?(0|[1-9]\d{0,17})")
_DECIMAL = re.compile(r"-?(0|[1-9]\d{0,14})\.\d{1,15}")
_A_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")

#: Longest cell in characters: an unclosed quote must not read a whole file into memory.
_LONGEST_CELL = 2**24

#: Version of the rows that these readers make of the same bytes; it is part of the cache's key.
_VERSION = 3

#: Largest size in bytes of files whose bytes tell whether they have changed; of larger ones, which
#: would take long to read, the time of their last change tells.
MOST_HASHED = 2**30

#: Types of a column from the narrowest to the widest; a column has the widest type of its cells.
_TYPES = ("int64", "float64", "string")

#: What a .jsonl file holds, for messages: an array over many lines is no such file.
_EXPECTED = 'expected one object in each line, e.g. {"text": "good", "label": 1}'


@dataclass(frozen=True)
class _Layout:
    """The format of a file.

    Args:
        path: The file.
        kind: Kind of file, csv or jsonl.
        encoding: Encoding of its bytes.
        delimiter: Separator of the cells in a line.
        quoted: Whether quotes enclose cells.
    """

    path: str
    kind: str
    encoding: str = "utf-8"
    delimiter: str = ","
    quoted: bool = True


def read_table(files: Sequence[Path], reader: str) -> Any:
    """Return the rows of some files as one ``datasets.Dataset``, kept in the cache of ``datasets``.

    Args:
        files: Files with the same columns.
        reader: Kind of file: csv, tsv or jsonl.

    Returns:
        The rows, or None if there are none.

    Raises:
        DataError: Bytes are not text, lines do not fit, or columns differ.
    """
    import datasets

    layouts: list[_Layout] = []
    types: dict[str, str | None] = {}
    for file in files:
        layout, found = _scanned(file, reader)
        if types and found and set(found) != set(types):
            odd = sorted(set(found) ^ set(types))
            raise DataError(f"{file} has other columns than {files[0]}: {some(odd)} in one only")
        types |= {name: _wider(types.get(name), kind) for name, kind in found.items()}
        layouts.append(layout)
    if not types:
        return None
    key = content_key(files, _VERSION)
    spec = json.dumps([[asdict(layout) for layout in layouts], types, key])
    features = {name: datasets.Value(kind or "string") for name, kind in types.items()}
    rows = datasets.Dataset.from_generator(
        _rows, features=datasets.Features(features), gen_kwargs={"spec": spec}
    )
    rows.lines = partial(_line, layouts)
    return rows


def content_key(files: Sequence[Path], version: int) -> str:
    """Return a key of files' content, for caches: a copy may keep the time of a file it replaces.

    Args:
        files: The files.
        version: Version of the reader.
    """
    digest = hashlib.sha256(str(version).encode())
    stats = [file.stat() for file in files]
    large = sum(stat.st_size for stat in stats) > MOST_HASHED
    for file, stat in zip(files, stats, strict=True):
        digest.update(f" {stat.st_size} ".encode())  # so that files do not run into each other
        if large:
            digest.update(f"{file.resolve()} {stat.st_mtime_ns}".encode())
            continue
        with file.open("rb") as stream:
            while chunk := stream.read(2**20):
                digest.update(chunk)
    return digest.hexdigest()[:32]


def _line(layouts: Sequence[_Layout], row: int) -> str:
    """Return the file of a row and the number of its line there, as an editor shows it."""
    found = ((layout, line) for layout in layouts for line, _ in _records(layout))
    layout, line = next(islice(found, row, None))
    return f"{layout.path} line {line}"


def _rows(spec: str) -> Iterator[dict[str, Any]]:
    layouts, types, _ = json.loads(spec)
    casts: dict[str, Callable[[Any], Any]] = {
        name: {"int64": int, "float64": float, "bool": bool}.get(kind, str)
        for name, kind in types.items()
    }
    for layout in layouts:
        for _, row in _records(_Layout(**layout)):
            yield {
                name: None if row.get(name) is None else cast(row[name])
                for name, cast in casts.items()
            }


def _wider(one: str | None, other: str | None) -> str | None:
    """Return the narrowest type that holds both; None is the type of empty cells."""
    if one is None or other is None or one == other:
        return one or other
    if "bool" in (one, other):
        return "string"
    return _TYPES[max(_TYPES.index(one), _TYPES.index(other))]


def _scanned(file: Path, reader: str) -> tuple[_Layout, dict[str, str | None]]:
    """Return the format of a file and the type of each column, from all of its lines."""
    with file.open("rb") as stream:
        start = stream.read(4)
    wide = start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    encoding = "utf-16" if wide else "utf-8-sig"
    first: DataError | None = None
    try:
        for layout in _layouts(file, reader, encoding):
            try:
                return layout, _types(layout)
            except DataError as error:
                first = first or error
    except UnicodeError:
        check_encoding([file])
        raise DataError(f"{file} is not {encoding.upper()}; save it as UTF-8") from None
    raise first or DataError(f"{file} is empty")


def _layouts(file: Path, reader: str, encoding: str) -> Iterator[_Layout]:
    """Yield the possible formats of a file, the most likely first."""
    if reader == "jsonl":
        yield _Layout(str(file), "jsonl", encoding)
        return
    with file.open(encoding=encoding, newline="") as stream:
        head = next((line for line in stream if line.strip()), "")
    tabs = reader == "tsv" and "\t" in head  # without one, its name alone says that it is .tsv
    counts = {mark: head.count(mark) for mark in ("\t" if tabs else ",;\t|")}
    marks = sorted(counts, key=lambda mark: -counts[mark])
    for mark in [mark for mark in marks if counts[mark]] or marks[:1]:
        yield _Layout(str(file), "csv", encoding, mark)
        if mark == "\t":  # as in GLUE's files: quotes are ordinary characters
            yield _Layout(str(file), "csv", encoding, mark, quoted=False)


def _types(layout: _Layout) -> dict[str, str | None]:
    types: dict[str, str | None] = {}
    nested: set[str] = set()
    for _, row in _records(layout):
        for name, cell in row.items():
            if isinstance(cell, (list, dict)):
                nested.add(name)
            else:
                types[name] = _wider(types.get(name), _type(cell, layout.kind))
    return {name: kind for name, kind in types.items() if name not in nested}


def _type(cell: Any, kind: str) -> str | None:
    if cell is None:
        return None
    if isinstance(cell, bool):
        return "bool"
    if isinstance(cell, int):
        return "int64" if abs(cell) < 2**63 else "string"
    if isinstance(cell, float):
        return "float64"
    if kind == "csv" and _INTEGER.fullmatch(cell):
        return "int64"
    return "float64" if kind == "csv" and _DECIMAL.fullmatch(cell) else "string"


def _records(layout: _Layout) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the number of its first line and the cells by column for every row.

    A blank line is none; a row whose cells are all empty is one, with gaps, unless only such rows
    follow it: spreadsheets end in them.
    """
    with open(layout.path, encoding=layout.encoding, newline="") as stream:
        yield from (_json_rows if layout.kind == "jsonl" else _csv_rows)(layout, stream)


def _json_rows(layout: _Layout, stream: Any) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in enumerate(stream, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            said = str(error).splitlines()[0] if isinstance(error, ValueError) else "too deep"
            raise DataError(
                f"{layout.path} line {number} is not JSON: {said}; {_EXPECTED}"
            ) from None
        if not isinstance(row, dict):
            raise DataError(f"{layout.path} line {number} is not a JSON object; {_EXPECTED}")
        if "\\u" in line:
            _check_unicode(row, f"{layout.path} line {number}")
        yield number, row


def _check_unicode(row: dict[str, Any], where: str) -> None:
    """Raise DataError for half a character, which JSON can write and no text can hold."""
    try:
        json.dumps(row, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        half = ord(error.object[error.start])
        raise DataError(
            f"{where} is not Unicode text: it holds half a character (\\u{half:04x}); write both "
            "halves or none"
        ) from None


def _csv_rows(layout: _Layout, stream: Any) -> Iterator[tuple[int, dict[str, Any]]]:
    quotes: Any = csv.QUOTE_MINIMAL if layout.quoted else csv.QUOTE_NONE
    reader = csv.reader(stream, delimiter=layout.delimiter, quoting=quotes, strict=True)
    names: list[str] = []
    empty: list[tuple[int, dict[str, Any]]] = []  # rows that may be the last
    end = 0  # of the row before; a quoted cell may have several lines
    with _long_cells():
        try:
            for cells in reader:
                line, end = end + 1, reader.line_num
                if not names:
                    names = _header(layout, cells) if any(cells) else []
                    continue
                if not cells:
                    continue
                if len(cells) < len(names) or any(cells[len(names) :]):
                    raise DataError(
                        f"{layout.path} line {line} has {len(cells)} cells, expected "
                        f"{len(names)} ({some(names)}): put a text that holds "
                        f"{layout.delimiter!r} in double quotes"
                    )
                row = line, dict(zip(names, cells, strict=False))
                if any(cells):
                    yield from empty
                    yield row
                    empty.clear()
                else:
                    empty.append(row)
        except csv.Error as error:
            raise DataError(
                f"{layout.path} line {reader.line_num} cannot be read: {error} (a quote inside a "
                'quoted text is written twice, "")'
            ) from None


def _header(layout: _Layout, cells: Sequence[str]) -> list[str]:
    names = [cell.strip() or f"column {number}" for number, cell in enumerate(cells, 1)]
    while len(names) > 1 and not cells[len(names) - 1].strip():  # trailing separators
        names.pop()
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(f"{layout.path} has two columns {twice[0]!r}; give each its own name")
    if any(_A_NUMBER.fullmatch(name) for name in names):
        raise DataError(
            f"{layout.path} has no names of columns: its first line is {some(names)}; put a line "
            "like text,label before it"
        )
    return names


@contextmanager
def _long_cells() -> Iterator[None]:
    before = csv.field_size_limit(_LONGEST_CELL)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def check_encoding(files: Sequence[Path]) -> None:
    """Raise DataError for the first file that is not UTF-8, which the readers do not name."""
    for file in files:
        decoder, place = codecs.getincrementaldecoder("utf-8")(), 0
        with file.open("rb") as stream:
            while chunk := stream.read(2**20):
                try:
                    decoder.decode(chunk)
                except UnicodeDecodeError as error:
                    at = place + error.start
                    raise DataError(
                        f"{file} is not UTF-8 (byte {chunk[error.start : error.start + 1]!r} at "
                        f"about {at}); convert it, e.g. iconv -f latin1 -t utf-8"
                    ) from None
                place += len(chunk)
