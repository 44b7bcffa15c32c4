"""AutoAugment's CIFAR-10 policy (Cubuk et al., CVPR 2019) for a batch, with one draw per image.

kornia has an AutoAugment, but it draws one sub-policy for a whole batch, always with one sign, and
with magnitudes that differ from the paper's (kornia 0.9: "rotate 2" is -18..-12 degrees, the
paper's is 6.7 to either side). Here every image has its own sub-policy. In each of its two steps
the images that share an operation are gathered, and the operation runs once on all of them.
Equalize and sharpness are kornia's. The operations agree with Pillow's up to rounding (tests/data).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["POLICY", "apply", "auto_augment", "strength"]

#: The 25 sub-policies of two steps each: (operation, probability, magnitude 0..9).
POLICY = (
    (("invert", 0.1, 0), ("contrast", 0.2, 6)),
    (("rotate", 0.7, 2), ("translate_x", 0.3, 9)),
    (("sharpness", 0.8, 1), ("sharpness", 0.9, 3)),
    (("shear_y", 0.5, 8), ("translate_y", 0.7, 9)),
    (("auto_contrast", 0.5, 0), ("equalize", 0.9, 0)),
    (("shear_y", 0.2, 7), ("posterize", 0.3, 7)),
    (("color", 0.4, 3), ("brightness", 0.6, 7)),
    (("sharpness", 0.3, 9), ("brightness", 0.7, 9)),
    (("equalize", 0.6, 0), ("equalize", 0.5, 0)),
    (("contrast", 0.6, 7), ("sharpness", 0.6, 5)),
    (("color", 0.7, 7), ("translate_x", 0.5, 8)),
    (("equalize", 0.3, 0), ("auto_contrast", 0.4, 0)),
    (("translate_y", 0.4, 3), ("sharpness", 0.2, 6)),
    (("brightness", 0.9, 6), ("color", 0.2, 8)),
    (("solarize", 0.5, 2), ("invert", 0.0, 0)),
    (("equalize", 0.2, 0), ("auto_contrast", 0.6, 0)),
    (("equalize", 0.2, 0), ("equalize", 0.6, 0)),
    (("color", 0.9, 9), ("equalize", 0.6, 0)),
    (("auto_contrast", 0.8, 0), ("solarize", 0.2, 8)),
    (("brightness", 0.1, 3), ("color", 0.7, 0)),
    (("solarize", 0.4, 5), ("auto_contrast", 0.9, 0)),
    (("translate_y", 0.9, 9), ("translate_y", 0.7, 9)),
    (("auto_contrast", 0.9, 0), ("solarize", 0.8, 3)),
    (("equalize", 0.8, 0), ("invert", 0.1, 0)),
    (("translate_y", 0.7, 9), ("auto_contrast", 0.9, 0)),
)
_NAMES = sorted({step[0] for pair in POLICY for step in pair})
_SIGNED = ("shear_x", "shear_y", "translate_x", "translate_y", "rotate")
_FACTORS = ("brightness", "color", "contrast", "sharpness")

_OPERATION = torch.tensor([[_NAMES.index(step[0]) for step in pair] for pair in POLICY])
_PROBABILITY = torch.tensor([[step[1] for step in pair] for pair in POLICY])
_MAGNITUDE = torch.tensor([[step[2] for step in pair] for pair in POLICY])


def auto_augment(images: Tensor) -> Tensor:
    """Apply a random sub-policy to each image; (B, C, H, W) in 0..1 to the same."""
    policy = torch.randint(0, len(POLICY), (len(images),))
    applied = torch.rand(len(images), 2) < _PROBABILITY[policy]
    sign = torch.randint(0, 2, (len(images), 2)) * 2 - 1
    for step in (0, 1):
        operation = torch.where(applied[:, step], _OPERATION[policy, step], -1)
        for kind, name in enumerate(_NAMES):  # draws are on the CPU: no wait for the device
            rows = (operation == kind).nonzero().squeeze(1)
            if len(rows) == 0:
                continue
            level = strength(name, _MAGNITUDE[policy[rows], step], sign[rows, step])
            level = level.to(images.device, non_blocking=True)
            rows = rows.to(images.device, non_blocking=True)
            changed = apply(name, images.index_select(0, rows), level)
            images = images.index_copy(0, rows, changed)
    return images


def strength(name: str, magnitude: Tensor, sign: Tensor) -> Tensor:
    """Return the strengths of an operation at magnitudes 0..9: float (n,) from (n,).

    These are fractions for shears, shares of the image's side for translations, degrees for
    rotations, factors for blending (1 changes nothing), bits for posterize and the threshold for
    solarize.
    """
    part = magnitude / 9
    if name in _FACTORS:
        return 1 + 0.9 * part * sign
    if name == "posterize":
        return 8 - (magnitude / (9 / 4)).round()
    if name == "solarize":
        return 1 - part
    largest = {"rotate": 30.0, "translate_x": 150 / 331, "translate_y": 150 / 331}.get(name, 0.3)
    return largest * part * sign


def apply(name: str, images: Tensor, level: Tensor) -> Tensor:
    """Apply one operation to images (n, C, H, W) in 0..1, each at its own level (n,)."""
    if name in _SIGNED:
        return _warp(name, images, level)
    return _PIXELWISE[name](images, level).clamp(0, 1)


def _warp(name: str, images: Tensor, level: Tensor) -> Tensor:
    """Shear, move or rotate, with the nearest pixel and black outside."""
    h, w = images.shape[2:]
    # The pixel (x, y), relative to the image's centre, is read at (a x + b y + c, d x + e y + f).
    a = e = torch.ones_like(level)
    b = c = d = f = torch.zeros_like(level)
    if name == "rotate":
        radians = level * (math.pi / 180)
        a = e = radians.cos()
        b, d = -radians.sin(), radians.sin()
    elif name == "shear_x":
        b, c = level, level * (h / 2)  # keeps the top left corner in place, as in Pillow
    elif name == "shear_y":
        d, f = level, level * (w / 2)
    elif name == "translate_x":
        c = level * w
    else:
        f = level * h
    rows = [
        torch.stack([a, b * (h / w), c * (2 / w)], 1),
        torch.stack([d * (w / h), e, f * (2 / h)], 1),
    ]
    grid = F.affine_grid(torch.stack(rows, 1).to(images.dtype), list(images.shape), False)
    return F.grid_sample(images, grid, mode="nearest", padding_mode="zeros", align_corners=False)


def _grey(images: Tensor) -> Tensor:
    if images.shape[1] == 1:
        return images
    weights = torch.tensor([0.299, 0.587, 0.114], dtype=images.dtype).view(1, 3, 1, 1)
    return (images * weights.to(images.device, non_blocking=True)).sum(1, keepdim=True)


def _blend(base: Tensor, images: Tensor, factor: Tensor) -> Tensor:
    return base + (images - base) * factor.view(-1, 1, 1, 1)


def _brightness(images: Tensor, factor: Tensor) -> Tensor:
    return images * factor.view(-1, 1, 1, 1)


def _color(images: Tensor, factor: Tensor) -> Tensor:
    return _blend(_grey(images), images, factor)


def _contrast(images: Tensor, factor: Tensor) -> Tensor:
    return _blend(_grey(images).mean((1, 2, 3), keepdim=True), images, factor)


def _sharpness(images: Tensor, factor: Tensor) -> Tensor:
    from kornia.enhance import sharpness

    sharpened: Tensor = sharpness(images, factor)
    return sharpened


def _equalize(images: Tensor, _: Tensor) -> Tensor:
    from kornia.enhance import equalize

    # kornia truncates to levels; a small margin keeps floats just below a level in that level.
    levels = (images * 255).round().add(1e-3).div(255).clamp(max=1)
    equalized: Tensor = equalize(levels)
    return equalized


def _auto_contrast(images: Tensor, _: Tensor) -> Tensor:
    low, high = images.amin((2, 3), keepdim=True), images.amax((2, 3), keepdim=True)
    flat = high - low < 1 / 512
    return torch.where(flat, images, (images - low) / (high - low).clamp(min=1 / 512))


def _posterize(images: Tensor, bits: Tensor) -> Tensor:
    step = torch.exp2(8 - bits).view(-1, 1, 1, 1)
    return ((images * 255).round() / step).floor() * step / 255


def _solarize(images: Tensor, threshold: Tensor) -> Tensor:
    # Pixels at the threshold are inverted; the margin covers levels that floats miss by rounding.
    return torch.where(images >= threshold.view(-1, 1, 1, 1) - 1e-4, 1 - images, images)


def _invert(images: Tensor, _: Tensor) -> Tensor:
    return 1 - images


_PIXELWISE: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "auto_contrast": _auto_contrast,
    "brightness": _brightness,
    "color": _color,
    "contrast": _contrast,
    "equalize": _equalize,
    "invert": _invert,
    "posterize": _posterize,
    "sharpness": _sharpness,
    "solarize": _solarize,
}
