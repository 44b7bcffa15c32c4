"""Sequences of symbols of one length, labelled by token or as a whole: the generated sets.

Shapes: n sequences, B of them in a batch, N tokens each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from autocompress.data.meaning import Meaning, explain
from autocompress.data.sources import Batch, chunks
from autocompress.data.splits import Part, Splits
from autocompress.errors import DataError

__all__ = ["Drawn", "FreshSource", "SequenceSource", "SequenceSplits"]


class Drawn(NamedTuple):
    """Sequences as they are drawn.

    Attributes:
        ids: Tokens, int64 (n, N).
        labels: Labels, int64 (n, N) if each token has one, otherwise (n,).
        parts: Index of each sequence's part, int64 (n,).
    """

    ids: Tensor
    labels: Tensor
    parts: Tensor

    def scored(self) -> Tensor:
        """Return the part of each scored example, in the order of the scores."""
        each = self.labels.shape[1] if self.labels.dim() == 2 else 1
        return self.parts.repeat_interleave(each)


class SequenceSource:
    """Fixed sequences, in memory.

    Args:
        drawn: The sequences with their labels and parts.

    Raises:
        DataError: The numbers of sequences, labels and parts differ.

    Example:
        >>> drawn = Drawn(torch.ones(3, 4).long(), torch.arange(3), torch.zeros(3).long())
        >>> [inputs.shape for inputs, _ in SequenceSource(drawn).batches(2)]
        [torch.Size([2, 4]), torch.Size([1, 4])]
    """

    #: Meaning of the labels, if known.
    meaning: Meaning | None = None

    def __init__(self, drawn: Drawn, device: torch.device | str = "cpu") -> None:
        if not len(drawn.ids) == len(drawn.labels) == len(drawn.parts):
            raise DataError(
                f"{len(drawn.ids)} sequences, {len(drawn.labels)} rows of labels and "
                f"{len(drawn.parts)} numbers of parts; expected as many of each"
            )
        self.drawn = Drawn(*(tensor.cpu() for tensor in drawn))
        self._ids, self._labels = (tensor.to(device) for tensor in drawn[:2])

    def __len__(self) -> int:
        return len(self.drawn.ids)

    @property
    def labels(self) -> Tensor:
        """Return all labels in natural order, on the CPU."""
        return self.drawn.labels

    @property
    def parts(self) -> Tensor:
        """Return the part of each scored example in natural order, int64, on the CPU."""
        return self.drawn.scored()

    def batches(self, batch_size: int, order: Tensor | None = None) -> Iterator[Batch]:
        """Yield token ids (B, N) and their labels; see :class:`autocompress.data.Examples`."""
        order = torch.arange(len(self)) if order is None else order
        for rows in chunks(order.to(self._ids.device), batch_size):
            yield self._ids[rows], self._labels[rows]

    def relabelled(self, labels: Tensor) -> SequenceSource:
        """Return the same sequences with other labels."""
        return SequenceSource(self.drawn._replace(labels=labels), self._ids.device)

    def select(self, indices: Tensor) -> SequenceSource:
        """Return the sequences at ``indices`` (n',), in that order."""
        rows = indices.cpu()
        new = SequenceSource(Drawn(*(t[rows] for t in self.drawn)), self._ids.device)
        return explain(new, self.meaning)

    def to(self, device: torch.device | str) -> SequenceSource:
        """Return the same sequences, with batches on ``device``."""
        return explain(SequenceSource(self.drawn, device), self.meaning)


class FreshSource:
    """Sequences that are drawn anew for each pass that gives an order, as training does.

    Such a pass draws one number from torch's global generator, which :func:`autocompress.fit` seeds
    from its seed and the epoch. An epoch is therefore the same in all processes of a run, and in a
    resumed run. A pass in natural order always yields the same sequences.

    Args:
        draw: Function (number, generator) that makes sequences.
        size: Number of sequences in a pass.
        seed: Seed of the data.

    Example:
        >>> def draw(size, generator):
        ...     ids = torch.randint(9, (size, 2), generator=generator)
        ...     return Drawn(ids, ids[:, 0], torch.zeros(size).long())
        >>> source, order = FreshSource(draw, 4, seed=0), torch.arange(4)
        >>> first, second = (next(source.batches(4, order))[0] for _ in range(2))
        >>> bool((first == second).all())
        False
    """

    #: Meaning of the labels, if known.
    meaning: Meaning | None = None

    def __init__(
        self,
        draw: Callable[[int, torch.Generator], Drawn],
        size: int,
        seed: int,
        device: torch.device | str = "cpu",
    ) -> None:
        self.draw, self.size, self.seed, self.device = draw, size, seed, device

    def __len__(self) -> int:
        return self.size

    @property
    def parts(self) -> Tensor:
        """Return the part of each scored example in the natural order, int64, on the CPU."""
        return self._pass(0).scored()

    def batches(self, batch_size: int, order: Tensor | None = None) -> Iterator[Batch]:
        """Yield token ids (B, N) and their labels; see :class:`autocompress.data.Examples`."""
        number = 0 if order is None else int(torch.randint(1, 2**31, ()))
        fixed = SequenceSource(self._pass(number), self.device)
        yield from fixed.batches(batch_size, order)

    def _pass(self, number: int) -> Drawn:
        """Draw the sequences of a pass; number 0 is the pass in natural order."""
        generator = torch.Generator().manual_seed(self.seed * 2**31 + number)
        return self.draw(self.size, generator)

    def to(self, device: torch.device | str) -> FreshSource:
        """Return the same source, with batches on ``device``."""
        return explain(FreshSource(self.draw, self.size, self.seed, device), self.meaning)


@dataclass(frozen=True, kw_only=True)
class SequenceSplits(Splits):
    """A set of sequences, ready for training.

    Args:
        task: Task, which says whether each token has a label or the sequence has.
        vocabulary: Vocabulary size V; token 0 never occurs, so it can serve as padding.
        length: Sequence length N.
        parts: Parts of the task, with the depth that theory requires.
    """

    train: Any
    validation: Any
    test: Any
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    task: Literal["token-classification", "sequence-classification"] = "sequence-classification"
    vocabulary: int
    length: int
    parts: tuple[Part, ...] = ()

    @property
    def arguments(self) -> dict[str, Any]:
        """Return the constructor arguments of one of our networks for these data."""
        shape = {
            "vocabulary": self.vocabulary,
            "length": self.length,
            "classes": len(self.classes),
        }
        return {**shape, "per_token": True} if self.task == "token-classification" else shape

    @property
    def preprocess(self) -> dict[str, Any]:
        """Return an empty mapping, since networks take token ids directly."""
        return {}
