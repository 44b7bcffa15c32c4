"""Split the work of one run among several processes, with the results of a single process.

Every process receives all the data and trains on its own rows of each batch: rank r of w processes
takes the rows r, r + w, r + 2w, ... The mean over a batch is the mean of the shares' means, each
weighted by its number of rows. This is also correct for batches that do not divide evenly, for the
short one at the end of a DataLoader, and for texts with different numbers of labelled tokens.
Random draws for a batch (augmentation, masked words) are those of the whole batch.
"""

from __future__ import annotations

import copy
import zlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

import torch
import torch.distributed as dist
from accelerate import Accelerator
from accelerate.data_loader import DataLoaderStateMixin
from accelerate.utils import recursively_apply
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.data import DataLoader, DistributedSampler, IterableDataset

from autocompress.data import Examples, StreamSource
from autocompress.errors import ConfigError, DataError
from autocompress.training.forms import has_length, is_stream
from autocompress.training.inputs import Data, batches, is_bytes
from autocompress.training.intake import Intake
from autocompress.training.objective import IGNORED

__all__ = ["Portion", "Share"]

T = TypeVar("T")

#: Turns (raw inputs, labels) into network inputs and targets.
Prepare = Callable[[Any, Tensor], tuple[Any, Tensor]]


class Portion(NamedTuple):
    """The part of a batch that one process reads.

    Attributes:
        inputs, labels: As :func:`autocompress.training.inputs.batches` yields them.
        whole: Whether they are the whole batch, from which this process's rows are yet to be taken.
        idle: Whether the batch has no row for this process; the rows here then count nothing.
        tag: A number that is equal in all processes if they read the same batch.
    """

    inputs: Any
    labels: Tensor
    whole: bool = True
    idle: bool = False
    tag: int = 0


