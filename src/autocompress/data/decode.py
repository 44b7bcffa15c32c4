"""Decode the encoded images of a data set to bytes (C, H, W) of one shape."""

from __future__ import annotations

import ctypes
import io
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor
from torch.nn import functional as F

from autocompress.data.fitting import fitted
from autocompress.errors import DataError

__all__ = ["ImageDecoder", "FORMATS", "MOST_VALUES", "UnlikeError", "to_shape", "is_picture"]

#: Formats that Pillow may decode, without EPS: reading it starts another program.
FORMATS = ("AVIF", "BMP", "DIB", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")

#: Largest number of values of one image as network input (2048 x 2048 in colour, and some more).
#: Sets of larger images have to be resized by data.image_size.
MOST_VALUES = 2**24

#: Level of the background behind transparent pixels: white.
BACKGROUND = 255

_GREY = {"1", "L", "LA", "La"}
_COLOUR = {"RGB", "RGBA", "RGBa", "RGBX", "P", "PA", "CMYK", "YCbCr", "HSV"}
_ALPHA = {"LA", "La", "RGBA", "RGBa", "PA"}
_ORIENTATION = 0x0112  # an EXIF tag

#: Number of pixels from which images are decoded one at a time, to bound the threads' memory.
_LARGE = 2**24

#: Formats whose decoders take 16 to 25 bytes per pixel where others take 4, and their largest
#: number of pixels, so that any image takes less than 1 GiB.
_COSTLY, MOST_COSTLY = ("AVIF", "JPEG2000", "WEBP"), 2**25
#: Number of pixels put on a background at a time.
STRIP = 2**20

_one_at_a_time = threading.Lock()

_BROKEN = (
    OSError,
    SyntaxError,
    ValueError,
    OverflowError,
    EOFError,
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,
)


class UnlikeError(DataError):
    """An image can be read but has another size or colour than the first of its set."""


@dataclass(frozen=True)
class ImageDecoder:
    """A decoder of images that checks that all have one shape.

    Transparent pixels become white, and EXIF orientation is applied. An image with several frames,
    of a mode with more than 8 bits, or larger than Pillow's limit is refused by name. Of 16-bit
    colours, which Pillow opens as RGB, the upper 8 bits count.

    Args:
        channels: Number of channels, 1 or 3.
        height, width: Size of the result.
        resize: Whether to resize to that size; otherwise another size is an error.
        strict: Whether to refuse a colour image if ``channels`` is 1; otherwise it is converted.
        interpolation, crop, fit: Options of resizing; see :class:`autocompress.data.ImageInput`.
    """

    channels: int
    height: int
    width: int
    resize: bool = False
    strict: bool = True
    interpolation: str = "bilinear"
    crop: float = 1.0
    fit: str = "squash"

    @classmethod
    def like(
        cls, first: Any, channels: int | None, image_size: int | None, where: str = "image 0"
    ) -> ImageDecoder:
        """Return the decoder for a set whose first image is ``first``.

        Args:
            first: An encoded image.
            channels: Number of channels, 1 or 3; None keeps those of the first image.
            image_size: Side of the squares; None keeps the first image's size.
            where: Name of the image in error messages.

        Raises:
            DataError: The image cannot be read, or is too large as a network's input.
        """
        where = _named(first, where)
        with _opened(first, where, None if image_size else MOST_VALUES) as opened:
            mode = _channels(opened, where)
            picture = _loaded(opened, where)
            width, height = (image_size, image_size) if image_size else picture.size
        _give_back()
        return cls(channels or mode, height, width, bool(image_size), strict=channels is None)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Return (C, H, W) of the result."""
        return self.channels, self.height, self.width

    def batch(self, items: Sequence[Any], rows: Sequence[int], split: str) -> Tensor:
        """Decode images to uint8 (B, C, H, W).

        Args:
            items: Encoded images, each ``{"bytes": .., "path": ..}``.
            rows: Their row numbers, for error messages.
            split: Name of the split that the rows are from, for error messages.

        Raises:
            DataError: An image cannot be read, or has another size or kind.
        """
        out = np.empty((len(items), self.height, self.width, self.channels), dtype=np.uint8)
        for i, (item, row) in enumerate(zip(items, rows, strict=True)):
            picture, _ = self._picture(item, _named(item, f"image {row} of {split}"))
            out[i] = np.asarray(picture).reshape(out.shape[1:])
        return torch.from_numpy(out).permute(0, 3, 1, 2).contiguous()

    def single(self, item: Any, where: str) -> tuple[Tensor, tuple[int, int, int]]:
        """Decode one image to uint8 (C, H, W).

        Args:
            item: ``{"bytes": .., "path": ..}`` or a Pillow image.
            where: The image's name, for error messages.

        Returns:
            The image, and the channels, height and width that it had.

        Raises:
            DataError: As for :meth:`batch`.
        """
        picture, shape = self._picture(item, where)
        pixels = np.array(picture).reshape(self.height, self.width, self.channels)
        return torch.from_numpy(pixels).permute(2, 0, 1).contiguous(), shape

    def _picture(self, item: Any, where: str) -> tuple[Image.Image, tuple[int, int, int]]:
        with _opened(item, where, None if self.resize else MOST_VALUES) as picture:
            if picture.width * picture.height * _cost(picture) < _LARGE:
                fitted = self._fitted(picture, where)
                return fitted, (_channels(picture, where), picture.height, picture.width)
            with _one_at_a_time:
                fitted = self._fitted(picture, where)
                shape = (_channels(picture, where), picture.height, picture.width)
                picture.close()  # frees its pixels before the next image
                _give_back()
                return fitted, shape

    def _fitted(self, picture: Image.Image, where: str) -> Image.Image:
        if self.strict and _channels(picture, where) > self.channels:
            raise UnlikeError(
                f"{where} is in colour ({picture.mode}), the first of the set is grey: set "
                "data.channels 1 or 3 to convert them all"
            )
        _channels(picture, where)
        wanted = "L" if self.channels == 1 else "RGB"
        picture = _opaque(_loaded(picture, where))
        if picture.mode != wanted:
            picture = picture.convert(wanted)
        if picture.size == (self.width, self.height) and self.crop == 1:
            return picture
        if not self.resize:
            raise UnlikeError(
                f"{where} has {picture.height} x {picture.width} pixels, the first of the set "
                f"{self.height} x {self.width}: set data.image_size, e.g. "
                f"{min(self.height, self.width)}, to resize them all"
            )
        return fitted(picture, (self.height, self.width), self.interpolation, self.crop, self.fit)


def _named(item: Any, where: str) -> str:
    """Return ``where``, with the file's name if there is one."""
    path = item.get("path") if item else None
    return f"{where} ({path})" if path else where


@contextmanager
def _opened(item: Any, where: str, most_values: int | None) -> Iterator[Image.Image]:
    """Yield an image before any pixel is decoded, with its size checked and errors named."""
    if isinstance(item, Image.Image):
        _check_size(item, where, most_values)
        _check_frames(item, where)
        with _named_errors(where):
            yield item.copy()
        return
    if not item or (item["bytes"] is None and not item["path"]):
        raise DataError(f"{where} is missing: its cell is empty")
    with _named_errors(where):
        file = io.BytesIO(item["bytes"]) if item["bytes"] is not None else item["path"]
        with Image.open(file, formats=_formats()) as picture:
            _check_size(picture, where, most_values)
            _check_frames(picture, where)
            yield picture


@contextmanager
def _named_errors(where: str) -> Iterator[None]:
    """Name the image in errors about it."""
    try:
        yield
    except DataError:  # already has its message, but is also a ValueError
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise DataError(f"{where} has too many pixels: {_limit()}") from None
    except UnidentifiedImageError:  # whose own words end with the name of a file, or an address
        raise DataError(f"{where} cannot be decoded: it is no picture that Pillow reads") from None
    except _BROKEN as error:
        raise DataError(f"{where} cannot be decoded: {error}") from None


def is_picture(path: Path) -> bool:
    """Return whether a file begins like an image that can be read, whatever its name."""
    try:
        with Image.open(path, formats=_formats()):
            return True
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        return True
    except _BROKEN:
        return False


@cache
def _formats() -> tuple[str, ...]:
    """Return the formats in :data:`FORMATS` that this build of Pillow reads."""
    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)


