"""Resumable training state: RUN/checkpoints/epoch-0012/{state.pt, info.json}.

A checkpoint is a directory that is either complete or absent. ``state.pt`` holds tensors and plain
values and is read with ``weights_only=True``; ``info.json`` records the model and settings it
belongs to, and hashes that reveal whether either file was altered. ``epoch-0012-step-000034``
belongs to a run that was stopped within its 13th epoch.
"""

from __future__ import annotations

import hashlib
import json
import re
import warnings
from collections.abc import Collection
from pathlib import Path
from typing import Any

import torch

from autocompress.errors import CheckpointError, OutputError
from autocompress.io.atomic import atomic_dir, remove
from autocompress.io.header import sha256
from autocompress.training.identity import unlike

__all__ = ["clear_checkpoints", "latest_checkpoint", "read_latest", "write_checkpoint"]

_KEEP = 2
_NAME = re.compile(r"epoch-(\d+)(?:-step-(\d+))?")


def write_checkpoint(
    folder: Path, epoch: int, state: dict[str, Any], identity: dict[str, Any], step: int = 0
) -> Path:
    """Write the state after ``epoch`` epochs and remove all but the newest two checkpoints.

    Args:
        folder: RUN/checkpoints.
        epoch: Number of finished epochs.
        state: Tensors and plain values.
        identity: JSON that a resumed run must have in common with this one.
        step: Number of finished steps of the next epoch; 0 at the end of an epoch.

    Raises:
        OutputError: The folder cannot be written.
    """
    target = folder / (f"epoch-{epoch:04d}" + (f"-step-{step:06d}" if step else ""))
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_dir(target, overwrite=True) as new:
        try:
            torch.save(state, new / "state.pt")
        except RuntimeError as error:  # torch's writer hides the operating system's reason
            raise OutputError(
                f"{target} cannot be written, is there space left? ({error})"
            ) from error
        info = {"epoch": epoch, "sha256": sha256(new / "state.pt"), "identity": identity}
        info["digest"] = _digest(info)
        (new / "info.json").write_text(json.dumps(info, indent=2, sort_keys=True, allow_nan=False))
    for old in _all(folder)[:-_KEEP]:
        remove(old)
    return target


def clear_checkpoints(folder: Path) -> None:
    """Remove all checkpoints in ``folder``: a run that starts anew must not resume from them."""
    for old in _all(folder):
        remove(old)


def latest_checkpoint(folder: Path) -> Path | None:
    """Return the newest checkpoint in ``folder``, if there is one."""
    found = _all(folder)
    return found[-1] if found else None


def read_latest(
    folder: Path, identity: dict[str, Any], defaults: Collection[str] = ()
) -> dict[str, Any] | None:
    """Return the newest intact state in ``folder``; None if there is no checkpoint.

    Args:
        folder: RUN/checkpoints.
        identity: JSON that the checkpoint's run must have in common with this one.
        defaults: Dotted keys of ``identity`` that have their default (see :func:`unlike`).

    Raises:
        CheckpointError: All checkpoints are damaged, or the newest intact one was written by a run
            of another ``identity``.

    Warns:
        UserWarning: The newest checkpoint is damaged, and the one before it is used.
    """
    damaged: list[CheckpointError] = []
    for path in reversed(_all(folder)):
        try:
            info = _info(path)
        except CheckpointError as error:
            damaged.append(error)
            continue
        _check_same(path, info, identity, defaults)
        for problem in damaged:
            warnings.warn(f"{problem}; resuming from the one before it, {path}", stacklevel=2)
        return _state(path)
    if damaged:
        raise CheckpointError(
            f"{damaged[0]}, and there is no other to resume from; remove {folder} to start over"
        )
    return None


def _info(path: Path) -> dict[str, Any]:
    """Return the content of info.json in the checkpoint ``path``.

    Raises:
        CheckpointError: The checkpoint is incomplete, truncated or altered.
    """
    try:
        for name in ("info.json", "state.pt"):
            if not (path / name).is_file():  # a pipe would block its reader
                raise CheckpointError(f"checkpoint {path} is incomplete: {name} is missing")
        info = json.loads((path / "info.json").read_text(encoding="utf-8"))
        digest, same = info.pop("digest", None), info["sha256"] == sha256(path / "state.pt")
        info["identity"].keys(), info["epoch"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(f"checkpoint {path} is incomplete ({error})") from error
    if not same or digest not in (None, _digest(info)):
        raise CheckpointError(
            f"checkpoint {path} is truncated or was altered (its hash differs from info.json)"
        )
    return dict(info)


def _check_same(
    path: Path, info: dict[str, Any], identity: dict[str, Any], defaults: Collection[str]
) -> None:
    changed = unlike(info["identity"], identity, defaults)
    if changed:
        raise CheckpointError(
            f"checkpoint {path} belongs to another model, other settings or other data "
            f"({'; '.join(changed)}); give the same ones, or train into a new folder"
        )


def _state(path: Path) -> dict[str, Any]:
    try:
        state: dict[str, Any] = torch.load(path / "state.pt", weights_only=True, map_location="cpu")
    except Exception as error:  # torch's reader raises any kind on a file that it did not write
        raise CheckpointError(f"checkpoint {path} cannot be read ({error})") from error
    return state


def _digest(info: dict[str, Any]) -> str:
    """Return a hash of info.json, so that an altered setting counts as damage, not another run."""
    plain = json.loads(json.dumps(info))  # the keys as the file has them
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()


def _all(folder: Path) -> list[Path]:
    """Return all checkpoints in ``folder``, sorted from oldest to newest by their numbers."""
    found = []
    for path in folder.glob("epoch-*"):
        name = _NAME.fullmatch(path.name)
        if name and path.is_dir():
            found.append((int(name[1]), int(name[2] or 0), path))
    return [path for *_, path in sorted(found)]
