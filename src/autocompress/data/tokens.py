"""Where batches of tokens come from: on the device, or in a file on the disk.

Shapes: B batch, N tokens, n examples. Tokens are kept in two or four bytes and handed out as int64.
Any order of examples can be had from a file as well as from memory, so both train alike.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from typing_extensions import Self

from autocompress.data.sources import Batch
from autocompress.errors import DataError

__all__ = ["MaskedSource", "Masking", "NextTokenSource", "TextSource", "UNSCORED"]

#: The label of a token that is not to be predicted, as in torch's cross_entropy.
UNSCORED = -100

#: Logits that evaluation makes at a time, at most; float32, so four bytes each.
_MOST_LOGITS = 2**26


class Masking:
    """Which words a network has to find (Devlin et al., 2019).

    A ``share`` of the words is chosen; of these 80 % become the mask token, 10 % another word, and
    10 % stay.

    Args:
        share: Of all words.
        mask: The mask token.
        vocabulary: V.
        reserved: Tokens that are no words; they are neither chosen nor put in the place of one.
    """

    def __init__(self, share: float, mask: int, vocabulary: int, reserved: Sequence[int]) -> None:
        self.share, self.mask, self.vocabulary = share, mask, vocabulary
        self.is_word = torch.ones(vocabulary, dtype=torch.bool)
        self.is_word[list(reserved)] = False
        self.words = self.is_word.nonzero()[:, 0]

    def __call__(self, ids: Tensor, draws: Tensor) -> Batch:
        """Inputs and labels (B, N); the label of what was not chosen is :data:`UNSCORED`.

        Args:
            ids: int64 (B, N).
            draws: Uniform in [0, 1), (B, N, 2), on the same device: which words are chosen, and
                which other word stands there.
        """
        which, other = draws.unbind(-1)
        chosen = (which < self.share) & self.is_word[ids]
        others = self.words[(other * len(self.words)).long()]
        inputs = torch.where(which < 0.9 * self.share, others, ids)
        inputs = inputs.masked_fill(which < 0.8 * self.share, self.mask)
        return torch.where(chosen, inputs, ids), ids.masked_fill(~chosen, UNSCORED)

    def to(self, device: torch.device | str) -> Masking:
        """Return the same, for ids on ``device``."""
        new = copy.copy(self)
        new.is_word, new.words = self.is_word.to(device), self.words.to(device)
        return new


class Packed:
    """A text as rows of equal length.

    Args:
        tokens: One after the other, integers (any,); in memory, or a file that is mapped to it.
        size: Tokens in a row; what is left over at the end is dropped.
        resident: The tokens go to the device with :meth:`to`; otherwise they stay where they are,
            and batches go.
        where: The split, for the error message.

    Raises:
        DataError: Less than one row.
    """

    def __init__(
        self, tokens: Tensor, size: int, *, resident: bool = True, where: str = "the text"
    ) -> None:
        if len(tokens) < size:
            raise DataError(
                f"{where} has {len(tokens)} tokens, less than one row of {size}: lower data.length"
            )
        self.rows = tokens[: len(tokens) // size * size].view(-1, size)
        self.resident, self.device = resident, tokens.device

    def __len__(self) -> int:
        return len(self.rows)

    def batches(self, size: int, order: Tensor | None) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield (numbers of the rows, on the CPU; their tokens, int64 (B, size) on the device)."""
        order = torch.arange(len(self)) if order is None else order.cpu()
        for numbers in torch.split(order, size) if len(order) else ():
            rows = self.rows.index_select(0, numbers.to(self.rows.device))
            yield numbers, rows.to(self.device, non_blocking=True).long()

    def to(self, device: torch.device | str) -> Packed:
        """Return the same rows, with batches on ``device``."""
        new = object.__new__(type(self))
        new.resident, new.device = self.resident, torch.device(device)
        new.rows = self.rows.to(device) if self.resident else self.rows
        return new


class MaskedSource:
    """Rows of text with words to find; each begins with ``first``.

    Args:
        rows: The text.
        masking: Which words.
        first: The token that every row begins with.
        seed: Of one choice of words for good, for evaluation; None chooses anew every time, by
            torch's global generator.

    Example:
        >>> rows = Packed(torch.arange(5, 17, dtype=torch.int16), 3)
        >>> source = MaskedSource(rows, Masking(0.5, 4, 17, reserved=range(5)), first=2, seed=0)
        >>> [inputs.shape for inputs, labels in source.batches(3)]
        [torch.Size([3, 4]), torch.Size([1, 4])]
    """

    def __init__(self, rows: Packed, masking: Masking, first: int, seed: int | None = None) -> None:
        self.rows, self.masking, self.first, self.seed = rows, masking, first, seed

    def __len__(self) -> int:
        return len(self.rows)

    def batches(self, batch_size: int, order: Tensor | None = None) -> Iterator[Batch]:
        if self.seed is not None:
            batch_size = _affordable(batch_size, self.rows, self.masking.vocabulary)
        for numbers, rows in self.rows.batches(batch_size, order):
            ids = torch.nn.functional.pad(rows, (1, 0), value=self.first)
            yield self.masking(ids, self._draws(numbers, ids.shape[1]).to(ids.device))

    def _draws(self, numbers: Tensor, length: int) -> Tensor:
        """Drawn on the CPU, as augmentation is, so that all devices see the same."""
        if self.seed is None:
            return torch.rand(len(numbers), length, 2)
        generator = torch.Generator()
        draws = []
        for number in numbers.tolist():  # of each row its own: whatever the batches are
            generator.manual_seed(self.seed * 1_000_003 + number)
            draws.append(torch.rand(length, 2, generator=generator))
        return torch.stack(draws)

    def to(self, device: torch.device | str) -> Self:
        return type(self)(self.rows.to(device), self.masking.to(device), self.first, self.seed)


