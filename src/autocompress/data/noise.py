"""Noise and common corruptions of images, batch by batch, independent of the images' order.

Two kinds take their strength directly, the others a severity 1..5 with the strengths that Hendrycks
and Dietterich ("Benchmarking Neural Network Robustness to Common Corruptions", ICLR 2019) use for
images of 32 x 32 pixels. All strengths refer to pixels in 0..1, before a network's normalisation;
the result is clipped to 0..1 and rounded to bytes, as theirs is.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Generator, Tensor
from torch.nn import functional as F
from typing_extensions import Self

from autocompress.data.meaning import Meaning
from autocompress.data.sources import Batch, Source, TensorSource
from autocompress.errors import ConfigError, DataError, UnknownNameError

__all__ = ["Noise", "NoisySource", "list_noises", "noisy"]

#: Draws one tensor per image with a function of its generator: (B, ...).
Draw = Callable[[Callable[[Generator], Tensor]], Tensor]

#: Maps images (B, C, H, W) in 0..1, a strength and a way to draw to images.
Corruption = Callable[[Tensor, float, Draw], Tensor]


@dataclass(frozen=True)
class Noise:
    """The noise to apply to images.

    Args:
        kind: ``gaussian`` (level: the standard deviation), ``salt_pepper`` (level: the share of
            pixels that become black or white), or a corruption (level: its severity, 0..5); see
            :func:`list_noises`.
        level: Strength; 0 leaves images unchanged.
        seed: Seed of the draws.

    Raises:
        UnknownNameError: There is no such kind.
        ConfigError: The kind does not have this level.

    Example:
        >>> Noise.parse("salt_pepper:0.05")
        Noise(kind='salt_pepper', level=0.05, seed=0)
    """

    kind: str
    level: float
    seed: int = 0

    def __post_init__(self) -> None:
        if self.kind not in _KINDS:
            raise UnknownNameError("noise", self.kind, _KINDS)
        if self.kind in _STRENGTHS and self.level not in range(6):
            raise ConfigError(f"severity {self.level:g} of {self.kind} must be one of 0, 1, .. 5")
        if not self.level >= 0 or (self.kind == "salt_pepper" and self.level > 1):
            most = "between 0 and 1" if self.kind == "salt_pepper" else "0 or more"
            raise ConfigError(f"level {self.level:g} of {self.kind} must be {most}")

    @classmethod
    def parse(cls, text: str, seed: int = 0) -> Self:
        """Parse ``KIND:LEVEL``.

        Raises:
            ConfigError: The text has another form.
        """
        kind, _, level = text.partition(":")
        try:
            return cls(kind, float(level), seed)
        except ValueError as error:
            if isinstance(error, ConfigError):
                raise
            raise ConfigError(f"noise {text!r} is not KIND:LEVEL, e.g. gaussian:0.2") from error

    @property
    def strength(self) -> float:
        """Return the strength of the level: the level itself, or the strength of the severity."""
        if self.kind in _STRENGTHS and self.level:
            return _STRENGTHS[self.kind][int(self.level) - 1]
        return self.level

    @property
    def words(self) -> str:
        """Return the noise in words.

        Example:
            >>> Noise("gaussian", 0.2).words, Noise("jpeg", 3).words, Noise("jpeg", 0).words
            ('Gaussian noise of 0.2', 'jpeg, severity 3', 'as they are')
        """
        if self.level == 0:
            return "as they are"
        if self.kind == "gaussian":
            return f"Gaussian noise of {self.level:g}"
        if self.kind == "salt_pepper":
            return f"salt and pepper on {100 * self.level:g} %"
        return f"{self.kind.replace('_', ' ')}, severity {self.level:g}"

    def __call__(self, images: Tensor, rows: Tensor) -> Tensor:
        """Return images with this noise.

        Args:
            images: Images, uint8 (B, C, H, W).
            rows: Index of each image, int64 (B,): the same image always gets the same draw.
        """
        if self.level == 0:
            return images

        def draw(make: Callable[[Generator], Tensor]) -> Tensor:
            drawn = [make(_generator(self.seed, row)) for row in rows.tolist()]
            return torch.stack(drawn).to(images.device, non_blocking=True)

        changed = _KINDS[self.kind](images.float() / 255, self.strength, draw)
        return (changed.clamp(0, 1) * 255).round().to(torch.uint8)


def list_noises() -> list[str]:
    """Return the kinds, sorted.

    >>> "jpeg" in list_noises()
    True
    """
    return sorted(_KINDS)


def noisy(source: Any, noise: Noise | str) -> NoisySource:
    """Return the same images with noise, e.g. ``ac.probe(net, ac.noisy(data.test, "jpeg:3"))``.

    Args:
        source: A source of images.
        noise: The noise, as an object or as ``KIND:LEVEL``.

    Raises:
        DataError: ``source`` is not a source of images.

    Example:
        >>> images = torch.zeros(3, 1, 8, 8, dtype=torch.uint8)
        >>> source = noisy(TensorSource(images, torch.arange(3)), "salt_pepper:0.5")
        >>> [sorted(set(batch.flatten().tolist())) for batch, _ in source.batches(3)]
        [[0, 255]]
    """
    if not isinstance(source, Source):
        raise DataError(
            f"noise is for sources of images (ac.load_data), not for a {type(source).__name__}"
        )
    return NoisySource(source, Noise.parse(noise) if isinstance(noise, str) else noise)


class NoisySource:
    """A source of images with noise, which is the same for an image in any batch or order.

    Args:
        inner: Source of the clean images.
        noise: The noise.
        rows: Index of each image, int64 (n,); None counts them.
    """

    def __init__(self, inner: Source, noise: Noise, rows: Tensor | None = None) -> None:
        self.inner, self.noise = inner, noise
        self.rows = torch.arange(len(inner)) if rows is None else rows
        #: Meaning of the images and labels, if known.
        self.meaning: Meaning | None = getattr(inner, "meaning", None)

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.inner.shape

    @property
    def labels(self) -> Tensor:
        return self.inner.labels

    def __len__(self) -> int:
        return len(self.inner)

    def batches(self, batch_size: int, order: Tensor | None = None) -> Iterator[Batch]:
        rows = self.rows if order is None else self.rows[order.cpu()]
        start = 0
        for images, labels in self.inner.batches(batch_size, order):
            stop = start + len(images)
            yield self.noise(images, rows[start:stop]), labels
            start = stop

    def relabelled(self, labels: Tensor) -> NoisySource:
        return NoisySource(self.inner.relabelled(labels), self.noise, self.rows)

    def select(self, indices: Tensor) -> NoisySource:
        rows = self.rows[indices.cpu()]
        return NoisySource(self.inner.select(indices), self.noise, rows)

    def to(self, device: torch.device | str) -> NoisySource:
        return NoisySource(self.inner.to(device), self.noise, self.rows)

    def in_memory(self) -> TensorSource:
        """Return all images in memory, computed once."""
        images, labels = zip(*self.batches(512), strict=True)
        return TensorSource(torch.cat(images), torch.cat(labels))


def _generator(seed: int, row: int) -> Generator:
    return Generator().manual_seed(seed * 1_000_003 + row)


# -- what is done to the pixels --------------------------------------------------------------------


def _gaussian(images: Tensor, deviation: float, draw: Draw) -> Tensor:
    return images + deviation * draw(lambda g: torch.randn(images.shape[1:], generator=g))


def _speckle(images: Tensor, deviation: float, draw: Draw) -> Tensor:
    return images + images * deviation * draw(lambda g: torch.randn(images.shape[1:], generator=g))


def _salt_pepper(images: Tensor, share: float, draw: Draw) -> Tensor:
    """Set whole pixels, all channels alike."""
    shape = (1, *images.shape[2:])
    return _flip(images, share, draw(lambda g: torch.rand(shape, generator=g)))


def _impulse(images: Tensor, share: float, draw: Draw) -> Tensor:
    """Set each channel of a pixel independently."""
    return _flip(images, share, draw(lambda g: torch.rand(images.shape[1:], generator=g)))


def _flip(images: Tensor, share: float, drawn: Tensor) -> Tensor:
    """Set values to black for draws below share / 2, and to white from 1 - share / 2 on."""
    salted = images.masked_fill(drawn < share / 2, 0.0)
    return salted.masked_fill(drawn >= 1 - share / 2, 1.0)


def _shot(images: Tensor, photons: float, draw: Draw) -> Tensor:
    """Return the image as if a white pixel received this many photons."""
    rates = iter(images.cpu() * photons)
    return draw(lambda g: torch.poisson(next(rates), generator=g)) / photons


def _blur(images: Tensor, deviation: float, draw: Draw) -> Tensor:
    reach = int(4 * deviation + 0.5)
    at = torch.arange(-reach, reach + 1, device=images.device, dtype=images.dtype)
    kernel = torch.exp(-at.square() / (2 * deviation**2))
    kernel = (kernel / kernel.sum()).expand(images.shape[1], 1, 1, -1)
    padded = F.pad(images, [reach] * 4, mode="replicate")
    rows = F.conv2d(padded, kernel, groups=images.shape[1])
    return F.conv2d(rows, kernel.transpose(2, 3), groups=images.shape[1])


def _contrast(images: Tensor, share: float, draw: Draw) -> Tensor:
    means = images.mean((2, 3), keepdim=True)
    return means + share * (images - means)


def _brightness(images: Tensor, more: float, draw: Draw) -> Tensor:
    """Add to the value of HSV, keeping hue and saturation."""
    value = images.amax(1, keepdim=True)
    brighter = (value + more).clamp(max=1)
    return torch.where(value > 0, images * brighter / value.clamp(min=1e-12), brighter)


def _pixelate(images: Tensor, scale: float, draw: Draw) -> Tensor:
    def change(picture: Image.Image) -> Image.Image:
        size = picture.size
        small = (max(1, int(size[0] * scale)), max(1, int(size[1] * scale)))
        return picture.resize(small, Image.Resampling.BOX).resize(size, Image.Resampling.BOX)

    return _as_pictures(images, change)


def _jpeg(images: Tensor, quality: float, draw: Draw) -> Tensor:
    def change(picture: Image.Image) -> Image.Image:
        file = io.BytesIO()
        picture.save(file, "JPEG", quality=int(quality))
        return Image.open(file)

    return _as_pictures(images, change)


def _as_pictures(images: Tensor, change: Callable[[Image.Image], Image.Image]) -> Tensor:
    """Apply a Pillow operation image by image."""
    arrays = (images * 255).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
    changed = [np.asarray(change(Image.fromarray(array.squeeze()))) for array in arrays]
    stacked = torch.from_numpy(np.stack(changed)).view(*arrays.shape)
    return (stacked.permute(0, 3, 1, 2).float() / 255).to(images.device)


#: Strengths of the severities 1..5.
_STRENGTHS: dict[str, tuple[float, ...]] = {
    "gaussian_noise": (0.04, 0.06, 0.08, 0.09, 0.10),
    "shot_noise": (500, 250, 100, 75, 50),
    "impulse_noise": (0.01, 0.02, 0.03, 0.05, 0.07),
    "speckle_noise": (0.06, 0.10, 0.12, 0.16, 0.20),
    "gaussian_blur": (0.4, 0.6, 0.7, 0.8, 1.0),
    "brightness": (0.05, 0.10, 0.15, 0.20, 0.30),
    "contrast": (0.75, 0.5, 0.4, 0.3, 0.15),
    "pixelate": (0.95, 0.9, 0.85, 0.75, 0.65),
    "jpeg": (80, 65, 58, 50, 40),
}

_KINDS: dict[str, Corruption] = {
    "gaussian": _gaussian,
    "salt_pepper": _salt_pepper,
    "gaussian_noise": _gaussian,
    "shot_noise": _shot,
    "impulse_noise": _impulse,
    "speckle_noise": _speckle,
    "gaussian_blur": _blur,
    "brightness": _brightness,
    "contrast": _contrast,
    "pixelate": _pixelate,
    "jpeg": _jpeg,
}
