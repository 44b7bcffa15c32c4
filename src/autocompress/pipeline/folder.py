"""The run folder: made once, taken up again, read by the verbs that come after training."""

from __future__ import annotations

from pathlib import Path

from autocompress import io
from autocompress.errors import CheckpointError, ConfigError, OutputError
from autocompress.network import Network

__all__ = ["check_run", "find_model", "find_run", "load_network", "open_run"]


def check_run(folder: Path, config_text: str, resume: bool, name: str = "config.yaml") -> None:
    """Can a run of this config start in ``folder``, or go on there? Writes nothing.

    Args:
        folder: RUN.
        config_text: the resolved config as YAML.
        resume: the folder may hold a run of this same config.
        name: of the file that keeps the config.

    Raises:
        OutputError: it exists and ``resume`` is off.
        ConfigError: it holds a run of another config.
    """
    kept = folder / name
    if kept.exists() and resume:
        if kept.read_text() != config_text:
            raise ConfigError(
                f"{folder} holds a run with other settings than these; resume it with its own "
                f"(--config {kept}), or name a new --output"
            )
    elif folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        how = "; to go on with the run in it, add --resume true" if kept.exists() else ""
        raise OutputError(f"{folder} exists already and is not empty: name a new --output{how}")


def open_run(folder: Path, config_text: str, name: str = "config.yaml") -> None:
    """Make ``folder`` with the file of its config; where a run is resumed, both are there.

    Raises:
        OutputError: it cannot be written.
    """
    if not (folder / name).exists():
        with io.atomic_file(folder / name) as new:
            new.write_text(config_text)


def find_model(path: Path) -> Path:
    """The folder with config.json: ``path`` itself, or the model of the run in ``path``."""
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
    """The run folder that ``path`` is, or is a network of; None where there is none."""
    for candidate in (path, *path.resolve().parents[:2]):
        if (candidate / "config.yaml").is_file():
            return candidate
    return None


def load_network(path: Path) -> Network:
    """The network at ``path``, a run folder or a saved network. Errors as :func:`io.load`."""
    return io.load(find_model(path))
