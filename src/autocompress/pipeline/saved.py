"""Find and load the networks of run folders, for the verbs that follow training."""

from __future__ import annotations

from pathlib import Path

from autocompress.io.saving import find_saved
from autocompress.network import Network, load

__all__ = ["find_model", "find_run", "load_network"]


def find_model(path: Path) -> Path:
    """Return the folder with config.json: ``path`` itself, or the model of the run in ``path``."""
    return find_saved(path, "model")


def find_run(path: Path) -> Path | None:
    """Return the run folder that ``path`` is, or belongs to; None if there is none."""
    for candidate in (path, *path.resolve().parents[:2]):
        if (candidate / "config.yaml").is_file():
            return candidate
    return None


def load_network(path: Path) -> Network:
    """Load the network at ``path``, a run folder or a saved network; raise as :func:`io.load`."""
    return load(find_model(path))
