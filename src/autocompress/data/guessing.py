"""Tell what data hold by their name and the files there."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

from autocompress.data.config import TaskName
from autocompress.data.files import PICTURES
from autocompress.data.table_files import tables_of
from autocompress.data.tables import READERS
from autocompress.data.text_folders import has_classes_of_texts
from autocompress.errors import DataError

__all__ = ["task_of"]


def task_of(name: str) -> TaskName | None:
    """Return the task of data that are plainly texts with labels; None if they are not.

    Tables in text files are, and so are parquet files with a column of words and none that could
    hold images, folders of such tables, and folders of texts by class.

    Raises:
        DataError: It is a file of a kind that holds no data with labels.
    """
    path = Path(name).expanduser()
    if path.suffix.lower() in READERS:
        return "text-classification"
    if path.suffix and path.is_file():
        _check_kind(path)
        return "text-classification" if _holds_words(path) else None
    if not path.is_dir() or (path / "config.yaml").is_file():
        return None
    try:
        inside = {file.suffix.lower() for file in islice(path.iterdir(), 1000) if file.is_file()}
    except OSError:
        return None
    tables = inside & set(READERS) and not inside - {*READERS, "", ".md", ".txt"}
    alone = not tables and not any(file.is_dir() for file in path.iterdir() if file.name != "data")
    shards = tables_of(path, [".parquet"]) if alone else []
    words = bool(shards) and _holds_words(shards[0])
    return "text-classification" if tables or words or has_classes_of_texts(path) else None


def _holds_words(file: Path) -> bool:
    """Return whether a parquet file has a column of words and no column that could hold images."""
    from pyarrow import ArrowException, types  # type: ignore[import-untyped]
    from pyarrow.parquet import read_schema  # type: ignore[import-untyped]

    try:
        kinds = read_schema(file).types
    except (ArrowException, OSError):
        return False  # who reads it says what is wrong
    words = [types.is_string(kind) or types.is_large_string(kind) for kind in kinds]
    plain = [types.is_primitive(kind) or types.is_dictionary(kind) for kind in kinds]
    return any(words) and all(word or cell for word, cell in zip(words, plain, strict=True))


def _check_kind(path: Path) -> None:
    """Raise if a file is neither a table nor anything else that holds examples with labels."""
    kind, tables = path.suffix.lower(), ", ".join([".parquet", *READERS])
    if kind == ".parquet":
        return
    if kind == ".txt":
        raise DataError(
            f"{path} is text without labels: a language model learns from it with data.task "
            f"causal-lm or masked-lm; texts with labels are a table ({tables}) or a folder of .txt "
            "files for each class"
        )
    if kind in PICTURES:
        raise DataError(f"{path} is one picture; data are a folder with a folder for each class")
    raise DataError(
        f"{path} is not a table that can be read ({tables}); save a spreadsheet as .csv, unpack an "
        "archive, and name a folder of pictures or texts by its folder"
    )
