"""Tell what data hold by their name and the files there."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

from autocompress.data.config import Task
from autocompress.data.tables import READERS
from autocompress.data.text_folders import has_classes_of_texts

__all__ = ["task_of"]


def task_of(name: str) -> Task | None:
    """Return the task of data that are plainly texts with labels; None if they are not.

    Tables in text files are, and so are folders of such tables or of texts by class.
    """
    path = Path(name).expanduser()
    if path.suffix.lower() in READERS:
        return "text-classification"
    if not path.is_dir() or (path / "config.yaml").is_file():
        return None
    try:
        inside = {file.suffix.lower() for file in islice(path.iterdir(), 1000) if file.is_file()}
    except OSError:
        return None
    tables = inside & set(READERS) and not inside - {*READERS, "", ".md", ".txt"}
    return "text-classification" if tables or has_classes_of_texts(path) else None