def _loaded(picture: Image.Image, where: str) -> Image.Image:
    """Return the decoded image, upright."""
    picture.load()
    _channels(picture, where)  # some files reveal their pixel format only now
    if picture.getexif().get(_ORIENTATION, 1) != 1:
        ImageOps.exif_transpose(picture, in_place=True)  # saves a copy of a large image
    return picture


def _check_size(picture: Image.Image, where: str, most_values: int | None) -> None:
    """Raise DataError for more pixels than Pillow or, without data.image_size, a network takes."""
    pixels, limit = picture.width * picture.height, Image.MAX_IMAGE_PIXELS
    size = f"{where} has {picture.height} x {picture.width} pixels"
    if limit is not None and pixels > limit:
        raise DataError(f"{size}, {3 * pixels / 2**20:,.0f} MiB when decoded: {_limit()}")
    if picture.format in _COSTLY and pixels > MOST_COSTLY:
        raise DataError(
            f"{size}: one of format {picture.format} may have {MOST_COSTLY:,}, as its decoder "
            "takes several times the memory of others; make the file smaller first, save it as "
            "PNG or JPEG, or leave it out"
        )
    values = pixels * len(picture.getbands())
    if most_values is not None and values > most_values:
        raise DataError(
            f"{size}, which makes {values:,} numbers of it; a network is given at most "
            f"{most_values:,} for an image: set data.image_size, e.g. 224, to resize them all"
        )


