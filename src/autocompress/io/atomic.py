"""Atomic writes: files and folders appear under their name only when they are complete."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from autocompress.errors import OutputError
from autocompress.io.swap import exchange
from autocompress.io.temporary import (
    is_temporary,
    remove_leftovers,
    restore_interrupted,
    temporary_name,
)

__all__ = ["atomic_dir", "atomic_file", "json_text", "write_json"]

_REASONS = {
    errno.ENOSPC: "no space left on the device",
    errno.EDQUOT: "no space left in your disk quota",
    errno.EACCES: "permission denied",
    errno.EPERM: "permission denied",
    errno.EROFS: "the file system is read-only",
}


@contextmanager
def atomic_file(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a new name beside ``path`` to write to; on leaving it is flushed and becomes ``path``.

    An existing file is replaced in one step. On any exception, including Ctrl-C, the new file is
    removed and an existing one stays. Missing parent folders are created.

    Raises:
        OutputError: The file cannot be written: no space, no permission, a folder of that name.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> with atomic_file(folder / "note.txt") as temporary:
        ...     _ = temporary.write_text("all of it")
        >>> (folder / "note.txt").read_text()
        'all of it'
    """
    path = Path(path)
    temporary = temporary_name(path)
    with _all_or_nothing(path, temporary):
        yield temporary
        _flush(temporary)
        os.replace(temporary, path)


@contextmanager
def atomic_dir(path: str | os.PathLike[str], overwrite: bool = False) -> Iterator[Path]:
    """Yield a new folder beside ``path`` to fill; on leaving it is flushed and becomes ``path``.

    On any exception, including Ctrl-C, the new folder is removed and nothing has changed. A killed
    process leaves one complete folder under the name, the old or the new one; leftovers beside it
    are removed by the next write.

    Args:
        path: Folder to create, with its missing parents. An empty folder may exist there.
        overwrite: Whether to replace a non-empty folder with all its content.

    Raises:
        OutputError: The folder exists, or cannot be written: no space, no permission.
    """
    path = Path(path)
    check_free(path, overwrite)
    temporary = temporary_name(path)
    with _all_or_nothing(path, temporary):
        temporary.mkdir()
        yield temporary
        for file in temporary.rglob("*"):
            if file.is_file():
                _flush(file)
        _swap(temporary, path)


#: A list of numbers over several lines. JSON strings hold no line breaks, so none can match.
_NUMBERS = re.compile(r"\[\n\s+(-?\d[-+\d.eE,\s]*?)\n\s*\]")


def remove(path: Path) -> None:
    """Remove a folder, renaming it first so that no partial folder ever has its name."""
    doomed = temporary_name(path)
    path.rename(doomed)
    shutil.rmtree(doomed, ignore_errors=True)


def write_json(path: str | os.PathLike[str], value: Any) -> None:
    """Write ``value`` atomically as sorted, indented JSON, with each list of numbers on one line.

    NaN and infinity are refused because they are not JSON and other readers fail on them.

    Raises:
        OutputError: The file cannot be written.
        TypeError, ValueError: ``value`` is not JSON.
    """
    text = json_text(value)
    with atomic_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def json_text(value: Any) -> str:
    """Return the text that :func:`write_json` writes."""
    text = json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n"
    return _NUMBERS.sub(lambda found: f"[{' '.join(found[1].split())}]", text)


def check_free(path: Path, overwrite: bool) -> None:
    """Raise OutputError unless ``path`` is a folder that can be created or replaced."""
    restore_interrupted(path)
    if not os.path.lexists(path):
        return
    if not path.is_dir():
        raise OutputError(f"{path} exists and is not a folder; choose another name")
    if not overwrite and any(not is_temporary(entry) for entry in path.iterdir()):
        raise OutputError(
            f"{path} exists and is not empty; choose another name (in Python, overwrite=True "
            "replaces it)"
        )


def check_no_file(path: Path, overwrite: bool) -> None:
    """Raise OutputError if a file stands where one is to be written, unless it may be replaced."""
    if path.exists() and not overwrite:
        raise OutputError(
            f"{path} exists; choose another name (in Python, overwrite=True replaces it)"
        )


@contextmanager
def _all_or_nothing(path: Path, temporary: Path) -> Iterator[None]:
    """Create the parents of ``path``; on any exception remove them again, and ``temporary``.

    The operating system's errors become errors of this library.
    """
    made: list[Path] = []
    try:
        for folder in reversed(path.absolute().parents):
            if not folder.exists():
                folder.mkdir()
                made.append(folder)
        remove_leftovers(path.parent, path.name)
        yield
    except BaseException as error:
        _remove(temporary)
        for folder in reversed(made):
            with suppress(OSError):  # another process has put something there
                folder.rmdir()
        if isinstance(error, OutputError):  # raised for a file inside the unfinished folder
            raise OutputError(str(error).replace(str(temporary), str(path))) from error
        if isinstance(error, OSError):
            reason = _REASONS.get(error.errno or 0, str(error))
            raise OutputError(f"cannot write {path}: {reason}; nothing was written") from error
        raise


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()


def _flush(file: Path) -> None:
    """Wait until the file is on the disk, so that a crash after the renaming loses nothing."""
    with file.open("rb+") as handle:
        os.fsync(handle.fileno())


def _swap(temporary: Path, path: Path) -> None:
    """Replace ``path`` by ``temporary``; the old content is removed only after that."""
    if not path.is_dir():
        temporary.rename(path)
        return
    if exchange(temporary, path):
        shutil.rmtree(temporary, ignore_errors=True)
        return
    # Two steps if the file system cannot exchange names. If the process is killed between them, the
    # next save or load restores the old folder from its temporary name.
    old = temporary_name(path, "old")
    path.rename(old)
    try:
        temporary.rename(path)
    except BaseException:
        old.rename(path)
        raise
    shutil.rmtree(old, ignore_errors=True)
