"""Exchange two folders in one step, where operating system and file system support it."""

from __future__ import annotations

import ctypes
import os
import sys
from functools import cache
from pathlib import Path
from typing import Any

__all__ = ["exchange"]

#: Linux: names relative to the working directory, and the flag to exchange rather than replace.
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2
#: macOS: the corresponding flag.
_RENAME_SWAP = 2


def exchange(first: Path, second: Path) -> bool:
    """Exchange the names of two existing folders or files; both names exist at every moment.

    Returns:
        Whether it was done; if the system does not support it, nothing has changed.
    """
    names = os.fsencode(first), os.fsencode(second)
    call = _call()
    if call is None:
        return False
    if sys.platform == "darwin":
        return bool(call(*names, _RENAME_SWAP) == 0)
    return bool(call(_AT_FDCWD, names[0], _AT_FDCWD, names[1], _RENAME_EXCHANGE) == 0)


@cache
def _call() -> Any:
    """Return the C library's function, or None if it has none."""
    name = {"linux": "renameat2", "darwin": "renamex_np"}.get(sys.platform)
    if name is None:
        return None
    try:
        return getattr(ctypes.CDLL(None, use_errno=True), name)
    except (OSError, AttributeError):
        return None
