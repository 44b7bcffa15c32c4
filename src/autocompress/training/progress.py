"""What a run tells while it goes on: a bar with the time left, and RUN/metrics.jsonl."""

from __future__ import annotations

import json
from pathlib import Path
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from typing_extensions import Self

__all__ = ["MetricsFile", "TrainingBar"]


class MetricsFile:
    """metrics.jsonl: one JSON object a line, in the order of the epochs.

    Args:
        path: the file; None keeps nothing.
        keep: records of the run so far, with which a resumed run's file starts again, so that an
            epoch that was lost with the process does not stand in it twice.
    """

    def __init__(self, path: Path | None, keep: list[dict[str, Any]]) -> None:
        self.path = path
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("".join(json.dumps(record) + "\n" for record in keep))

    def write(self, record: dict[str, Any]) -> None:
        """Append one record."""
        if self.path is not None:
            with self.path.open("a") as file:
                file.write(json.dumps(record) + "\n")


class TrainingBar:
    """A progress bar on a terminal; where there is none, a line every tenth of the run."""

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
        """``done`` epochs are over, the last of them with ``record``."""
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
