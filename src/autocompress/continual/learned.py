"""Stream: the tasks that have been learned, and their scores."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from torch import nn

from autocompress.continual.heads import with_head
from autocompress.continual.matrix import TaskMatrix
from autocompress.data.meaning import Meaning
from autocompress.errors import DepthError
from autocompress.network import Network
from autocompress.statistics import first_within

__all__ = ["Stream"]


@dataclass
class Stream:
    """The result of :func:`learn`.

    Attributes:
        tasks: Names of the tasks.
        validation, test: Accuracies after task i (first index), on task j <= i, at depth k.
        heads: Head of each task.
        meanings: Meaning of the labels of each task, if its data give it.
    """

    tasks: list[str]
    validation: list[list[list[float]]] = field(default_factory=list)
    test: list[list[list[float]]] = field(default_factory=list)
    heads: list[nn.Module] = field(default_factory=list)
    meanings: list[Meaning | None] = field(default_factory=list)

    def matrix(
        self, depth: int | None = None, split: Literal["validation", "test"] = "test"
    ) -> TaskMatrix:
        """Return the accuracy of every task after every task.

        Args:
            depth: Depth at which the network is read; None is full depth.
            split: Split of the data.

        Raises:
            DepthError: The network has no such depth.
        """
        scores = self.validation if split == "validation" else self.test
        deepest = min((len(curve) for row in scores for curve in row), default=0) - 1
        if depth is not None and not 0 <= depth <= deepest:
            raise DepthError(depth, deepest)
        at = -1 if depth is None else depth
        return TaskMatrix([[curve[at] for curve in row] for row in scores])

    def select(self, tolerance: float = 0.005) -> int:
        """Return the shallowest depth within ``tolerance`` of full depth, by the mean of all tasks.

        The accuracies are those at the end, on validation data; the tolerance is a fraction.
        """
        means = [sum(at) / len(at) for at in zip(*self.validation[-1], strict=True)]
        return first_within(means, tolerance)

    def network(self, net: Network, task: int) -> Network:
        """Return a view of ``net``, which has learned the stream, with a task's head (from 0).

        Its class names are those of the task.
        """
        view = with_head(net, self.heads[task])
        meaning = self.meanings[task] if self.meanings else None
        view.class_names = None
        if meaning is not None:
            meaning.tell(view)
        return view
