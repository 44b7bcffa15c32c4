"""A data set in three splits, ready for training."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from autocompress.data.image_input import ImageInput
from autocompress.data.parts import Part
from autocompress.data.sources import Source
from autocompress.errors import DataError

__all__ = ["Splits"]


@dataclass(frozen=True)
class Splits:
    """A data set, ready for training.

    Args:
        train, validation, test: Images as bytes, with labels.
        classes: Names, by label.
        mean, std: Of the training images in 0..1, for each channel.
        name: As in the config.
        description: Counts, and in words where validation and test come from; JSON.
    """

    train: Source
    validation: Source
    test: Source
    classes: list[str]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    name: str
    description: dict[str, Any] = field(default_factory=dict)

    @property
    def sizes(self) -> dict[str, int]:
        """Return the number of images by split."""
        return {split: len(getattr(self, split)) for split in ("train", "validation", "test")}

    @property
    def task(self) -> str:
        """Return what is to be learned, as :attr:`autocompress.Network.tasks` name it."""
        return "image"

    @property
    def parts(self) -> tuple[Part, ...]:
        """Return what the task consists of, where theory says how deep each part is; else empty."""
        return ()

    @property
    def metric(self) -> str:
        """Return what a score is."""
        return "accuracy"

    @property
    def arguments(self) -> dict[str, Any]:
        """Return the constructor arguments of one of our networks for these data.

        Raises:
            DataError: Images that are not square, which these networks do not take.
        """
        channels, size, width = self.train.shape
        if size != width:
            raise DataError(
                f"the images have {size} x {width} pixels and the network takes squares: say "
                f"data.image_size, e.g. {min(size, width)}, to resize them all"
            )
        return {"classes": len(self.classes), "image_size": size, "channels": channels}

    @property
    def preprocess(self) -> dict[str, Any]:
        """Return how bytes become a network's input, see :class:`ImageInput`; JSON."""
        return ImageInput(mean=self.mean, std=self.std).to_json()

    def normalise(self, images: Tensor) -> Tensor:
        """Bytes (B, C, H, W) to floats of mean 0 and deviation 1 over the training images."""
        return ImageInput(mean=self.mean, std=self.std)(images)

    def widened(self, inputs: Tensor) -> Tensor:
        """Inputs in the widest shape that batches have: images are all of one."""
        return inputs

    def to(self, device: torch.device | str) -> Splits:
        """Return the same data, with batches on ``device``."""
        parts = {split: getattr(self, split).to(device) for split in self.sizes}
        return replace(self, **parts)
