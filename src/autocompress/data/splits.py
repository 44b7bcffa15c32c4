"""A data set in three splits, ready for training."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from autocompress.data.image_input import ImageInput
from autocompress.data.meaning import Meaning, explain
from autocompress.data.sources import Source
from autocompress.errors import DataError

__all__ = ["Part", "Splits"]


@dataclass(frozen=True)
class Part:
    """A part of a task whose required depth is known.

    Args:
        name: Name of the part, e.g. ``k = 4``.
        depth: Number of layers that suffice.
    """

    name: str
    depth: int


@dataclass(frozen=True)
class Splits:
    """A data set, ready for training.

    Args:
        train, validation, test: Images as bytes, with labels.
        classes: Class names by label.
        mean, std: Statistics of the training images in 0..1, for each channel.
        name: Name as in the config.
        description: Counts, and in words the origin of validation and test; JSON.
        resized: Whether the images were resized to one size.
    """

    train: Source
    validation: Source
    test: Source
    classes: list[str]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    name: str
    description: dict[str, Any] = field(default_factory=dict)
    resized: bool = False

    @property
    def sizes(self) -> dict[str, int]:
        """Return the number of images by split."""
        return {split: len(getattr(self, split)) for split in ("train", "validation", "test")}

    @property
    def task(self) -> str:
        """Return the task, in the words of :attr:`autocompress.Network.tasks`."""
        return "image"

    @property
    def parts(self) -> tuple[Part, ...]:
        """Return the parts of the task if theory gives their required depth; otherwise empty."""
        return ()

    @property
    def metric(self) -> str:
        """Return the name of the score."""
        return "accuracy"

    @property
    def arguments(self) -> dict[str, Any]:
        """Return the constructor arguments of one of our networks for these data.

        Raises:
            DataError: The images are not square, as these networks require.
        """
        channels, size, width = self.train.shape
        if size != width:
            raise DataError(
                f"the images have {size} x {width} pixels and the network takes squares: set "
                f"data.image_size, e.g. {min(size, width)}, to resize them all"
            )
        return {"classes": len(self.classes), "image_size": size, "channels": channels}

    @property
    def preprocess(self) -> dict[str, Any]:
        """Return the mapping from pictures to a network's input (:class:`ImageInput`) as JSON."""
        return ImageInput.like(self.train.shape, self.mean, self.std, self.resized).to_json()

    @property
    def meaning(self) -> Meaning:
        """Return what the examples and their labels are."""
        return Meaning(self.task, tuple(self.classes), self.resized)

    def normalise(self, images: Tensor) -> Tensor:
        """Map bytes (B, C, H, W) to floats with mean 0 and deviation 1 over the training images."""
        return ImageInput(mean=self.mean, std=self.std)(images)

    def widened(self, inputs: Tensor) -> Tensor:
        """Return inputs in the widest shape of all batches; images all have one shape."""
        return inputs

    def explained(self) -> Splits:
        """Return the same data, whose sources carry what they mean."""
        for split in self.sizes:
            explain(getattr(self, split), self.meaning)
        return self

    def to(self, device: torch.device | str) -> Splits:
        """Return the same data, with batches on ``device``."""
        parts = {split: getattr(self, split).to(device) for split in self.sizes}
        return replace(self, **parts)
