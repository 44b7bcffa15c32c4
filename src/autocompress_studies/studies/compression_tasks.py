"""The tasks of the study ``compression``, which fit one CPU core and require depth."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import BatchSampler, DataLoader, Dataset, RandomSampler

from autocompress.data import AugmentConfig, DataConfig
from autocompress.data.places import locate
from autocompress.data.reading import read_splits
from autocompress.training import FitConfig
from autocompress_studies.work import Work

__all__ = ["TASKS", "TaskData", "CompressionTask", "examples_of", "longer"]

_WINDOW = 64


@dataclass(frozen=True, kw_only=True)
class CompressionTask:
    """Data, a network for them, and settings that suit its residual form."""

    words: str  #: the task in words
    data: str  #: name of the data set
    model: str  #: name of the network
    arguments: dict[str, Any]  #: of the network beside depth and connectivity
    fit: FitConfig  #: of the residual control, which all rows share
    depth: int = 8  #: number of layers of the full network
    augment: AugmentConfig | None = None  #: of images
    steps: int | None = None  #: of an epoch, in which a text gives new windows; None: images
    title: str = ""  #: of its panel; empty draws none


@dataclass(frozen=True)
class TaskData:
    """The data of a task, as ``fit`` and ``probe`` take them, and the number for one epoch."""

    train: Any
    validation: Any
    test: Any
    examples: int


class _Windows(Dataset[tuple[Tensor, Tensor]]):
    """Windows of a text: characters, and the next character of each."""

    def __init__(self, windows: Tensor) -> None:
        self.windows = windows

    def __len__(self) -> int:
        return len(self.windows)

    def __getitem__(self, index: Any) -> tuple[Tensor, Tensor]:
        ids = self.windows[index].long()
        return ids[..., :-1], ids[..., 1:]


def examples_of(task: CompressionTask, work: Work) -> TaskData:
    """Return the data of a task."""
    if task.steps is None:
        splits = work.load(DataConfig(name=task.data))
        return TaskData(splits.train, splits.validation, splits.test, len(splits.train))
    rows = read_splits(locate(task.data, work.data))
    train = _Windows(_windows(rows["train"]["text"]))
    batch = task.fit.batch_size
    random = RandomSampler(train, num_samples=batch * task.steps)
    order = BatchSampler(random, batch, drop_last=True)
    return TaskData(
        DataLoader(train, batch_size=None, sampler=order),
        _Windows(_windows(rows["validation"]["text"], 1500)),
        _Windows(_windows(rows["test"]["text"], 3000)),
        batch * task.steps,
    )


def _windows(passages: Any, examples: int | None = None) -> Tensor:
    """Return texts as (windows, 65) ASCII codes, with question marks for other characters."""
    codes = bytearray("\n".join(passages).encode("ascii", "replace"))
    text = torch.frombuffer(codes, dtype=torch.uint8)
    windows = text[: len(text) // (_WINDOW + 1) * (_WINDOW + 1)].view(-1, _WINDOW + 1)
    if examples is None:
        return windows
    order = torch.randperm(len(windows), generator=torch.Generator().manual_seed(0))
    return windows[order[:examples]]


_TEXT = CompressionTask(
    words="next character of English novels, a decoder of 8 layers of width 32, 12 epochs",
    data="computationalstylistics/english_novels_100",
    model="decoder",
    arguments={"width": 32, "vocabulary": 128, "length": _WINDOW, "heads": 2},
    steps=250,
    fit=FitConfig(
        epochs=12, batch_size=32, lr=6e-3, warmup_epochs=1.0, label_smoothing=0.0, betas=(0.9, 0.98)
    ),
    title="next character, decoder of 8 layers",
)
_IMAGE = CompressionTask(
    words="CIFAR-10, all of it, a Mixer of 8 layers of width 24, 10 epochs",
    data="uoft-cs/cifar10",
    model="mixer",
    arguments={
        "width": 24,
        "classes": 10,
        "image_size": 32,
        "patch_size": 4,
        "channels": 3,
        "token_width": 32,
        "channel_width": 48,
    },
    fit=FitConfig(epochs=10, batch_size=128, lr=3e-3, warmup_epochs=1.0),
    augment=AugmentConfig(crop_padding=4, flip=True),
    title="CIFAR-10, Mixer of 8 layers",
)


def longer(task: CompressionTask, epochs: int, words: str) -> CompressionTask:
    """Return the task with another number of epochs, and without a panel of its own."""
    return replace(task, words=words, fit=replace(task.fit, epochs=epochs), title="")


TASKS = {
    "text": _TEXT,
    "image": _IMAGE,
    "text-long": longer(
        _TEXT, 48, "the first task for 48 epochs: does depth pay where steps no longer do?"
    ),
}
