"""From the encoded images of a data set to bytes (C, H, W) of one shape."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor
from torch.nn import functional as F

from autocompress.errors import DataError

__all__ = ["Decoder", "convert"]

_GREY = {"1", "L", "LA", "La"}
_COLOUR = {"RGB", "RGBA", "RGBa", "RGBX", "P", "PA", "CMYK", "YCbCr", "LAB", "HSV"}
_ORIENTATION = 0x0112  # EXIF


@dataclass(frozen=True)
class Decoder:
    """Decodes images and sees that all have one shape.

    Args:
        channels: 1 or 3. height, width: of the result.
        resize: resize to that size; otherwise another size is an error.
        strict: refuse a colour image where ``channels`` is 1; otherwise convert it.
    """

    channels: int
    height: int
    width: int
    resize: bool = False
    strict: bool = True

    @classmethod
    def like(
        cls, first: Any, channels: int | None, image_size: int | None, where: str = "image 0"
    ) -> Decoder:
        """The decoder for a set whose first image is ``first``.

        Args:
            first: an encoded image.
            channels: 1 or 3; None keeps what the first image has.
            image_size: side of the squares; None keeps the first image's size.
            where: names it in error messages.

        Raises:
            DataError: it cannot be read.
        """
        picture = _open(first, where)
        mode = _channels(picture, where)
        width, height = (image_size, image_size) if image_size else picture.size
        return cls(channels or mode, height, width, bool(image_size), strict=channels is None)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of the result."""
        return self.channels, self.height, self.width

    def batch(self, items: Sequence[Any], rows: Sequence[int], split: str) -> Tensor:
        """Encoded images to uint8 (B, C, H, W).

        Args:
            items: ``{"bytes": .., "path": ..}`` each.
            rows: their numbers, for error messages.
            split: what these number.

        Raises:
            DataError: an image that cannot be read, or is of another size or kind.
        """
        out = np.empty((len(items), self.height, self.width, self.channels), dtype=np.uint8)
        for i, (item, row) in enumerate(zip(items, rows, strict=True)):
            picture = self._picture(item, f"image {row} of {split}")
            out[i] = np.asarray(picture).reshape(out.shape[1:])
        return torch.from_numpy(out).permute(0, 3, 1, 2).contiguous()

    def _picture(self, item: Any, where: str) -> Image.Image:
        picture = _open(item, where)
        if self.strict and _channels(picture, where) > self.channels:
            raise DataError(
                f"{where} is in colour ({picture.mode}), the first of the set is grey: say "
                "data.channels 1 or 3 to convert them all"
            )
        _channels(picture, where)
        picture = picture.convert("L" if self.channels == 1 else "RGB")
        if picture.size == (self.width, self.height):
            return picture
        if not self.resize:
            raise DataError(
                f"{where} has {picture.height} x {picture.width} pixels, the first of the set "
                f"{self.height} x {self.width}: say data.image_size, e.g. "
                f"{min(self.height, self.width)}, to resize them all"
            )
        return picture.resize((self.width, self.height), Image.Resampling.BILINEAR)


def _open(item: Any, where: str) -> Image.Image:
    """The decoded picture, upright."""
    if not item or (item["bytes"] is None and not item["path"]):
        raise DataError(f"{where} is missing: its cell is empty")
    try:
        file = io.BytesIO(item["bytes"]) if item["bytes"] is not None else item["path"]
        with Image.open(file) as picture:
            picture.load()
            turned = picture.getexif().get(_ORIENTATION, 1) != 1
            return ImageOps.exif_transpose(picture) if turned else picture
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        named = f" ({item['path']})" if item["path"] else ""
        raise DataError(f"{where}{named} cannot be decoded: {error}") from None


def _channels(picture: Image.Image, where: str) -> int:
    """1 or 3, for what 8-bit images can be made of without loss of range."""
    if picture.mode in _GREY:
        return 1
    if picture.mode in _COLOUR:
        return 3
    raise DataError(
        f"{where} has pixels of mode {picture.mode!r}; expected 8 bits a channel, grey or colour "
        f"({', '.join(sorted(_GREY | _COLOUR))}): convert the files first"
    )


def convert(images: Tensor, channels: int | None, image_size: int | None) -> Tensor:
    """Images of a registered set as the caller wants them, uint8 (n, C, H, W) to the same.

    Args:
        images: with 1 or 3 channels.
        channels: 1 or 3; None keeps them.
        image_size: side of the squares; None keeps the size.
    """
    if channels == 3 and images.shape[1] == 1:
        images = images.expand(-1, 3, -1, -1).contiguous()
    elif channels == 1 and images.shape[1] == 3:
        luma = torch.tensor([0.299, 0.587, 0.114], device=images.device).view(1, 3, 1, 1)
        images = (images * luma).sum(1, keepdim=True).round().byte()
    if image_size and tuple(images.shape[2:]) != (image_size, image_size):
        resized = F.interpolate(
            images.float(), (image_size, image_size), mode="bilinear", antialias=True
        )
        images = resized.round().clamp(0, 255).byte()
    return images