@dataclass
class Share:
    """The part of one process in a run; a single process has all of it.

    Args:
        rank: Number of this process, from 0.
        world: Number of processes.
        device: Device of this process's tensors.
    """

    rank: int = 0
    world: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    _unlike: Tensor | None = None

    @classmethod
    def of(cls, accelerator: Accelerator) -> Share:
        """Return this process's share."""
        return cls(accelerator.process_index, accelerator.num_processes, accelerator.device)

    # -- what can be shared ------------------------------------------------------------------------

    def begin(self, net: nn.Module, data: Sequence[Data | None], batch_size: int) -> None:
        """Check that several processes give the result of one, and copy rank 0's weights to all.

        Args:
            net: The network.
            data: Training data and validation data (or None).
            batch_size: Batch size over all processes.

        Raises:
            ConfigError: A batch has fewer rows than there are processes, the network has batch
                norm, or a DataLoader is already divided.
            DataError: Another process has different data.
        """
        if self.world == 1:
            return
        for part in data:
            if isinstance(part, DataLoader):
                _check_undivided(part)
        train = data[0]
        if not isinstance(train, DataLoader):
            held = len(train) if has_length(train) else batch_size  # type: ignore[arg-type]
            rows = min(batch_size, held)
            if rows < self.world:
                raise ConfigError(
                    f"batches of {rows} examples leave some of {self.world} processes without any: "
                    f"batch_size {batch_size} counts over all processes"
                )
        normed = [n for n, m in net.named_modules() if isinstance(m, _BatchNorm)]
        if any(not isinstance(net.get_submodule(n), nn.SyncBatchNorm) for n in normed):
            raise ConfigError(
                f"{normed[0]} normalises over a batch, and each of {self.world} processes has a "
                "part of it: train in one process, or, on GPUs, convert the network with "
                "torch.nn.SyncBatchNorm.convert_sync_batchnorm first"
            )
        sizes = [len(part) if has_length(part) else None for part in data]  # type: ignore[arg-type]
        self.agree(sizes, "lengths of training and validation data")
        named = {n: tuple(t.shape) for n, t in net.state_dict().items()}
        self.agree(zlib.crc32(repr(named).encode()), "networks (by their names and shapes)")
        with torch.no_grad():
            for tensor in (*net.parameters(), *net.buffers()):
                dist.broadcast(tensor, src=0)

    def agree(self, value: Any, what: str) -> None:
        """Raise DataError unless all processes have the same (small, picklable) ``value``."""
        if self.world == 1:
            return
        found: list[Any] = [None] * self.world
        dist.all_gather_object(found, value)
        if any(other != found[0] for other in found):
            raise DataError(
                f"the processes of this run have different {what}: {found}; each of them must be "
                "given all the data and the same run folder, fit divides every batch"
            )

    def from_main(self, value: T) -> T:
        """Return the first process's (small, picklable) ``value`` in all processes."""
        if self.world == 1:
            return value
        box = [value]
        dist.broadcast_object_list(box, src=0)
        return box[0]

    # -- batches -----------------------------------------------------------------------------------

    def batches(self, data: Data, batch_size: int, intake: Intake) -> Iterator[Portion]:
        """Yield this process's portion of every batch of an epoch, in an order drawn by torch.

        Args:
            data: All the data, the same in all processes.
            batch_size: Batch size over all processes; a DataLoader keeps its own batch size and
                order.
            intake: Callable that brings batches into form and checks them.
        """
        order = torch.randperm(len(data)) if has_length(data) else None  # type: ignore[arg-type]
        if self.world > 1 and isinstance(data, DataLoader):
            yield from self._loaded(data, batch_size, intake)
            return
        # a whole batch of these is one gather, or draws tokens as a single process would
        gathered = isinstance(data, Examples) or is_stream(data)
        whole = self.world == 1 or (gathered and not isinstance(data, StreamSource))
        if not whole:
            assert order is not None  # streams are read whole
            mine = [part[self.rank :: self.world] for part in torch.split(order, batch_size)]
            order, batch_size = torch.cat(mine), len(range(self.rank, batch_size, self.world))
        for inputs, labels in batches(data, batch_size, self.device, order, intake):
            yield Portion(inputs, labels, whole)

    def _loaded(self, data: DataLoader[Any], batch_size: int, intake: Intake) -> Iterator[Portion]:
        """Yield portions of a DataLoader's batches from a copy that loads only this process's rows.

        A loader without a batch sampler, or over an iterable dataset, is read in full by every
        process.
        """
        if data.batch_sampler is None or isinstance(data.dataset, IterableDataset):
            for inputs, labels in batches(data, batch_size, self.device, None, intake):
                yield Portion(inputs, labels, tag=int(labels.double().sum()) % _TAGS)
            return
        sampler = _ShareOfBatches(data.batch_sampler, self.rank, self.world)
        twin = copy.copy(data)
        # DataLoader forbids setting this after construction, but nothing it stores depends on it
        twin.__dict__ |= {"batch_sampler": sampler, "_iterator": None}
        for inputs, labels in batches(twin, batch_size, self.device, None, intake):
            idle, tag = sampler.handed_out.popleft()
            yield Portion(inputs, labels, whole=False, idle=idle, tag=tag)

    def size_of(self, portion: Portion) -> int:
        """Return how many examples a batch has over all processes, to within one of each."""
        return len(portion.labels) * (1 if portion.whole else self.world)

    def own(
        self, portion: Portion, prepare: Prepare, augmented: bool
    ) -> tuple[Any, Tensor, Tensor | None]:
        """Return this process's inputs and targets, ready for the network, and their weight.

        Args:
            portion: Portion of a batch.
            prepare: Function from raw to network inputs; it augments, so it gets whole batches.
            augmented: Whether ``prepare`` draws random numbers or mixes examples.

        Returns:
            Inputs, targets, and the scalar factor for the mean loss over them that makes the mean
            over the processes equal that of the whole batch; None for 1.
        """
        inputs, labels, whole, idle, tag = portion
        if self.world == 1:
            return *prepare(inputs, labels), None
        if not whole and augmented and is_bytes(inputs):
            inputs, labels = self._rejoined(inputs, idle), self._rejoined(labels, idle)
            whole = True
        inputs, targets = prepare(inputs, labels)
        if whole:
            size = len(labels)
            idle = size <= self.rank
            rows = slice(0, 1) if idle else slice(self.rank, None, self.world)
            inputs, targets = (_rows(tree, rows, size) for tree in (inputs, targets))
        return inputs, targets, self._weight(targets, idle, tag)

    def parts(self, group: Sequence[Portion]) -> Sequence[Tensor | None]:
        """Return the weight of each portion's mean loss in the mean over all of a step's batches.

        Args:
            group: This process's portions of the batches of one step.

        Returns:
            Scalars with the sum 1 (0 if no batch has a label), or None for the only portion.
        """
        if len(group) == 1:
            return [None]
        counts = torch.stack([_scored(portion) for portion in group]).to(self.device)
        if self.world > 1 and not group[0].whole:
            dist.all_reduce(counts)
        return list((counts / counts.sum().clamp(min=1)).float())

    def tokens(self, group: Sequence[Portion], counts: Sequence[Tensor]) -> Tensor:
        """Return this process's fair share of the tokens of all of a step's batches, a scalar.

        Args:
            group: This process's portions of these batches.
            counts: Masks of the tokens that are not padding, bool (B, tokens), one a portion.
        """
        pairs = zip(counts, group, strict=True)
        total = torch.stack([count.sum() * (not portion.idle) for count, portion in pairs]).sum()
        if self.world > 1 and not group[0].whole:
            dist.all_reduce(total)
        return total / self.world

    def _weight(self, targets: Tensor, idle: bool, tag: int) -> Tensor:
        """Return the weight of the mean over these targets; 0 if no process has a label."""
        classes = not targets.is_floating_point()  # otherwise soft classes, or numbers
        mine = torch.tensor([0.0, tag, tag * tag], dtype=torch.float64, device=self.device)
        if not idle:
            mine[0] = (targets != IGNORED).sum() if classes else len(targets)
        total = mine.clone()
        dist.all_reduce(total)
        unlike = (self.world * total[2] - total[1] ** 2).abs()
        self._unlike = unlike if self._unlike is None else self._unlike + unlike
        return (mine[0] * self.world / total[0].clamp(min=1)).float()

    def _rejoined(self, part: Tensor, idle: bool) -> Tensor:
        """Return the whole batch, joined from the rows that each process has read."""
        part = part[:0] if idle else part
        sizes = [torch.zeros((), dtype=torch.long, device=part.device) for _ in range(self.world)]
        dist.all_gather(sizes, torch.tensor(len(part), device=part.device))
        most, total = int(max(sizes)), int(sum(sizes))
        filled = part.new_zeros((most, *part.shape[1:]))
        filled[: len(part)] = part
        parts = [torch.empty_like(filled) for _ in range(self.world)]
        dist.all_gather(parts, filled)
        return torch.stack(parts, 1).flatten(0, 1)[:total]

    # -- gradients ---------------------------------------------------------------------------------

    def average_gradients(self, net: nn.Module) -> None:
        """Replace every gradient by its mean over the processes.

        A gradient missing here counts as 0 if another process has it, and stays missing if none
        has: e.g. for layers that have not joined yet, or an expert without tokens.
        """
        if self.world == 1:
            return
        learned = [p for p in net.parameters() if p.requires_grad]
        there = torch.tensor([float(p.grad is not None) for p in learned], device=self.device)
        dist.all_reduce(there)
        if any(p.grad is None for p in learned):  # only this case waits for the device
            found = there.tolist()
            learned = [p for p, count in zip(learned, found, strict=True) if count]
        gradients = []
        for p in learned:
            if p.grad is None:
                p.grad = torch.zeros_like(p)
            gradients.append(p.grad)
        for bucket in _buckets(gradients):
            flat = torch.cat([g.flatten() for g in bucket])
            dist.all_reduce(flat)
            parts = torch.split(flat / self.world, [g.numel() for g in bucket])
            for gradient, part in zip(bucket, parts, strict=True):
                gradient.copy_(part.view_as(gradient))

    # -- what comes out ----------------------------------------------------------------------------

    def total(self, losses: Tensor) -> Tensor:
        """Return the mean over the processes of the weighted losses that each has summed.

        Raises:
            DataError: The processes have read different batches.
        """
        if self.world == 1:
            return losses
        losses = losses.clone()
        dist.all_reduce(losses)
        if self._unlike is not None and float(self._unlike) > 0:
            raise DataError(
                "the processes read different batches: their DataLoader's sampler draws from "
                "something else than torch's, NumPy's or Python's generator, which fit seeds alike"
            )
        return losses / self.world