def _cost(picture: Image.Image) -> int:
    """Return the memory for decoding this image, as a multiple of a plain decoder's."""
    return 4 if picture.format in _COSTLY else 1


def _give_back() -> None:
    """Return freed memory to the system, since glibc's malloc keeps it for each thread."""
    with suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)


def _limit() -> str:
    return (
        f"one picture may have {Image.MAX_IMAGE_PIXELS or 0:,} (Pillow's MAX_IMAGE_PIXELS, which "
        "data.image_size does not lift): make the file smaller first, or leave it out"
    )


def _check_frames(picture: Image.Image, where: str) -> None:
    """Raise DataError for an animation or a document of several pages.

    A camera's MPO file counts as one image, although others of the same scene follow it.
    """
    if getattr(picture, "is_animated", False) and picture.format != "MPO":
        raise DataError(
            f"{where} has several frames or pages; expected one picture: keep one of them, or "
            "make a file of each"
        )


def _opaque(picture: Image.Image) -> Image.Image:
    """Return the image on a white background if parts of it are transparent."""
    if picture.mode not in _ALPHA and "transparency" not in picture.info:
        return picture
    opaque = Image.new("RGB", picture.size)
    step = max(1, STRIP // max(1, picture.width))
    for top in range(0, picture.height, step):  # in strips: it makes three copies
        box = (0, top, picture.width, min(top + step, picture.height))
        strip = picture.crop(box)
        if strip.mode == "La":  # Pillow cannot convert it directly
            strip = strip.convert("LA")
        white = Image.new("RGBA", strip.size, (BACKGROUND, BACKGROUND, BACKGROUND, 255))
        opaque.paste(Image.alpha_composite(white, strip.convert("RGBA")).convert("RGB"), box)
    return opaque


def _channels(picture: Image.Image, where: str) -> int:
    """Return 1 or 3, the channels of an 8-bit image that keeps the range of values."""
    if picture.mode in _GREY:
        return 1
    if picture.mode in _COLOUR:
        return 3
    raise DataError(
        f"{where} has pixels of mode {picture.mode!r}; expected 8 bits a channel, grey or colour "
        f"({', '.join(sorted(_GREY | _COLOUR))}): convert the files first, so that black is 0 and "
        "white 255"
    )


def to_shape(images: Tensor, channels: int | None, image_size: int | None) -> Tensor:
    """Convert images of a registered set, uint8 (n, C, H, W) to the same.

    Args:
        images: Images with 1 or 3 channels.
        channels: Number of channels, 1 or 3; None keeps them.
        image_size: Side of the squares; None keeps the size.
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
