"""Tasks of a stream, and the division of a data set's classes into tasks."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from autocompress.data import Splits
from autocompress.data.splitting import of_classes
from autocompress.errors import ConfigError
from autocompress.training.inputs import Data

__all__ = ["Task", "classes_per_task", "split_classes"]


@dataclass(frozen=True)
class Task:
    """One task of a stream.

    Args:
        name: Name for display.
        train, validation, test: Examples of the task, with labels 0..K - 1.
        classes: Number of classes K.
    """

    name: str
    train: Data
    validation: Data
    test: Data
    classes: int


def split_classes(data: Splits, tasks: int, seed: int | None = None) -> list[Task]:
    """Divide the classes of a data set into equal parts, each of which becomes a task.

    Args:
        data: Images or texts by class, in splits.
        tasks: Number of tasks, of which the number of classes must be a multiple.
        seed: Seed for shuffling the classes; None keeps their order.

    Raises:
        ConfigError: The number of tasks does not divide the number of classes, or the data are a
            corpus, which has no classes.

    Example:
        >>> import autocompress as ac
        >>> [task.name for task in split_classes(ac.load_data(), tasks=5)]
        ['0, 1', '2, 3', '4, 5', '6, 7', '8, 9']
    """
    size = classes_per_task(len(data.classes), tasks)
    classes = list(range(len(data.classes)))
    if seed is not None:
        generator = torch.Generator().manual_seed(seed)
        classes = torch.randperm(len(classes), generator=generator).tolist()
    parts = [classes[start : start + size] for start in range(0, len(classes), size)]
    return [
        Task(
            name=", ".join(data.classes[label] for label in part),
            train=of_classes(data.train, part),
            validation=of_classes(data.validation, part),
            test=of_classes(data.test, part),
            classes=size,
        )
        for part in parts
    ]


def classes_per_task(classes: int, tasks: int) -> int:
    """Return the number of classes per task, or raise ConfigError as :func:`split_classes`."""
    if tasks < 1 or classes % tasks or classes < 2 * tasks:
        works = [str(n) for n in range(1, classes // 2 + 1) if classes % n == 0]
        raise ConfigError(
            f"{classes} classes cannot be split into {tasks} tasks of equal size, at least 2 "
            f"classes each; numbers of tasks that work: {', '.join(works) or 'none'}"
        )
    return classes // tasks
