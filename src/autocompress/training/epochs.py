"""The batches of every epoch, from a set with a length or from an endless stream."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count, islice

from torch.utils.data import DataLoader

from autocompress.errors import DataError
from autocompress.training.forms import has_length
from autocompress.training.inputs import Data
from autocompress.training.intake import Intake
from autocompress.training.randomness import global_states, restore_global, seed_epoch
from autocompress.training.shares import Portion, Share

__all__ = ["Epochs"]


class Epochs:
    """The portions of batches of every epoch.

    A set with a length is drawn anew in every epoch. A stream continues in the next epoch where the
    last one stopped, and starts over at its end; before each pass its ``set_epoch`` is called, if
    it has one (``datasets`` uses it for shuffling).

    Args:
        share: This process's share of the work.
        data: Training data.
        batch_size: Examples per batch, over all processes.
        intake: Checks that every batch passes through.
        count: Number of batches in an epoch.
        seed: Seed of the run.
    """

    def __init__(
        self, share: Share, data: Data, batch_size: int, intake: Intake, count: int, seed: int
    ) -> None:
        self.share, self.data, self.intake, self.count = share, data, intake, count
        self.batch_size, self.seed = batch_size, seed
        self._stream: Iterator[Portion] | None = None

    def portions(self, epoch: int) -> Iterator[Portion]:
        """Return the portions of ``epoch`` (from 0), after reading a stream up to there.

        Raises:
            DataError: The stream is empty.
        """
        if has_length(self.data):
            return self.share.batches(self.data, self.batch_size, self.intake)
        if self._stream is None:
            self._stream = self._on_and_on()
            before = global_states()
            for earlier in range(epoch):  # whose batches a resumed run has already seen
                seed_epoch(self.seed, earlier)
                for _ in range(self.count):
                    next(self._stream)
            if epoch:  # the epoch must draw the same numbers as without this reading
                restore_global(before)
        return islice(self._stream, self.count)

    def _on_and_on(self) -> Iterator[Portion]:
        source = self.data.dataset if isinstance(self.data, DataLoader) else self.data
        for turn in count():
            if hasattr(source, "set_epoch"):
                source.set_epoch(turn)
            found = self.share.batches(self.data, self.batch_size, self.intake)
            first = next(found, None)
            if first is None:
                raise DataError(
                    f"the training data are a stream that gives nothing in pass {turn + 1}: pass "
                    "data that start again each time they are read"
                )
            yield first
            yield from found
