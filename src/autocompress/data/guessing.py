"""Tell what data hold by their name and the files there."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

from autocompress.data.config import TaskName
from autocompress.data.files import PICTURES
from autocompress.data.tables import READERS
from autocompress.data.text_folders import has_classes_of_texts
from autocompress.errors import DataError

__all__ = ["task_of"]


def task_of(name: str) -> TaskName | None:
    """Return the task of data that are plainly texts with labels; None if they are not.

    Tables in text files are, and so are folders of such tables or of texts by class.

    Raises:
        DataError: It is a file of a kind that holds no data with labels.
    """
    path = Path(name).expanduser()
    if path.suffix.lower() in READERS:
        return "text-classification"
    if path.suffix and path.is_file():
        _check_kind(path)
    if not path.is_dir() or (path / "config.yaml").is_file():
        return None
    try:
        inside = {file.suffix.lower() for file in islice(path.iterdir(), 1000) if file.is_file()}
    except OSError:
        return None
    tables = inside & set(READERS) and not inside - {*READERS, "", ".md", ".txt"}
    return "text-classification" if tables or has_classes_of_texts(path) else None


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
