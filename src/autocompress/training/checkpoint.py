"""Resumable training state: RUN/checkpoints/epoch-0012/{state.pt, info.json}.

A checkpoint is a directory that appears whole or not at all. ``state.pt`` holds tensors and plain
numbers and is read with ``weights_only=True``; ``info.json`` says of which model and settings it
is, and the hash that shows whether it was altered.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from autocompress.data import AugmentConfig
from autocompress.errors import CheckpointError, OutputError
from autocompress.io.atomic import atomic_dir
from autocompress.io.weights import sha256
from autocompress.network import Network
from autocompress.training.config import FitConfig, difference

__all__ = ["identity_of", "latest_checkpoint", "read_checkpoint", "write_checkpoint"]

_KEEP = 2


def write_checkpoint(
    folder: Path, epoch: int, state: dict[str, Any], identity: dict[str, Any]
) -> Path:
    """Write the state after ``epoch`` epochs and drop all but the newest two.

    Args:
        folder: RUN/checkpoints.
        epoch: number of finished epochs.
        state: tensors and plain values.
        identity: JSON that a resumed run must have in common with this one.

    Raises:
        OutputError: the folder cannot be written.
    """
    target = folder / f"epoch-{epoch:04d}"
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_dir(target, overwrite=True) as new:
        try:
            torch.save(state, new / "state.pt")
        except RuntimeError as error:  # torch's writer hides the operating system's reason
            raise OutputError(
                f"{target} cannot be written, is there space left? ({error})"
            ) from error
        info = {"epoch": epoch, "sha256": sha256(new / "state.pt"), "identity": identity}
        (new / "info.json").write_text(json.dumps(info, indent=2, sort_keys=True))
    for old in _all(folder)[:-_KEEP]:
        shutil.rmtree(old)
    return target


def identity_of(net: Network, config: FitConfig, augment: AugmentConfig | None) -> dict[str, Any]:
    """What two sessions of one run must have in common: the model and all that shapes the run."""
    settings = asdict(config)
    for free in ("checkpoint_every", "evaluate_every", "device"):
        del settings[free]
    model = {"model": net.model_name, **net.config}
    return {**model, **settings, "augment": None if augment is None else asdict(augment)}


def latest_checkpoint(folder: Path) -> Path | None:
    """The newest checkpoint in ``folder``, if there is one."""
    found = _all(folder)
    return found[-1] if found else None


def read_checkpoint(path: Path, identity: dict[str, Any]) -> dict[str, Any]:
    """The state in ``path``.

    Raises:
        CheckpointError: truncated, altered, or written by a run of another ``identity``.
    """
    try:
        info = json.loads((path / "info.json").read_text())
        same = info["sha256"] == sha256(path / "state.pt")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(
            f"checkpoint {path} is incomplete ({error}); delete it to go on from the one before"
        ) from error
    if not same:
        raise CheckpointError(
            f"checkpoint {path} is truncated or was altered (its hash differs from info.json); "
            "delete it to go on from the one before"
        )
    # through JSON, so that tuples compare as the lists they were saved as
    changed = difference(info["identity"], json.loads(json.dumps(identity)))
    if changed:
        raise CheckpointError(
            f"checkpoint {path} is of another model or other settings ({'; '.join(changed)}); "
            "give the same ones, or train into a new folder"
        )
    state: dict[str, Any] = torch.load(path / "state.pt", weights_only=True, map_location="cpu")
    return state


def _all(folder: Path) -> list[Path]:
    return sorted(p for p in folder.glob("epoch-*") if p.is_dir())
