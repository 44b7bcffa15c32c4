"""Protect finished files of a run: reading a file that has changed since is an error.

FOLDER/sealed.json holds the SHA-256 of the run's text files: settings, metrics, report. Networks
and checkpoints carry their own hashes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from autocompress.errors import CheckpointError
from autocompress.io.atomic import write_json
from autocompress.io.header import sha256

__all__ = ["SEAL", "check_seal", "seal", "unseal"]

#: Name of the seal in the folder.
SEAL = "sealed.json"

#: Size limit of the seal in bytes.
_MOST = 2**20


def seal(path: Path, **facts: Any) -> None:
    """Record that ``path`` is finished, so that :func:`check_seal` detects any later change.

    Args:
        path: A file of a run.
        facts: Further information about it to keep, as JSON.

    Raises:
        OutputError: The seal cannot be written.
        CheckpointError: The existing seal is damaged.
    """
    notes = _notes(path.parent)
    notes[path.name] = {"sha256": sha256(path), **facts}
    _write(path.parent, notes)


def unseal(path: Path) -> None:
    """Remove the record of ``path``, which is about to change."""
    notes = _notes(path.parent)
    if notes.pop(path.name, None) is not None:
        _write(path.parent, notes)


def check_seal(path: Path) -> None:
    """Check that ``path`` has not changed since it was sealed; an unsealed file passes.

    Raises:
        CheckpointError: The file is missing, truncated or altered, or the seal itself is.
    """
    note = _notes(path.parent).get(path.name)
    if note is None:
        return
    if not path.is_file():
        raise CheckpointError(f"{path} is missing; {path.parent} is not complete")
    if note["sha256"] != sha256(path):
        raise CheckpointError(
            f"{path} is truncated or was altered since its run wrote it (its hash differs from "
            f"{SEAL}): put the original back; make changes of your own in a copy "
            "outside the run"
        )


def _notes(folder: Path) -> dict[str, Any]:
    path = folder / SEAL
    if not path.is_file():
        return {}
    try:
        if path.stat().st_size > _MOST:
            raise ValueError(f"it has more than {_MOST} bytes")
        files = json.loads(path.read_text(encoding="utf-8"))["files"]
        if not all(isinstance(note["sha256"], str) for note in files.values()):
            raise TypeError("a hash is missing")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CheckpointError(f"{path} is truncated or damaged: {error}") from error
    return dict(files)


def _write(folder: Path, notes: Mapping[str, Any]) -> None:
    write_json(folder / SEAL, {"schema": 1, "files": notes})