class NextTokenSource:
    """Rows of text, (B, N), and of every token the next one, (B, N).

    Args:
        rows: The text, N + 1 tokens a row.
        vocabulary: V; for evaluation, where batches are kept small enough for the logits.

    Example:
        >>> source = NextTokenSource(Packed(torch.arange(6), 3))
        >>> [(inputs.tolist(), labels.tolist()) for inputs, labels in source.batches(2)]
        [([[0, 1], [3, 4]], [[1, 2], [4, 5]])]
    """

    def __init__(self, rows: Packed, vocabulary: int | None = None) -> None:
        self.rows, self.vocabulary = rows, vocabulary

    def __len__(self) -> int:
        return len(self.rows)

    def batches(self, batch_size: int, order: Tensor | None = None) -> Iterator[Batch]:
        if self.vocabulary is not None:
            batch_size = _affordable(batch_size, self.rows, self.vocabulary)
        for _, rows in self.rows.batches(batch_size, order):
            yield rows[:, :-1], rows[:, 1:]

    def to(self, device: torch.device | str) -> Self:
        return type(self)(self.rows.to(device), self.vocabulary)


def _affordable(batch_size: int, rows: Packed, vocabulary: int) -> int:
    """Return as many rows as asked for, but for their logits: a token has one for every word."""
    return min(batch_size, max(1, _MOST_LOGITS // (rows.rows.shape[1] * vocabulary)))


class TextSource:
    """Texts with a label each; a batch is as wide as its longest text, to the next multiple.

    Args:
        ids: Integers (n, longest), filled up with padding.
        lengths: Tokens of each text, (n,).
        labels: Class numbers (n,).
        resident: As in :class:`Packed`.
        multiple: Of the widths of batches, as far as ``ids`` are wide.

    Raises:
        DataError: Not one length and one label for each text.

    Example:
        >>> ids = torch.tensor([[2, 5, 3] + 13 * [0], [2] + 14 * [5] + [3]])
        >>> source = TextSource(ids, torch.tensor([3, 16]), torch.tensor([0, 1]))
        >>> [inputs.shape for inputs, _ in source.batches(1)]
        [torch.Size([1, 8]), torch.Size([1, 16])]
    """

    def __init__(
        self,
        ids: Tensor,
        lengths: Tensor,
        labels: Tensor,
        *,
        resident: bool = True,
        multiple: int = 8,
    ) -> None:
        if not len(ids) == len(lengths) == len(labels):
            raise DataError(
                f"{len(ids)} texts, {len(lengths)} lengths and {len(labels)} labels; expected as "
                "many of each"
            )
        self.ids, self.lengths, self.labels = ids, lengths.cpu(), labels.long().cpu()
        self.resident, self.multiple, self._device = resident, multiple, ids.device

    def __len__(self) -> int:
        return len(self.ids)

    def batches(self, batch_size: int, order: Tensor | None = None) -> Iterator[Batch]:
        order = torch.arange(len(self)) if order is None else order.cpu()
        for numbers in torch.split(order, batch_size) if len(order) else ():
            longest = int(self.lengths[numbers].max())  # known on the CPU: nothing waits
            width = min(-(-longest // self.multiple) * self.multiple, self.ids.shape[1])
            ids = self.ids[:, :width].index_select(0, numbers.to(self.ids.device))
            labels = self.labels[numbers].to(self._device, non_blocking=True)
            yield ids.to(self._device, non_blocking=True).long(), labels

    def rows(self) -> Iterator[bytes]:
        """Yield the tokens of each text, without padding, as bytes to compare."""
        for ids, length in zip(self.ids.cpu().numpy(), self.lengths.tolist(), strict=True):
            yield ids[:length].tobytes()

    def relabelled(self, labels: Tensor) -> TextSource:
        """Return the same texts with other labels, integers (n,)."""
        return self._with(self.ids, self.lengths, labels, self._device)

    def select(self, indices: Tensor) -> TextSource:
        """Return the texts at ``indices`` (n',), in that order."""
        rows = indices.cpu()
        ids = self.ids.index_select(0, rows.to(self.ids.device))
        return self._with(ids, self.lengths[rows], self.labels[rows], self._device)

    def to(self, device: torch.device | str) -> TextSource:
        """Return the same texts, with batches on ``device``."""
        ids = self.ids.to(device) if self.resident else self.ids
        return self._with(ids, self.lengths, self.labels, torch.device(device))

    def _with(
        self, ids: Tensor, lengths: Tensor, labels: Tensor, device: torch.device
    ) -> TextSource:
        new = TextSource(ids, lengths, labels, resident=self.resident, multiple=self.multiple)
        new._device = device
        return new
