"""Sources of token batches: on the device, or in a file on the disk.

Shapes: B batch, N tokens, n examples. Tokens are stored in two or four bytes and yielded as int64.
A file supports any order of examples, as memory does, so both train alike.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from typing_extensions import Self

from autocompress.data.meaning import Meaning, explain
from autocompress.data.sources import Batch, chunks
from autocompress.errors import DataError

__all__ = ["MaskedSource", "Masking", "NextTokenSource", "TextSource", "UNSCORED"]

#: The label of a token that is not to be predicted, as in torch's cross_entropy.
UNSCORED = -100

#: Largest number of logits at a time in evaluation; they are float32, so four bytes each.
_MOST_LOGITS = 2**26


class Masking:
    """The choice of words that a network has to predict (Devlin et al., 2019).

    A ``share`` of the words is chosen; of these 80 % become the mask token, 10 % another word, and
    10 % stay.

    Args:
        share: Share of all words.
        mask: The mask token.
        vocabulary: Vocabulary size V.
        reserved: Tokens that are not words; they are neither chosen nor used as replacements.
    """

    def __init__(self, share: float, mask: int, vocabulary: int, reserved: Sequence[int]) -> None:
        self.share, self.mask, self.vocabulary = share, mask, vocabulary
        self.is_word = torch.ones(vocabulary, dtype=torch.bool)
        self.is_word[list(reserved)] = False
        self.words = self.is_word.nonzero()[:, 0]

    def __call__(self, ids: Tensor, draws: Tensor) -> Batch:
        """Return inputs and labels (B, N); tokens not chosen have the label :data:`UNSCORED`.

        Args:
            ids: Tokens, int64 (B, N).
            draws: Numbers uniform in [0, 1), (B, N, 2), on the same device: which words are chosen,
                and which other word replaces them.
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
        tokens: Consecutive tokens, integers (any,); in memory, or a file mapped to it.
        size: Number of tokens in a row; the rest at the end is dropped.
        resident: Whether :meth:`to` moves the tokens to the device; otherwise they stay where they
            are and only batches are moved.
        where: Name of the split, for the error message.

    Raises:
        DataError: There is less than one row.
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
        """Yield (row indices, on the CPU; their tokens, int64 (B, size) on the device)."""
        order = torch.arange(len(self)) if order is None else order.cpu()
        for numbers in chunks(order, size):
            rows = self.rows.index_select(0, numbers.to(self.rows.device))
            yield numbers, rows.to(self.device, non_blocking=True).long()

    def to(self, device: torch.device | str) -> Packed:
        """Return the same rows, with batches on ``device``."""
        new = object.__new__(type(self))
        new.resident, new.device = self.resident, torch.device(device)
        new.rows = self.rows.to(device) if self.resident else self.rows
        return new


class MaskedSource:
    """Rows of text with words to predict; each begins with ``first``.

    Args:
        rows: The text.
        masking: Choice of the words.
        first: Token that every row begins with.
        seed: Seed of one fixed choice of words, for evaluation; None chooses anew every time, with
            torch's global generator.

    Example:
        >>> rows = Packed(torch.arange(5, 17, dtype=torch.int16), 3)
        >>> source = MaskedSource(rows, Masking(0.5, 4, 17, reserved=range(5)), first=2, seed=0)
        >>> [inputs.shape for inputs, labels in source.batches(3)]
        [torch.Size([3, 4]), torch.Size([1, 4])]
    """

    #: Meaning of the text, if known.
    meaning: Meaning | None = None

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
        """Draw on the CPU, like augmentation, so that all devices see the same numbers."""
        if self.seed is None:
            return torch.rand(len(numbers), length, 2)
        generator = torch.Generator()
        draws = []
        for number in numbers.tolist():  # a draw per row does not depend on the batches
            generator.manual_seed(self.seed * 1_000_003 + number)
            draws.append(torch.rand(length, 2, generator=generator))
        return torch.stack(draws)

    def to(self, device: torch.device | str) -> Self:
        new = type(self)(self.rows.to(device), self.masking.to(device), self.first, self.seed)
        return explain(new, self.meaning)


class NextTokenSource:
    """Rows of text, (B, N), and the next token of every token, (B, N).

    Args:
        rows: The text, N + 1 tokens per row.
        vocabulary: Vocabulary size V, given in evaluation to keep batches small enough for the
            logits.

    Example:
        >>> source = NextTokenSource(Packed(torch.arange(6), 3))
        >>> [(inputs.tolist(), labels.tolist()) for inputs, labels in source.batches(2)]
        [([[0, 1], [3, 4]], [[1, 2], [4, 5]])]
    """

    #: Meaning of the text, if known.
    meaning: Meaning | None = None

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
        return explain(type(self)(self.rows.to(device), self.vocabulary), self.meaning)


def _affordable(batch_size: int, rows: Packed, vocabulary: int) -> int:
    """Return at most ``batch_size`` rows, limited by their logits: V for every token."""
    return min(batch_size, max(1, _MOST_LOGITS // (rows.rows.shape[1] * vocabulary)))


class TextSource:
    """Texts with one label each; a batch is as wide as its longest text, rounded up.

    Args:
        ids: Tokens with padding, integers (n, longest).
        lengths: Number of tokens of each text, (n,).
        labels: Class numbers (n,).
        resident: Whether :meth:`to` moves the tokens, as in :class:`Packed`.
        multiple: Number of which batch widths are multiples, as far as ``ids`` are wide enough.

    Raises:
        DataError: There is not one length and one label for each text.

    Example:
        >>> ids = torch.tensor([[2, 5, 3] + 13 * [0], [2] + 14 * [5] + [3]])
        >>> source = TextSource(ids, torch.tensor([3, 16]), torch.tensor([0, 1]))
        >>> [inputs.shape for inputs, _ in source.batches(1)]
        [torch.Size([1, 8]), torch.Size([1, 16])]
    """

    #: Meaning of the texts and labels, if known.
    meaning: Meaning | None = None

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
        for numbers in chunks(order, batch_size):
            longest = int(self.lengths[numbers].max())  # on the CPU, so nothing waits
            width = min(-(-longest // self.multiple) * self.multiple, self.ids.shape[1])
            ids = self.ids[:, :width].index_select(0, numbers.to(self.ids.device))
            labels = self.labels[numbers].to(self._device, non_blocking=True)
            yield ids.to(self._device, non_blocking=True).long(), labels

    def rows(self) -> Iterator[bytes]:
        """Yield the tokens of each text, without padding, as bytes for comparison."""
        for ids, length in zip(self.ids.cpu().numpy(), self.lengths.tolist(), strict=True):
            yield ids[:length].tobytes()

    def relabelled(self, labels: Tensor) -> TextSource:
        """Return the same texts with other labels, integers (n,)."""
        return explain(self._with(self.ids, self.lengths, labels, self._device), None)

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
        return explain(new, self.meaning)
