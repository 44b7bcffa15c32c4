"""The tasks of benchmarks/compression.py: small enough for one CPU core, and in need of depth."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from datasets import load_dataset
from torch import Tensor
from torch.utils.data import BatchSampler, DataLoader, Dataset, RandomSampler

import autocompress as ac

__all__ = ["TASKS", "Task"]

_WINDOW = 64


@dataclass(frozen=True)
class Task:
    """Data, a network for them, and settings that suit its residual form.

    Args:
        name: of the task. depth: layers of the full network.
        build: (depth, connectivity) to a network with new weights.
        train, validation, test: as ``ac.fit`` and ``ac.probe`` take them.
        examples: in one epoch.
        fit: settings of the residual control, which all rows share.
        augment: of images.
    """

    name: str
    depth: int
    build: Callable[[int, Any], ac.Network]
    train: Any
    validation: Any
    test: Any
    examples: int
    fit: ac.FitConfig
    augment: ac.AugmentConfig | None = None

    def describe(self) -> dict[str, Any]:
        """What a results file says of the task."""
        return {
            "name": self.name,
            "depth": self.depth,
            "model": self.build(self.depth, "residual").config,
            "examples_per_epoch": self.examples,
            "fit": asdict(self.fit),
            "augment": None if self.augment is None else asdict(self.augment),
        }


class _Windows(Dataset[tuple[Tensor, Tensor]]):
    """Windows of a text: characters, and the next one of each."""

    def __init__(self, windows: Tensor) -> None:
        self.windows = windows

    def __len__(self) -> int:
        return len(self.windows)

    def __getitem__(self, index: Any) -> tuple[Tensor, Tensor]:
        ids = self.windows[index].long()
        return ids[..., :-1], ids[..., 1:]


def _windows(data: Path, split: str, examples: int | None = None) -> Tensor:
    """A split of the novels as (windows, 65) ASCII codes; what is not ASCII is a question mark."""
    file = str(data / "english_novels_100" / f"{split}.parquet")
    passages = load_dataset("parquet", data_files={"any": file}, split="any")["text"]
    codes = bytearray("\n".join(passages).encode("ascii", "replace"))
    text = torch.frombuffer(codes, dtype=torch.uint8)
    windows = text[: len(text) // (_WINDOW + 1) * (_WINDOW + 1)].view(-1, _WINDOW + 1)
    if examples is None:
        return windows
    return windows[torch.randperm(len(windows), generator=torch.Generator().manual_seed(0))][
        :examples
    ]


def text(data: Path) -> Task:
    """The next character in English novels; every epoch draws new windows."""
    batch, steps = 32, 250

    def build(depth: int, connectivity: Any) -> ac.Network:
        return ac.models.Decoder(
            depth=depth,
            width=32,
            vocabulary=128,
            length=_WINDOW,
            heads=2,
            connectivity=connectivity,
        )

    train = _Windows(_windows(data, "train"))
    order = BatchSampler(RandomSampler(train, num_samples=batch * steps), batch, drop_last=True)
    return Task(
        name="text",
        depth=8,
        build=build,
        train=DataLoader(train, batch_size=None, sampler=order),
        validation=_Windows(_windows(data, "validation", 1500)),
        test=_Windows(_windows(data, "test", 3000)),
        examples=batch * steps,
        fit=ac.FitConfig(
            epochs=12,
            batch_size=batch,
            lr=6e-3,
            warmup_epochs=1.0,
            label_smoothing=0.0,
            betas=(0.9, 0.98),
        ),
    )


def image(data: Path) -> Task:
    """CIFAR-10, all of it, and a narrow Mixer."""
    splits = ac.load_data(ac.DataConfig(name=str(data / "cifar10")))

    def build(depth: int, connectivity: Any) -> ac.Network:
        return ac.models.Mixer(
            depth=depth,
            width=24,
            classes=10,
            image_size=32,
            patch_size=4,
            channels=3,
            token_width=32,
            channel_width=48,
            connectivity=connectivity,
        )

    return Task(
        name="image",
        depth=8,
        build=build,
        train=splits.train,
        validation=splits.validation,
        test=splits.test,
        examples=len(splits.train),
        fit=ac.FitConfig(epochs=10, batch_size=128, lr=3e-3, warmup_epochs=1.0),
        augment=ac.AugmentConfig(crop_padding=4, flip=True),
    )


def long(task: Callable[[Path], Task], times: int) -> Callable[[Path], Task]:
    """The same task, trained for longer: does depth pay where steps no longer do?"""

    def build(data: Path) -> Task:
        short = task(data)
        fit = replace(short.fit, epochs=times * short.fit.epochs)
        return replace(short, name=f"{short.name}-long", fit=fit)

    return build


TASKS: dict[str, Callable[[Path], Task]] = {
    "text": text,
    "image": image,
    "text-long": long(text, 4),
}
