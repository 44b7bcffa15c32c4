"""The run folder: created once, resumed, written by one process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from autocompress import io
from autocompress.errors import (
    ConfigError,
    InterruptedRunError,
    OutputError,
)
from autocompress.io.lock import LOCK, locked
from autocompress.io.seal import seal
from autocompress.io.temporary import sweep
from autocompress.pipeline.config import RunConfig
from autocompress.pipeline.recipes import read_recipe, to_yaml
from autocompress.pipeline.resolving import resolve
from autocompress.pipeline.stream import StreamRun
from autocompress.pipeline.values import as_values, make_config
from autocompress.training.identity import at_default, unlike

__all__ = ["check_run", "holds_something", "open_run"]


def check_run(
    folder: Path, config: RunConfig | StreamRun, resume: bool, name: str = "config.yaml"
) -> None:
    """Check that a run of this config can start in ``folder`` or resume there, writing nothing.

    Leftovers of killed runs, such as temporaries and a lock that nobody holds, are ignored.

    Args:
        folder: The run folder.
        config: Settings of the run.
        resume: Whether the folder may hold a run of this same config.
        name: Name of the file with the config.

    Raises:
        LockedError: Another process is writing to the folder.
        OutputError: The folder exists and ``resume`` is off.
        ConfigError: The folder holds a run of another config.
        CheckpointError: Its config was altered since the run began.
    """
    kept = folder / name
    if (folder / LOCK).is_file():
        with locked(folder):  # only to learn whether another process holds it
            pass
    if kept.exists() and resume:
        held = read_recipe(kept, type(config))
        settled = as_values(resolve(make_config(type(config), held)))  # once it was left open
        now = as_values(config)
        held = {key: settled[key] for key in now if key in held or settled[key] == now[key]}
        changed = unlike(held, now, at_default(config))
        if changed:
            raise ConfigError(
                f"{folder} holds a run with other settings than these ({'; '.join(changed[:5])}); "
                f"resume it with its own (--config {kept}), or choose another --output"
            )
    elif holds_something(folder):
        how = "; to resume the run in it, add --resume" if kept.exists() else ""
        if not folder.is_dir():
            raise OutputError(f"{folder} is a file, not a folder: choose another --output")
        raise OutputError(f"{folder} exists already and is not empty: choose another --output{how}")


def holds_something(folder: Path) -> bool:
    """Return whether ``folder`` is a file, or holds more than a lock and temporaries."""
    if not folder.is_dir():
        return folder.exists()
    return any(path.name != LOCK and not io.is_temporary(path) for path in folder.iterdir())


@contextmanager
def open_run(
    folder: Path,
    config: RunConfig | StreamRun,
    resume: bool,
    name: str = "config.yaml",
    command: str = "",
) -> Iterator[None]:
    """Be the only writer to ``folder`` inside the context; create it with the config's file.

    Args:
        folder: The run folder.
        config: Settings of the run.
        resume: Resume flag as for :func:`check_run`, which is called again, since another process
            may have been quicker.
        name: Name of the file with the config.
        command: Command that resumes the run, for the message of an interruption.

    Raises:
        LockedError, OutputError, ConfigError, CheckpointError: As for :func:`check_run`, or the
            folder cannot be written.
        InterruptedRunError: A signal stopped the run inside the context.
    """
    kept = folder / name
    with locked(folder):
        check_run(folder, config, resume, name)
        sweep(folder)
        if not kept.exists():
            with io.atomic_file(kept) as new:
                new.write_text(to_yaml(config), encoding="utf-8")
            seal(kept)
        try:
            yield
        except KeyboardInterrupt as error:  # between two trainings; training handles its own
            raise InterruptedRunError(
                f"{error or 'stopped'}; {folder} keeps what is finished\n"
                f"On the command line: {command}"
            ) from None
