"""Split whatever a user asks about into single inputs, each with a name."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from autocompress.data.files import IMAGES, TEXTS, Kind, survey
from autocompress.data.tables import READERS
from autocompress.errors import DataError
from autocompress.predict.answers import one_line

__all__ = ["Asked", "is_single", "pictures", "texts", "texts_of_file"]


@dataclass(frozen=True)
class Asked:
    """One input.

    Attributes:
        name: Its name in answers and messages.
        value: A picture as :meth:`autocompress.data.decode.Decoder.single` takes it, or a text, or
            a pair of texts; None where there is an error.
        error: Reason why it cannot be answered, if any.
    """

    name: str
    value: Any = None
    error: str | None = None


def is_single(inputs: Any, takes_texts: bool, pairs: bool) -> bool:
    """Return whether ``inputs`` is a single input rather than a batch.

    Args:
        inputs: The user's argument.
        takes_texts: Whether the network takes texts.
        pairs: Whether an example is a pair of texts.
    """
    if takes_texts and not isinstance(inputs, os.PathLike):
        if pairs and isinstance(inputs, (tuple, Mapping)):
            return True
        return isinstance(inputs, (str, bytes)) or _is_picture_value(inputs)
    if isinstance(inputs, (str, os.PathLike)):
        return not takes_texts and not os.path.isdir(inputs)
    return isinstance(inputs, (bytes, Mapping)) or _is_picture_value(inputs)


def _is_picture_value(value: Any) -> bool:
    if isinstance(value, np.ndarray) and value.dtype.kind in "biufc":  # also what is refused
        # without colours on its last axis, an array of three is a stack of grey pictures
        return value.ndim == 2 or (value.ndim == 3 and value.shape[2] in _COLOURS)
    return isinstance(value, Image.Image)


#: Numbers of channels of a picture: grey, colours, colours with transparency.
_COLOURS = (1, 3, 4)


def _each(inputs: Any) -> Iterable[Any]:
    """Return the elements of a list, a column or a generator.

    Raises:
        DataError: It is a whole table, or has no elements.
    """
    names = getattr(inputs, "column_names", None)  # of a datasets.Dataset
    names = getattr(inputs, "columns", None) if names is None else names  # of a pandas.DataFrame
    if names is not None:
        listed = ", ".join(map(str, list(names)[:10]))
        raise DataError(f"a whole table was given; expected one of its columns: {listed}")
    if isinstance(inputs, (Mapping, set, frozenset)) or not hasattr(inputs, "__iter__"):
        raise DataError(f"cannot predict for {_kind(inputs)}")
    return map(_plain, inputs)


def _plain(cell: Any) -> Any:
    """Return the cell of a column as Python has it: pyarrow's by its value, a missing one as None.

    pandas marks a missing cell by NaN, NaT or NA.
    """
    if hasattr(cell, "as_py"):
        cell = cell.as_py()
    missing = (isinstance(cell, float) and cell != cell) or type(cell).__name__ in _MISSING
    return None if missing else cell


#: Classes of pandas' marks of a missing cell.
_MISSING = ("NAType", "NaTType")


def _kind(value: Any) -> str:
    if value is None:
        return "an empty cell (None)"
    return f"a value of type {type(value).__name__}"


def _inside(folder: Path, kind: Kind, what: str) -> Iterator[tuple[Path, str | None]]:
    """Yield every input of a folder and below, sorted, with the reason if it cannot be read.

    Raises:
        DataError: There is none.
    """
    seen = survey(folder, kind)
    faults = seen.faults | dict.fromkeys(seen.foreign, f"is a {what} of a kind that is {_FOREIGN}")
    found = sorted([*seen.found.all_examples(), *faults])
    if not found:
        raise DataError(f"the folder {folder} holds no {what}")
    for path in found:
        yield path, f"{path} {faults[path]}" if path in faults else None


_FOREIGN = "not supported; convert it to .png or .jpg"


# -- pictures --------------------------------------------------------------------------------------


def pictures(inputs: Any) -> Iterator[Asked]:
    """Yield every picture that ``inputs`` names or holds.

    Args:
        inputs: A path, a folder, a Pillow image, an encoded image (``bytes``, or a mapping with
            ``bytes`` and ``path`` as ``datasets`` has it), an array of bytes (H, W) or (H, W, 3),
            or a list or column of these, where tensors of bytes (C, H, W) may stand as well.

    Raises:
        DataError: It is a whole table, or a folder without a picture.
    """
    alone = is_single(inputs, False, False) or isinstance(inputs, (str, os.PathLike))
    for number, value in enumerate([inputs] if alone else _each(inputs)):
        if isinstance(value, (str, os.PathLike)) and os.path.isdir(value):
            yield from _folder(Path(value))
        else:
            yield _picture(value, f"picture {number}")


def _folder(folder: Path) -> Iterator[Asked]:
    for path, fault in _inside(folder, IMAGES, "picture"):
        yield _picture(path, str(path)) if fault is None else Asked(str(path), error=fault)


def _picture(value: Any, name: str) -> Asked:
    if isinstance(value, (str, os.PathLike)):
        return _picture_file(Path(value))
    if isinstance(value, Image.Image):
        path = getattr(value, "filename", "")
        return Asked(str(path) if isinstance(path, str) and path else name, value)
    if isinstance(value, (bytes, bytearray)):
        return Asked(name, {"bytes": bytes(value), "path": None})
    if isinstance(value, Mapping) and (value.get("bytes") or value.get("path")):
        path = value.get("path")
        if value.get("bytes") is None:
            return _picture_file(Path(str(path)))
        return Asked(str(path or name), {"bytes": value["bytes"], "path": path})
    if isinstance(value, Tensor) and value.dtype == torch.uint8:  # (H, W) or (C, H, W)
        value = (value.movedim(0, -1) if value.dim() == 3 else value).cpu().numpy()
    if isinstance(value, np.ndarray):
        colours = value.ndim == 2 or (value.ndim == 3 and value.shape[2] in _COLOURS)
        if value.dtype != np.uint8 or not colours:
            return Asked(
                name, error=f"{name} is an array of {value.dtype} {value.shape}; {_WANTED}"
            )
        return Asked(name, Image.fromarray(value[:, :, 0] if value.shape[2:] == (1,) else value))
    return Asked(name, error=f"{name} is {_kind(value)}; {_WANTED}")


#: How the address of a picture on the web begins, also where a path has made one slash of two.
_ADDRESS = re.compile(r"(https?|ftp|s3|gs|hf):/")

_WANTED = (
    "this network takes pictures: files, Pillow images, encoded bytes, or arrays of bytes (H, W) "
    "or (H, W, 3)"
)


_OF_TABLE = (
    "this network takes files of pictures and folders of them (in Python, a predictor also takes a "
    "column of pictures: ac.Predictor(RUN)(table['image']))"
)


def _picture_file(path: Path) -> Asked:
    try:
        return _found(path)
    except OSError as error:  # no permission, or longer than any name
        return Asked(str(path), error=f"{one_line(str(path))} cannot be read: {error.strerror}")


def _found(path: Path) -> Asked:
    if not path.is_file():
        if path.exists():
            return Asked(str(path), error=f"{path} is not a file; this network takes pictures")
        if path.is_symlink():
            return Asked(str(path), error=f"{path} is a link to a file that does not exist")
        return Asked(str(path), error=f"{path} does not exist{_hint(path)}")
    if path.stat().st_size == 0:
        return Asked(str(path), error=f"{path} is empty: it has 0 bytes")
    if path.suffix.lower() in (".parquet", *READERS):
        return Asked(str(path), error=f"{path} is a table; {_OF_TABLE}")
    return Asked(str(path), {"bytes": None, "path": str(path)})


def _hint(path: Path) -> str:
    """Return the end of a message on a path that does not exist."""
    if _ADDRESS.match(str(path)):
        return ": nothing is fetched, so download the picture first"
    beside = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
    close = get_close_matches(path.name, beside, n=1, cutoff=0.7)
    return f"; did you mean {close[0]!r}?" if close else "; this network takes pictures"


# -- texts -----------------------------------------------------------------------------------------


def texts(inputs: Any, pairs: bool) -> Iterator[Asked]:
    """Yield every text that ``inputs`` holds.

    Args:
        inputs: A text, the path of a .txt file with one text per line, a folder of such files, or a
            list or column of texts.
        pairs: Whether an example is a pair of texts: a tuple, a mapping with two texts, or one text
            with a tab between them.

    Raises:
        DataError: It is a whole table, a folder without a .txt file, or a file that cannot be read.
    """
    if isinstance(inputs, os.PathLike):
        path = Path(inputs)
        files = _inside(path, TEXTS, ".txt file") if path.is_dir() else [(path, None)]
        for file, fault in files:
            if fault is not None:
                yield Asked(str(file), error=fault)
                continue
            for number, line in texts_of_file(file):
                yield _text(line, f"{file}:{number}", pairs)
        return
    alone = is_single(inputs, True, pairs)
    for number, value in enumerate([inputs] if alone else _each(inputs)):
        yield _text(value, f"text {number}", pairs)


def texts_of_file(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the number of each line that is not blank, from 1, and the line.

    Raises:
        DataError: The path is not a file, or not a text in UTF-8.
    """
    if not os.path.isfile(path):
        raise DataError(f"{path} is not a file; expected a .txt file with one text per line")
    if path.suffix.lower() != ".txt":
        raise DataError(
            f"{path} is not a .txt file; this network takes texts, or a .txt file with one text "
            "per line"
        )
    try:
        with path.open(encoding="utf-8-sig") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield number, line.rstrip("\r\n")
    except (UnicodeDecodeError, OSError) as error:
        raise DataError(f"{path} cannot be read as text in UTF-8: {error}") from None


