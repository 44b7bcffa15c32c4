"""``ImageInput``: the mapping from an image's bytes to the numbers that a network takes."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from autocompress.errors import ConfigError, UnknownNameError

__all__ = ["FITS", "INTERPOLATIONS", "ImageInput"]

_BYTES = 255.0

#: Pillow's methods of resizing, by their numbers in its ``Image.Resampling``.
INTERPOLATIONS = ("nearest", "lanczos", "bilinear", "bicubic", "box", "hamming")

#: How a picture of other proportions comes to the size of the input.
FITS = ("squash", "center")


@dataclass(frozen=True)
class ImageInput:
    """A mapping from pixels to a network's input: ``(pixels * scale - mean) / std``.

    It is stored with the network as its ``preprocess``; all code that feeds raw pixels to a
    network uses it.

    Args:
        scale: Factor of a byte (0..255); 1 / 255 gives 0..1.
        mean: Mean of the scaled values for each channel, or one for all.
        std: Standard deviation of the scaled values for each channel, or one for all.
        size: Height and width of the images; None if unknown.
        channels: Number of channels, 1 or 3; None if unknown.
        resize: Whether images were resized to this size in training; otherwise all had it.
        interpolation: Method by which images are resized, one of Pillow's: ``"bilinear"``,
            ``"bicubic"``, ``"nearest"``, ``"lanczos"``, ``"box"`` or ``"hamming"``.
        crop: Share of each side of the resized image that is kept, from its centre, in 0..1; 1
            resizes to ``size`` itself. timm's ``crop_pct``.
        fit: Resizing of an image of other proportions: ``"squash"`` changes its proportions,
            ``"center"`` keeps them and cuts off what is too long. timm's ``crop_mode``.

    Raises:
        ConfigError: A value is not a finite number, the scale or a deviation is not above zero, the
            numbers of means and deviations differ, or no image can have this size.
        UnknownNameError: There is no such interpolation or fit.

    Example:
        >>> ImageInput(scale=1 / 255, mean=(0.5,), std=(0.5,))(torch.tensor([[[[0, 255]]]]))
        tensor([[[[-1.,  1.]]]])
    """

    scale: float = 1 / _BYTES
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    size: tuple[int, int] | None = None
    channels: int | None = None
    resize: bool = False
    interpolation: str = "bilinear"
    crop: float = 1.0
    fit: str = "squash"

    def __post_init__(self) -> None:
        self._check_picture()
        for name, values in (("scale", (self.scale,)), ("mean", self.mean), ("std", self.std)):
            if not all(_is_number(value) for value in values):
                raise ConfigError(f"preprocess.{name} {values} must be finite numbers")
            if name != "mean" and min(values, default=0) <= 0:
                raise ConfigError(f"preprocess.{name} {values} must be greater than 0")
        if len(self.mean) != len(self.std):
            raise ConfigError(
                f"preprocess has {len(self.mean)} means and {len(self.std)} deviations; expected "
                "one of each for every channel"
            )

    def _check_picture(self) -> None:
        """Raise ConfigError for image settings that no network can have."""
        if self.size is not None and not (len(self.size) == 2 and all(map(_is_side, self.size))):
            raise ConfigError(f"preprocess.size {self.size!r} must be [height, width] in pixels")
        if self.channels is not None and not (
            type(self.channels) is int and self.channels in (1, 3)
        ):
            raise ConfigError(f"preprocess.channels {self.channels!r} must be 1 or 3")
        if not isinstance(self.resize, bool):
            raise ConfigError(f"preprocess.resize {self.resize!r} must be true or false")
        if self.interpolation not in INTERPOLATIONS:
            raise UnknownNameError("preprocess.interpolation", self.interpolation, INTERPOLATIONS)
        if self.fit not in FITS:
            raise UnknownNameError("preprocess.fit", self.fit, FITS)
        if not (_is_number(self.crop) and _LEAST_CROP <= self.crop <= 1):
            raise ConfigError(
                f"preprocess.crop {self.crop!r} must be a share of a picture's side, "
                f"{_LEAST_CROP}..1"
            )

    @classmethod
    def like(
        cls,
        shape: tuple[int, int, int],
        mean: tuple[float, ...],
        std: tuple[float, ...],
        resize: bool,
    ) -> ImageInput:
        """Return the mapping for images of this shape (C, H, W), normalised with mean and std."""
        channels, height, width = shape
        return cls(mean=mean, std=std, size=(height, width), channels=channels, resize=resize)

    @classmethod
    def of(cls, preprocess: Mapping[str, Any] | None) -> ImageInput:
        """Read a network's ``preprocess``.

        Args:
            preprocess: A mapping of the arguments above; missing entries have their defaults. None
                maps bytes to 0..1 and nothing else.

        Raises:
            ConfigError: As for the class, or an entry has another type.
        """
        said = {key: (preprocess or {})[key] for key in _KEYS if key in (preprocess or {})}
        for key in ("mean", "std", "size"):
            if said.get(key) is not None:
                if not isinstance(said[key], (list, tuple)):
                    raise ConfigError(f"preprocess.{key} {said[key]!r} must be a list of numbers")
                said[key] = tuple(said[key])
        return cls(**said)

    def to_json(self) -> dict[str, Any]:
        """Return this mapping as the ``preprocess`` of a network, for :meth:`of`."""
        numbers = {"scale": self.scale, "mean": list(self.mean), "std": list(self.std)}
        if self.size is None:
            return numbers
        picture: dict[str, Any] = {
            "size": list(self.size),
            "channels": self.channels,
            "resize": self.resize,
        }
        picture["interpolation"] = self.interpolation
        if (self.crop, self.fit) != (1.0, "squash"):
            picture |= {"crop": self.crop, "fit": self.fit}
        return {**numbers, **picture}

    def __call__(self, pixels: Tensor) -> Tensor:
        """Return the input for pixels 0..255 of any dtype, (B, C, H, W) or (C, H, W), as floats."""
        return self.from_unit(pixels.float() / _BYTES)

    def from_unit(self, images: Tensor, columns: tuple[Tensor, Tensor] | None = None) -> Tensor:
        """Return the input for pixels in 0..1, as augmentation leaves them.

        Args:
            images: Floats (B, C, H, W) or (C, H, W).
            columns: Result of :meth:`columns`, if many batches share it.
        """
        mean, std = columns or self.columns(images.device)
        factor = _BYTES * self.scale
        if abs(factor - 1) > 1e-12:  # for 1 / 255 a product might change the last bit
            images = images * factor
        return (images - mean) / std

    def to_unit(self, inputs: Tensor) -> Tensor:
        """Return the pixels in 0..1 of which :meth:`from_unit` makes these inputs.

        Example:
            >>> given = ImageInput(mean=(0.5,), std=(0.25,))
            >>> given.to_unit(given.from_unit(torch.tensor([[[0.75]]])))
            tensor([[[0.7500]]])
        """
        mean, std = self.columns(inputs.device)
        return (inputs * std + mean) / (_BYTES * self.scale)

    def scales_like(self, other: ImageInput) -> bool:
        """Return whether both make the same inputs of the same pixels."""
        return (self.scale, self.mean, self.std) == (other.scale, other.mean, other.std)

    def columns(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """Return mean and deviation on a device, each (C, 1, 1)."""
        mean, std = (torch.tensor(v, device=device).view(-1, 1, 1) for v in (self.mean, self.std))
        return mean, std


_KEYS = ("scale", "mean", "std", "size", "channels", "resize", "interpolation", "crop", "fit")

#: Smallest share of a resized picture's side that is kept.
_LEAST_CROP = 0.1

#: Pixels along one side of a network's pictures, at most.
_LONGEST = 2**14


def _is_side(value: Any) -> bool:
    return type(value) is int and 0 < value <= _LONGEST


def _is_number(value: Any) -> bool:
    """Return whether a value is a finite number that a float can hold; 10**400 is none."""
    is_real = isinstance(value, (int, float)) and not isinstance(value, bool)
    return is_real and abs(value) <= sys.float_info.max
