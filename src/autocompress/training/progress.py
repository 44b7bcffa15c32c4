"""Progress of a run: a bar with the remaining time, and RUN/metrics.jsonl."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from typing_extensions import Self

from autocompress.errors import CheckpointError
from autocompress.io.atomic import atomic_file
from autocompress.io.header import read_bounded
from autocompress.io.seal import check_seal, seal, unseal
from autocompress.printing import counted, duration

__all__ = ["METRICS", "MetricsFile", "TrainingBar", "read_metrics"]

#: Name of the log in a run folder.
METRICS = "metrics.jsonl"

#: Largest size of the log in bytes: enough for more than 100,000 epochs.
METRICS_BYTES = 64 << 20


class MetricsFile:
    """The log metrics.jsonl: one JSON object per line, in the order of the epochs.

    Args:
        folder: Folder of the run; None writes nothing.
        keep: Records of the run so far. A resumed run's file starts with them, so that an epoch
            lost with the process does not appear twice.
    """

    def __init__(self, folder: Path | None, keep: list[dict[str, Any]]) -> None:
        self.path = None if folder is None else folder / METRICS
        if self.path is not None:
            unseal(self.path)
            with atomic_file(self.path) as new:
                new.write_text(
                    "".join(json.dumps(record, allow_nan=False) + "\n" for record in keep)
                )

    def write(self, record: dict[str, Any]) -> None:
        """Append one record."""
        if self.path is not None:
            with self.path.open("a") as file:
                file.write(json.dumps(record, allow_nan=False) + "\n")

    def finish(self) -> None:
        """Seal the file of a finished run."""
        if self.path is not None:
            records = [json.loads(line) for line in self.path.read_text().splitlines()]
            keys = sorted({key for record in records for key in record})
            seal(self.path, records=len(records), keys=keys)


def read_metrics(folder: Path) -> list[dict[str, Any]]:
    """Return the records of a finished run, one per epoch.

    Raises:
        CheckpointError: The file metrics.jsonl is missing, truncated or altered; the message says
            where.
    """
    path = folder / METRICS
    check_seal(path)
    try:
        lines = read_bounded(path, METRICS_BYTES).decode("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from error
    records = [_record(path, number, line) for number, line in enumerate(lines, 1)]
    if not records:
        raise CheckpointError(f"{path} is empty: a finished run has one line per epoch")
    return records


def _record(path: Path, epoch: int, line: str) -> dict[str, Any]:
    """Return the record of one line, checked for the keys that every record has."""
    try:
        record = json.loads(line)
        if record["epoch"] != epoch:
            raise ValueError(f"epoch {record['epoch']!r}, expected {epoch}")
        for key in ("loss", "lr", "seconds"):
            if type(record[key]) not in (int, float) or not math.isfinite(record[key]):
                raise ValueError(f"{key} {record[key]!r} is not a number")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        said = f"no key {error}" if isinstance(error, KeyError) else str(error)
        raise CheckpointError(f"{path} is damaged in line {epoch}: {said}") from error
    return dict(record)


class TrainingBar:
    """The progress of one training: a bar on a terminal, elsewhere a printed line now and then.

    Elsewhere there is a line when training begins, one after every tenth of its epochs, and one
    every :attr:`QUIET` seconds within a long epoch.

    Args:
        title: Name of the training.
        epochs: Number of epochs.
        steps: Steps per epoch.
        done: Epochs that are already finished, if the training is resumed.
        show: Whether to show anything.
        console: Console that shows it; None is standard error.
        clock: Function that returns the time in seconds.
    """

    #: Longest time without a line, in seconds, if the output is not a terminal.
    QUIET = 30.0

    def __init__(
        self,
        title: str,
        epochs: int,
        steps: int,
        *,
        done: int = 0,
        show: bool = True,
        console: Console | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.title, self.epochs, self.steps, self.show = title, epochs, steps, show
        self.console = console or Console(stderr=True)
        self.moves = self.console.is_terminal and not self.console.is_dumb_terminal
        self.clock = clock
        self.done, self.pace = done, _Pace(clock)
        self.progress = Progress(
            TextColumn("{task.fields[where]}"),
            BarColumn(bar_width=None),
            TextColumn("{task.fields[speed]}"),
            TextColumn("{task.fields[note]}"),
            console=self.console,
            expand=True,
            disable=not (show and self.moves),
        )
        self.task = self.progress.add_task(
            title,
            total=epochs * steps,
            completed=done * steps,
            where=self._where(done, 0),
            speed="",
            note="",
        )
        self._told = clock()

    def __enter__(self) -> Self:
        more = f", continued after epoch {self.done}" if self.done else ""
        self._print(
            f"{self.title}: {counted(self.epochs, 'epoch')} of {counted(self.steps, 'step')}{more}"
        )
        self.progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.progress.stop()

    def step(self, epoch: int, step: int, examples: int) -> None:
        """Show that ``step`` steps of ``epoch`` (from 1) are finished, the last with ``examples``.

        It is called for every step, so it does little unless there is something to show.
        """
        self.pace.add((epoch - 1) * self.steps + step, examples)
        if not self.show:
            return
        if self.moves:
            self._move(epoch, step)
        elif self.clock() - self._told > self.QUIET:
            self._tell(self._where(epoch, step))

    def epoch(self, done: int, record: dict[str, Any]) -> None:
        """Show that ``done`` epochs are finished, the last of them with ``record``."""
        note = f"loss {record['loss']:.3f}"
        if record.get("validation") is not None:
            note += f", validation {100 * record['validation']:.1f} %"
        if not self.show:
            return
        if self.moves:
            self._move(done, self.steps, note=note)
        elif done % max(1, self.epochs // 10) == 0 or done == self.epochs:
            self._tell(f"epoch {done}/{self.epochs}, {note}")
        self.pace.rest()

    def _move(self, epoch: int, step: int, **note: str) -> None:
        """Move the bar; the rate is renewed a few times a second only, to stay readable."""
        completed = (epoch - 1) * self.steps + step
        shown: dict[str, Any] = {"completed": completed, "where": self._where(epoch, step), **note}
        if note or self.clock() - self._told > 0.2:
            shown["speed"] = self.pace.words(self.epochs * self.steps - completed)
            self._told = self.clock()
        self.progress.update(self.task, **shown)

    def _tell(self, what: str) -> None:
        speed = self.pace.words(self.epochs * self.steps - self.pace.completed)
        self._print(f"{self.title}: {what}{', ' if speed else ''}{speed}")
        self._told = self.clock()

    def _print(self, line: str) -> None:
        if self.show:
            self.console.print(line, highlight=False, soft_wrap=True, markup=False)

    def _where(self, epoch: int, step: int) -> str:
        return f"epoch {epoch}/{self.epochs}, step {step}/{self.steps}"


class _Pace:
    """The speed of training: examples per second within an epoch, seconds per step over all."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock = clock
        self.completed = 0
        self._begin: tuple[float, int] | None = None  # time and steps when the first step was over
        self._since: float | None = None
        self._examples, self._last = 0, clock()

    def add(self, completed: int, examples: int) -> None:
        """Count a step, after which ``completed`` steps of the run are finished."""
        now = self.clock()
        self.completed = completed
        if self._begin is None:  # the first step also warms up: compiles, fills caches
            self._begin = (now, completed)
        elif self._since is None:
            self._since, self._examples = self._last, examples
        else:
            self._examples += examples
        self._last = now

    def rest(self) -> None:
        """Leave the time until the next step out of the examples per second."""
        self._since = None

    def words(self, left: int) -> str:
        """Return the examples per second and the time that ``left`` more steps take."""
        if self._begin is None or self.completed <= self._begin[1]:
            return ""
        seconds, steps = self.clock() - self._begin[0], self.completed - self._begin[1]
        said: list[str] = []
        if self._since is not None and self._last > self._since:
            said = [f"{self._examples / (self._last - self._since):,.0f} examples/s"]
        return ", ".join([*said, f"{duration(seconds / steps * left)} left"] if left else said)
