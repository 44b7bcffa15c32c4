"""What a run has finished writing stays as it was, or reading it is an error.

FOLDER/sealed.json holds the SHA-256 of the run's text files: settings, metrics, report. Networks
and checkpoints carry hashes of their own.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from autocompress.errors import CheckpointError
from autocompress.io.atomic import write_json
from autocompress.io.weights import sha256

__all__ = ["SEAL", "check_seal", "seal", "unseal"]

#: Its name in the folder.
SEAL = "sealed.json"

#: Bytes that it never needs.
_MOST = 2**20


def seal(path: Path, **facts: Any) -> None:
    """Note that ``path`` is finished: from now on :func:`check_seal` holds it to what it is.

    Args:
        path: A file of a run.
        facts: What else is worth keeping of it, JSON.

    Raises:
        OutputError: The note cannot be written. CheckpointError: The notes before are damaged.
    """
    notes = _notes(path.parent)
    notes[path.name] = {"sha256": sha256(path), **facts}
    _write(path.parent, notes)


def unseal(path: Path) -> None:
    """Forget what :func:`seal` noted of ``path``, which is about to change."""
    notes = _notes(path.parent)
    if notes.pop(path.name, None) is not None:
        _write(path.parent, notes)


def check_seal(path: Path) -> None:
    """Check that ``path`` is as it was when it was sealed; a file that never was passes.

    Raises:
        CheckpointError: It is missing, truncated or altered, or the notes themselves are.
    """
    note = _notes(path.parent).get(path.name)
    if note is None:
        return
    if not path.is_file():
        raise CheckpointError(f"{path} is missing; {path.parent} is not complete")
    if note["sha256"] != sha256(path):
        raise CheckpointError(
            f"{path} is truncated or was altered since its run wrote it (its hash differs from "
            f"{SEAL}): put the original back; what you change on purpose belongs into a copy "
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
