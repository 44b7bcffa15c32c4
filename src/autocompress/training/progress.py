"""Progress of a run: a bar with the remaining time, and RUN/metrics.jsonl."""

from __future__ import annotations

import json
import math
from pathlib import Path
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from typing_extensions import Self

from autocompress.errors import CheckpointError
from autocompress.io.atomic import atomic_file
from autocompress.io.header import read_bounded
from autocompress.io.seal import check_seal, seal, unseal

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
    """A progress bar on a terminal; elsewhere a printed line after every tenth of the run."""

    def __init__(self, title: str, epochs: int, show: bool, console: Console | None = None) -> None:
        self.title, self.epochs, self.show = title, epochs, show
        self.console = console or Console(stderr=True)
        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("epochs"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
            console=self.console,
            disable=not (show and self.console.is_terminal),
        )
        self.task = self.progress.add_task(title, total=epochs, note="")

    def __enter__(self) -> Self:
        self.progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.progress.stop()

    def epoch(self, done: int, record: dict[str, Any]) -> None:
        """Show that ``done`` epochs are finished, the last of them with ``record``."""
        note = f"loss {record['loss']:.3f}"
        if record.get("validation") is not None:
            note += f", validation {100 * record['validation']:.1f} %"
        self.progress.update(self.task, completed=done, note=note)
        tenth = max(1, self.epochs // 10)
        if (
            self.show
            and not self.console.is_terminal
            and (done % tenth == 0 or done == self.epochs)
        ):
            line = f"{self.title}: epoch {done}/{self.epochs}, {note}"
            self.console.print(line, highlight=False, soft_wrap=True)
