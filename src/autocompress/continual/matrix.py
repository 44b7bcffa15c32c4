"""TaskMatrix: the accuracy of every task after every task, and measures of forgetting."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rich.table import Table

from autocompress.errors import ConfigError
from autocompress.printing import as_text

__all__ = ["TaskMatrix"]


@dataclass(frozen=True)
class TaskMatrix:
    """Accuracies by task: row i, column j is that of task j after tasks 0..i have been learned.

    Args:
        rows: Accuracies as fractions; row i has i + 1 entries, for the tasks learned by then.

    Raises:
        ConfigError: A row has another length.

    Example:
        >>> matrix = TaskMatrix([[0.9], [0.5, 0.8]])
        >>> matrix.average_accuracy, round(matrix.average_forgetting, 3)
        (0.65, 0.4)
    """

    rows: Sequence[Sequence[float]]

    def __post_init__(self) -> None:
        if not self.rows or any(len(row) != i + 1 for i, row in enumerate(self.rows)):
            lengths = [len(row) for row in self.rows]
            raise ConfigError(f"the rows have {lengths} entries; row i needs i + 1: 1, 2, 3, ...")

    @property
    def tasks(self) -> int:
        """Return the number of tasks T."""
        return len(self.rows)

    @property
    def average_accuracy(self) -> float:
        """Return the mean over all tasks at the end."""
        return sum(self.rows[-1]) / self.tasks

    @property
    def average_forgetting(self) -> float:
        """Return the mean drop in accuracy from right after learning a task to the end.

        The mean is over all tasks but the last, which no other follows; it is 0 for one task. (The
        paper does not say whether the last task's 0 counts; that would give (T - 1) / T of this.)
        """
        lost = [self.rows[task][task] - self.rows[-1][task] for task in range(self.tasks - 1)]
        return sum(lost) / len(lost) if lost else 0.0

    @property
    def backward_transfer(self) -> float:
        """Return the effect of later tasks on earlier ones (Lopez-Paz and Ranzato, 2017)."""
        return -self.average_forgetting

    @property
    def worst_forgetting(self) -> float:
        """Return forgetting relative to each task's best accuracy before the last task.

        This is the measure of Chaudhry et al. (2018); it is negative if the last task helped.
        """
        lost = [
            max(row[task] for row in self.rows[task:-1]) - self.rows[-1][task]
            for task in range(self.tasks - 1)
        ]
        return sum(lost) / len(lost) if lost else 0.0

    def to_json(self) -> dict[str, Any]:
        """Return the matrix and its averages as fractions."""
        return {
            "rows": [list(row) for row in self.rows],
            "average_accuracy": self.average_accuracy,
            "average_forgetting": self.average_forgetting,
            "backward_transfer": self.backward_transfer,
            "worst_forgetting": self.worst_forgetting,
        }

    def __str__(self) -> str:
        table = Table(title="Accuracy of every task, % ")
        table.add_column("after task", justify="right")
        for task in range(self.tasks):
            table.add_column(str(task + 1), justify="right")
        for i, row in enumerate(self.rows):
            table.add_row(str(i + 1), *(f"{100 * v:.1f}" for v in row))
        text = as_text(table, width=max(60, 8 * self.tasks + 16))
        return f"{text}\n{self.averages()}"

    def averages(self) -> str:
        """Return the two averages as text."""
        return (
            f"average accuracy {100 * self.average_accuracy:.2f} %, "
            f"average forgetting {100 * self.average_forgetting:.2f} points"
        )

    def plot(self) -> Any:
        """Return a matplotlib Figure of the matrix."""
        from matplotlib.figure import Figure

        figure = Figure(figsize=(4.5, 4), layout="constrained")
        axes = figure.subplots()
        padded = [[*row, *[float("nan")] * (self.tasks - len(row))] for row in self.rows]
        image = axes.imshow(padded, vmin=0, vmax=1, cmap="viridis")
        ticks = [str(task + 1) for task in range(self.tasks)]
        axes.set_xticks(range(self.tasks), ticks)
        axes.set_yticks(range(self.tasks), ticks)
        axes.set_xlabel("accuracy on task")
        axes.set_ylabel("after task")
        figure.colorbar(image, ax=axes)
        return figure
