"""Bring a picture to the size of a network's input, as timm's and torchvision's transforms do."""

from __future__ import annotations

import math

from PIL import Image

__all__ = ["fitted"]

#: Largest number of pixels of a resized picture.
_MOST = 2**26


def fitted(
    picture: Image.Image, size: tuple[int, int], interpolation: str, crop: float, fit: str
) -> Image.Image:
    """Return a picture resized, and cut out of its centre, to a size.

    Args:
        picture: The picture.
        size: Height and width of the result.
        interpolation: Method of Pillow, in small letters.
        crop: Share of each side of the resized picture that is kept.
        fit: ``"squash"`` or ``"center"``; see :class:`autocompress.data.ImageInput`.

    Example:
        >>> fitted(Image.new("L", (90, 60)), (28, 28), "bicubic", 0.875, "center").size
        (28, 28)
    """
    height, width = (math.floor(side / crop) for side in size)
    if fit == "center":
        height, width = _keeping_proportions(picture, height, width)
    method = Image.Resampling[interpolation.upper()]
    top, left = (round((have - want) / 2) for have, want in zip((height, width), size, strict=True))
    cut = (left, top, left + size[1], top + size[0])
    if height * width > _MOST:  # a ribbon: only what is kept of it is resized
        x, y = picture.width / width, picture.height / height
        box = (cut[0] * x, cut[1] * y, cut[2] * x, cut[3] * y)
        return picture.resize((size[1], size[0]), method, box=box)
    if picture.size != (width, height):
        picture = picture.resize((width, height), method)
    return picture if picture.size == (size[1], size[0]) else picture.crop(cut)


def _keeping_proportions(picture: Image.Image, height: int, width: int) -> tuple[int, int]:
    """Return the size of a picture that just covers height and width."""
    if height == width:  # torchvision rounds the longer side down
        short = min(picture.size)
        high, wide = (int(height * side / short) for side in (picture.height, picture.width))
        return max(height, high), max(width, wide)
    ratio = min(picture.height / height, picture.width / width)
    return max(height, round(picture.height / ratio)), max(width, round(picture.width / ratio))
