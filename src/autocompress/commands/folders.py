"""The options shared by compress, train and stream."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TypeVar

from autocompress.commands.common import Common
from autocompress.errors import ConfigError
from autocompress.pipeline import RunConfig, StreamRun, next_free

__all__ = ["COMMON", "LiveRunFolder", "RunFolder"]

R = TypeVar("R", bound=RunConfig | StreamRun)

#: The options of a run that most users need; ``--help-all`` shows the others.
COMMON = (
    *("data.name", "data.task", "data.image_size", "data.validation", "data.skip_broken"),
    *("model.name", "model.source", "model.init", "model.depth", "model.connectivity"),
    *("fit.epochs", "fit.batch_size", "fit.lr", "fit.precision", "fit.device", "fit.seed"),
    *("select.tolerance", "select.flops", "rivals", "heal"),
    *("stream.tasks", "stream.protect"),
)


@dataclass(frozen=True, kw_only=True)
class RunFolder(Common):
    """Options of compress, train and stream besides those of the run.

    Args:
        output: Run folder to create; the next free runs/NAME-N unless given.
        resume: Whether to continue the run in ``output``.
        track: Tracker of every training of the run, the same as ``--fit.track``: tensorboard,
            trackio or wandb, which needs the extra of that name.
        print_config: Whether to print the resolved options as YAML and exit.
    """

    output: str | None = None
    resume: bool = False
    track: Literal["tensorboard", "trackio", "wandb"] | None = None
    print_config: bool = False

    def tracked(self, config: R) -> R:
        """Return the run's settings with the tracker that the user has named."""
        if self.track is None:
            return config
        control = getattr(config, "control", None)
        more = {} if control is None else {"control": replace(control, track=self.track)}
        return replace(config, fit=replace(config.fit, track=self.track), **more)

    def folder(self, name: str) -> Path:
        """Return the run folder.

        Args:
            name: Name of the data, used for the folder if the user has named none.

        Raises:
            ConfigError: A run is to be resumed, but no folder is named.
        """
        if self.output is not None:
            return Path(self.output)
        if self.resume:
            raise ConfigError("name the run to continue: --output RUN --resume")
        return next_free(name)


@dataclass(frozen=True, kw_only=True)
class LiveRunFolder(RunFolder):
    """Options of compress and train.

    Args:
        live: Whether to serve a page on 127.0.0.1 that shows the run while it lasts.
    """

    live: bool = False

    @contextmanager
    def following(self, folder: Path, wanted: bool = True) -> Iterator[None]:
        """Serve the page of the run inside the context if ``live`` is set, and print its address.

        Args:
            folder: The run folder.
            wanted: Whether this process is the one to serve it.
        """
        if not (self.live and wanted):
            yield
            return
        from autocompress.report.live import serving

        with serving(folder) as address:
            print(f"watch this run: {address}", file=sys.stderr, flush=True)
            yield
