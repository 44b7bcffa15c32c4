"""Find and load the networks of run folders, for the verbs that follow training."""

from __future__ import annotations

from itertools import count
from pathlib import Path

from autocompress.errors import CheckpointError
from autocompress.network import Network, load

__all__ = ["find_model", "find_run", "load_network", "next_free"]


def find_model(path: Path) -> Path:
    """Return the folder with config.json: ``path`` itself, or the model of the run in ``path``."""
    for candidate in (path, path / "model"):
        if (candidate / "config.json").is_file():
            return candidate
    if not path.exists():
        raise CheckpointError(f"{path} does not exist; give a run folder or a saved network")
    raise CheckpointError(
        f"{path} holds no saved network: no config.json in it or in {path / 'model'}"
        + ("; its training is not finished" if (path / "checkpoints").exists() else "")
    )


def find_run(path: Path) -> Path | None:
    """Return the run folder that ``path`` is, or belongs to; None if there is none."""
    for candidate in (path, *path.resolve().parents[:2]):
        if (candidate / "config.yaml").is_file():
            return candidate
    return None


def next_free(name: str) -> Path:
    """Return the first of runs/NAME-1, runs/NAME-2, ... that does not exist."""
    return next(p for n in count(1) if not (p := Path("runs") / f"{name}-{n}").exists())


def load_network(path: Path) -> Network:
    """Load the network at ``path``, a run folder or a saved network; raise as :func:`io.load`."""
    return load(find_model(path))
