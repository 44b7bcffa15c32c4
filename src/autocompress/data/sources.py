"""Sources of batches: tensors on the device, or files decoded on demand.

Shapes: B batch, C channels, H and W pixels, n examples.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor
from typing_extensions import Self

from autocompress.data.decode import ImageDecoder
from autocompress.data.meaning import Meaning, explain
from autocompress.errors import DataError

__all__ = [
    "Batch",
    "Examples",
    "Labelled",
    "Source",
    "StreamSource",
    "TensorSource",
    "affordable",
    "chunks",
]

#: Largest size in bytes of the decoded images in a batch that the library chooses itself.
_MOST_BYTES = 2**25

#: Images uint8 (B, C, H, W), or tokens int64 (B, N), and labels int64 (B,) or (B, N).
Batch = tuple[Tensor, Tensor]


@runtime_checkable
class Examples(Protocol):
    """A source of batches on one device, in any order."""

    def __len__(self) -> int: ...

    def batches(self, batch_size: int, order: Tensor | None = None) -> Iterator[Batch]:
        """Yield all examples in batches; the last one may be smaller.

        Args:
            batch_size: Batch size B.
            order: Indices in the order wanted, int64; None is the natural order.
        """
        ...

    def to(self, device: torch.device | str) -> Examples:
        """Return the same examples, with batches on ``device``."""
        ...


@runtime_checkable
class Labelled(Examples, Protocol):
    """Examples with one label each: images, or texts by class."""

    @property
    def labels(self) -> Tensor:
        """Return all labels in natural order, int64 (n,), on the CPU."""
        ...

    def relabelled(self, labels: Tensor) -> Self:
        """Return the same examples with other labels, integers (n,)."""
        ...

    def select(self, indices: Tensor) -> Self:
        """Return the examples at ``indices`` (n',), in that order."""
        ...


@runtime_checkable
class Source(Labelled, Protocol):
    """Labelled images as bytes, in batches on one device."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """Return (C, H, W) of every image."""
        ...

    def to(self, device: torch.device | str) -> Source:
        """Return the same examples, with batches on ``device``."""
        ...


class TensorSource:
    """A set kept on its device as bytes; a batch is one gather.

    Args:
        images: Images, uint8 (n, C, H, W).
        labels: Labels, integers (n,).

    Raises:
        DataError: Shapes or dtypes differ from these, or there is not one label per image.

    Example:
        >>> source = TensorSource(torch.zeros(5, 1, 8, 8, dtype=torch.uint8), torch.arange(5))
        >>> [len(labels) for _, labels in source.batches(2)]
        [2, 2, 1]
    """

    #: Meaning of the images and labels, if known.
    meaning: Meaning | None = None

    def __init__(self, images: Tensor, labels: Tensor) -> None:
        if images.dim() != 4 or images.dtype != torch.uint8:
            raise DataError(
                f"images are {images.dtype} of shape {tuple(images.shape)}; expected torch.uint8 "
                "of shape (n, C, H, W)"
            )
        if labels.is_floating_point() or labels.shape != images.shape[:1]:
            raise DataError(
                f"labels are {labels.dtype} of shape {tuple(labels.shape)}; expected an integer "
                f"for each of the {len(images)} images"
            )
        self.images = images
        self.labels = labels.long().cpu()
        self._labels = labels.long().to(images.device)

    @property
    def shape(self) -> tuple[int, int, int]:
        c, h, w = self.images.shape[1:]
        return c, h, w

    def __len__(self) -> int:
        return len(self.images)

    def batches(self, batch_size: int, order: Tensor | None = None) -> Iterator[Batch]:
        if order is None:  # slices need no copy
            yield from zip(
                chunks(self.images, batch_size), chunks(self._labels, batch_size), strict=True
            )
            return
        for rows in chunks(order.to(self.images.device), batch_size):
            yield self.images.index_select(0, rows), self._labels.index_select(0, rows)

    def relabelled(self, labels: Tensor) -> TensorSource:
        return TensorSource(self.images, labels)

    def select(self, indices: Tensor) -> TensorSource:
        rows = indices.to(self.images.device)
        images, labels = (kept.index_select(0, rows) for kept in (self.images, self._labels))
        return explain(TensorSource(images, labels), self.meaning)

    def to(self, device: torch.device | str) -> TensorSource:
        return explain(TensorSource(self.images.to(device), self.labels), self.meaning)


class StreamSource:
    """A set too large for the device: encoded images, decoded batch by batch.

    Batches are decoded ahead in threads rather than in DataLoader workers: Pillow releases the GIL,
    forking a process with threads is deprecated, and a DataLoader draws from torch's generator.

    Args:
        items: Sequence of encoded images (``{"bytes", "path"}``) that is indexed by lists of ints.
        labels: Labels of the same rows, int64 (n,).
        decoder: Decoder from an encoded image to bytes.
        where: Name of the split, for error messages.
        workers: Number of decoding threads, and of batches in progress.

    Raises:
        DataError: During iteration, if an image cannot be decoded.
    """

    #: Meaning of the images and labels, if known.
    meaning: Meaning | None = None

    def __init__(
        self,
        items: Any,
        labels: Tensor,
        decoder: ImageDecoder,
        where: str = "data",
        workers: int = 2,
    ) -> None:
        self.labels = labels
        self._items, self._decoder = items, decoder
        self._where, self._workers = where, workers
        self._rows = torch.arange(len(labels))
        self._device = torch.device("cpu")

    @property
    def shape(self) -> tuple[int, int, int]:
        return self._decoder.shape

    def __len__(self) -> int:
        return len(self.labels)

    def batches(self, batch_size: int, order: Tensor | None = None) -> Iterator[Batch]:
        order = torch.arange(len(self)) if order is None else order.cpu()
        with ThreadPoolExecutor(self._workers) as pool:
            pending: deque[Future[Batch]] = deque()
            for chunk in chunks(order, batch_size):
                pending.append(pool.submit(self._decode, chunk))
                if len(pending) > self._workers:
                    yield self._delivered(pending.popleft())
            while pending:
                yield self._delivered(pending.popleft())

    def _decode(self, chunk: Tensor) -> Batch:
        rows: list[int] = self._rows[chunk].tolist()
        images = self._decoder.batch(self._items[rows], rows, self._where)
        return images, self.labels[chunk]

    def _delivered(self, future: Future[Batch]) -> Batch:
        images, labels = future.result()
        if self._device.type == "cuda":
            images, labels = images.pin_memory(), labels.pin_memory()
        return (
            images.to(self._device, non_blocking=True),
            labels.to(self._device, non_blocking=True),
        )

    def _changed(self, **attributes: Any) -> Self:
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__, **attributes)
        return other

    def relabelled(self, labels: Tensor) -> StreamSource:
        return self._changed(labels=labels.long().cpu(), meaning=None)

    def select(self, indices: Tensor) -> StreamSource:
        indices = indices.cpu()
        return self._changed(_rows=self._rows[indices], labels=self.labels[indices])

    def to(self, device: torch.device | str) -> StreamSource:
        return self._changed(_device=torch.device(device))

    def encoded(self) -> tuple[Any, list[int], ImageDecoder, str]:
        """Return all encoded images, the rows that are used, their decoder and the split's name."""
        return self._items, self._rows.tolist(), self._decoder, self._where

    def in_memory(self) -> TensorSource:
        """Return all of it decoded, on this source's device."""
        images = torch.empty((len(self), *self.shape), dtype=torch.uint8, device=self._device)
        done = 0
        for batch, _ in self.batches(affordable(self, 512)):
            images[done : done + len(batch)] = batch
            done += len(batch)
        return explain(TensorSource(images, self.labels), self.meaning)


def affordable(source: Source, batch_size: int) -> int:
    """Return a batch size up to ``batch_size`` that bounds memory, as several batches wait at once.

    Args:
        source: Source of images of any size.
        batch_size: Largest number of images.
    """
    channels, height, width = source.shape
    return max(1, min(batch_size, _MOST_BYTES // max(1, channels * height * width)))


def chunks(rows: Tensor, size: int) -> tuple[Tensor, ...]:
    """Split the first axis into pieces of ``size``; none if it is empty (torch returns one)."""
    return torch.split(rows, size) if len(rows) else ()
