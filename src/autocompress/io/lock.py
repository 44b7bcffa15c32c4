"""The lock of a run folder, which allows one writer and ends with its process.

FOLDER/lock records the writer: process, machine and time. The lock itself is held by the operating
system and not by the file's existence, so a file left behind by a killed process blocks nobody.
"""

from __future__ import annotations

import errno
import json
import os
import socket
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from autocompress.errors import LockedError, OutputError

__all__ = ["LOCK", "locked"]

#: Name of the lock file in the folder.
LOCK = "lock"

#: Writers in this process by folder: the thread, and how many times it has entered.
_held: dict[Path, tuple[int, int]] = {}
_guard = threading.Lock()

#: Error numbers of file systems that do not support locks.
_UNABLE = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)


@contextmanager
def locked(folder: str | os.PathLike[str] | None) -> Iterator[None]:
    """Make this process the only writer to ``folder`` inside the context, creating it if missing.

    The same thread may enter again, as training within a larger run does.

    Args:
        folder: Run folder; None locks nothing.

    Raises:
        LockedError: Another process, or another thread of this one, is writing there; the message
            says which.
        OutputError: The folder cannot be created, or is a file.

    Warns:
        UserWarning: The file system does not support locks, so nothing is locked.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> with locked(folder):
        ...     (folder / "lock").exists()
        True
        >>> (folder / "lock").exists()
        False
    """
    if folder is None:
        yield
        return
    place = Path(folder).resolve()
    with _guard:
        thread, entered = _held.get(place, (threading.get_ident(), 0))
        if thread != threading.get_ident():
            raise LockedError(f"{folder} is being written by another thread of this process")
        made = _make(place) if entered == 0 else []
        handle = _take(place) if entered == 0 else None
        _held[place] = (thread, entered + 1)
    try:
        yield
    finally:
        with _guard:
            _held[place] = (thread, entered)
            if entered == 0:
                del _held[place]
                _give(place, handle)
                for parent in reversed(made):  # remove the new folders again
                    with suppress(OSError):
                        parent.rmdir()


def _make(folder: Path) -> list[Path]:
    """Create the folder and its parents; return those that are new."""
    made = []
    for place in (*reversed(folder.parents), folder):
        if not place.exists():
            try:
                place.mkdir(exist_ok=True)
            except OSError as error:
                raise OutputError(f"cannot write {folder}: {error.strerror}") from error
            made.append(place)
    return made


def _take(folder: Path) -> int | None:
    """Lock the folder's file and return its descriptor; None if locks are unsupported."""
    try:
        import fcntl
    except ImportError:  # Windows
        return None
    path = folder / LOCK
    while True:
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise OutputError(f"cannot write {path}: {error.strerror}") from error
        try:
            fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = _holder(handle)
            os.close(handle)
            if error.errno in (errno.EACCES, errno.EAGAIN):
                raise LockedError(f"{folder} is being written by {holder}") from None
            if error.errno in _UNABLE:
                warnings.warn(f"{folder}: this file system does not support locks", stacklevel=4)
                return None
            raise OutputError(f"cannot lock {path}: {error.strerror}") from error
        if _is_still(path, handle):  # the previous holder may have removed it in the meantime
            break
        os.close(handle)
    now = time.strftime("%Y-%m-%d %H:%M:%S %z")
    said = json.dumps({"process": os.getpid(), "machine": socket.gethostname(), "since": now})
    os.ftruncate(handle, 0)
    os.write(handle, f"{said}\n".encode())
    return handle


def _give(folder: Path, handle: int | None) -> None:
    """Remove the file while it is still locked, then release the lock."""
    if handle is None:
        return
    try:
        (folder / LOCK).unlink()
    except OSError:  # the folder has been removed in the meantime
        pass
    finally:
        os.close(handle)


def _is_still(path: Path, handle: int) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(handle))
    except FileNotFoundError:
        return False


def _holder(handle: int) -> str:
    """Return a sentence that says who holds the lock and what to do."""
    try:
        said = json.loads(os.pread(handle, 4096, 0))
        who = f"process {said['process']} on {said['machine']} since {said['since']}"
    except (OSError, ValueError, KeyError, TypeError):  # the holder has not written it yet
        who = "another process"
    return f"{who}: wait for it or stop it, or name another folder"