def _buckets(tensors: Sequence[Tensor]) -> Iterator[list[Tensor]]:
    """Yield the tensors in order, grouping small neighbours of equal dtype."""
    bucket: list[Tensor] = []
    size = 0
    for tensor in tensors:
        if bucket and (size + tensor.numel() > _BUCKET or tensor.dtype != bucket[0].dtype):
            yield bucket
            bucket, size = [], 0
        bucket.append(tensor)
        size += tensor.numel()
    if bucket:
        yield bucket


#: Numbers sent in one call: large enough for few calls, small enough for a copy of the gradients.
_BUCKET = 2**24

#: Upper bound of tags, so that sums of their squares are exact.
_TAGS = 2**20


class _ShareOfBatches:
    """A batch sampler that yields one process's indices of each batch of another sampler.

    Attributes:
        handed_out: For each batch that was yielded and not yet recorded, whether this process has
            no row in it, and a number that identifies its indices.
    """

    def __init__(self, inner: Any, rank: int, world: int) -> None:
        self.inner, self.rank, self.world = inner, rank, world
        self.handed_out: deque[tuple[bool, int]] = deque()

    def __iter__(self) -> Iterator[list[Any]]:
        for batch in self.inner:
            indices = list(batch)
            mine = indices[self.rank :: self.world]
            self.handed_out.append((not mine, zlib.crc32(repr(indices).encode()) % _TAGS))
            yield mine or indices[:1]

    def __len__(self) -> int:
        return len(self.inner)