def _text(value: Any, name: str, pairs: bool) -> Asked:
    if isinstance(value, os.PathLike):
        return Asked(str(value), error=f"{value} is a path; expected a text ({name})")
    if not pairs:
        if isinstance(value, str):
            return _whole(Asked(value, value), name)
        return Asked(name, error=f"{name} is {_kind(value)}; this network takes texts")
    if isinstance(value, str) and value.count("\t") == 1:
        value = tuple(value.split("\t"))
    if isinstance(value, Mapping):
        value = tuple(value.values())
    good = isinstance(value, (tuple, list)) and len(value) == 2
    if good and all(isinstance(text, str) for text in value):
        return _whole(Asked(" | ".join(value), tuple(value)), name)
    given = repr(value)[:60] if isinstance(value, (str, tuple, list)) else _kind(value)
    return Asked(
        name,
        error=f"{name} is {given}; this network takes pairs of texts: a tuple of two, or one text "
        "with a tab between them",
    )


def _whole(asked: Asked, name: str) -> Asked:
    """Return the text, or an error if no file and no answer could hold it."""
    try:
        asked.name.encode("utf-8")
    except UnicodeEncodeError as error:
        broken = ord(asked.name[error.start])
        return Asked(
            name, error=f"{name} is not Unicode text: it holds half a character ({broken:#x})"
        )
    return asked
