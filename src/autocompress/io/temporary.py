"""Names of temporary files and folders, and the treatment of those left by killed processes.

A name tells which process on which machine writes under it: ``.small.1f3a-4711-9c02d1ab.tmp`` for
``small``. A temporary that no living process of this machine owns is a leftover.
"""

from __future__ import annotations

import os
import platform
import re
import secrets
import shutil
import time
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Literal

__all__ = ["is_temporary", "remove_leftovers", "restore_interrupted", "sweep", "temporary_name"]

_NAME = re.compile(
    r"\.(?P<stem>.*)\.(?P<host>[0-9a-f]{4})-(?P<pid>\d+)-[0-9a-f]{8}\.(?P<kind>tmp|old)(?P<suffix>\.[^.]*)?"
)

#: Whether a process can be looked up by its number without side effects.
_UNIX = os.name == "posix"

#: Seconds after which a temporary of another machine is abandoned.
_STALE = 7 * 24 * 3600


def temporary_name(path: Path, kind: Literal["tmp", "old"] = "tmp") -> Path:
    """Return a hidden name in the same folder, for an atomic renaming, with the same suffix."""
    owner = f"{_host()}-{os.getpid()}-{secrets.token_hex(4)}"
    return path.with_name(f".{path.stem}.{owner}.{kind}{path.suffix}")


def is_temporary(path: Path) -> bool:
    """Return whether a name is that of a temporary file or folder, in use or left over.

    Example:
        >>> is_temporary(temporary_name(Path("run/model"))), is_temporary(Path("run/model"))
        (True, False)
    """
    return _NAME.fullmatch(path.name) is not None


def remove_leftovers(folder: Path, name: str | None = None) -> list[Path]:
    """Remove what killed processes were writing in ``folder``; live processes keep theirs.

    Args:
        folder: Folder to search, without its subfolders.
        name: Name of the file or folder that was to be written; None matches any.

    Returns:
        The removed paths. A path that cannot be removed stays, without an error.
    """
    gone = []
    for path in _temporaries(folder, name):
        restore_interrupted(_target(path))
        if not path.is_symlink() and path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            with suppress(OSError):
                path.unlink()
        gone.append(path)
    return gone


def sweep(folder: Path) -> None:
    """Remove leftovers of killed processes in ``folder`` and all folders below it."""
    for place, _, _ in os.walk(folder, topdown=False):
        remove_leftovers(Path(place))


def restore_interrupted(path: Path) -> None:
    """Restore the name of a folder if its replacement was killed between its two renamings."""
    if os.path.lexists(path):
        return
    for old in _temporaries(path.parent, path.name):
        match = _NAME.fullmatch(old.name)
        if match is not None and match["kind"] == "old":
            with suppress(OSError):
                old.rename(path)
            return


def _temporaries(folder: Path, name: str | None) -> list[Path]:
    """Return the temporaries in ``folder`` for the target ``name`` that have no owner."""
    try:
        found = [entry for entry in os.listdir(folder) if entry.startswith(".")]
    except OSError:
        return []
    paths = [folder / entry for entry in sorted(found) if _NAME.fullmatch(entry)]
    return [p for p in paths if name in (None, _target(p).name) and not _has_owner(p)]


def _target(temporary: Path) -> Path:
    match = _NAME.fullmatch(temporary.name)
    assert match is not None
    return temporary.with_name(match["stem"] + (match["suffix"] or ""))


def _has_owner(path: Path) -> bool:
    match = _NAME.fullmatch(path.name)
    assert match is not None
    if match["host"] != _host() or not _UNIX:
        try:
            return time.time() - path.lstat().st_mtime < _STALE
        except OSError:
            return True
    try:
        os.kill(int(match["pid"]), 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:  # the process lives and belongs to another user
        return True
    return True


def _host() -> str:
    return f"{zlib.crc32(platform.node().encode()) & 0xFFFF:04x}"