def _check_undivided(loader: DataLoader[Any]) -> None:
    """Raise ConfigError for a loader that already yields only this process's part."""
    samplers = [loader.sampler, getattr(loader.batch_sampler, "sampler", None)]
    if any(isinstance(sampler, DistributedSampler) for sampler in samplers):
        raise ConfigError(
            "this DataLoader's DistributedSampler divides the examples, repeating some so that all "
            "processes get as many: give fit the same loader without it; it divides every batch"
        )
    if isinstance(loader, DataLoaderStateMixin):
        raise ConfigError(
            "this DataLoader was prepared by an Accelerator, which divides its batches: give fit "
            "the loader itself; it divides every batch"
        )


def _scored(portion: Portion) -> Tensor:
    """Return the number of labels of a portion that have a loss, a scalar."""
    labels = portion.labels
    if portion.idle:
        return torch.zeros((), dtype=torch.float64, device=labels.device)
    if labels.is_floating_point():
        return torch.tensor(len(labels), dtype=torch.float64, device=labels.device)
    return (labels != IGNORED).sum().double()


def _rows(tree: Any, rows: slice, size: int) -> Any:
    """Return the rows of every tensor in a tree that has one row for each of ``size`` examples."""
    return recursively_apply(lambda t: t[rows] if t.ndim and len(t) == size else t, tree)
