"""Random crops, flips, AutoAugment, CutMix and MixUp of whole batches, on their device.

Every sample has its own draw, from torch's global generator of the images' device: nothing is
copied, nothing waits for the device, and a seed augments alike on one kind of device. Two draws use
the CPU's generator: whether a batch is mixed, which decides what runs, and AutoAugment's policies,
whose operations run on a varying number of images.

Crop, flip and mixing are implemented here rather than taken from kornia 0.9: windows and masks take
a third (crop) to a sixth (CutMix) of its time on a CPU, and its mixing returns (label, label,
lambda) in two different shapes, with a warning of coming changes.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.distributions import Beta
from torch.nn import functional as F

from autocompress.data.auto_augment import auto_augment
from autocompress.data.config import AugmentConfig
from autocompress.errors import ConfigError

__all__ = ["Augment"]


class Augment(nn.Module):
    """The augmentation of one training run, without weights or state.

    Call :meth:`pixels` on images in 0..1, normalise, then call :meth:`mix`.

    Args:
        config: Settings of the augmentation.
        classes: Number of classes K, for mixed targets.

    Raises:
        ConfigError: Mixing is requested and ``classes`` is unknown.

    Example:
        >>> augment = Augment(AugmentConfig(flip=True, mixup=0.5), classes=3)
        >>> images = augment.pixels(torch.rand(4, 1, 8, 8))
        >>> images, targets = augment.mix(images, torch.tensor([0, 1, 2, 0]))
        >>> targets.shape
        torch.Size([4, 3])
    """

    def __init__(self, config: AugmentConfig, classes: int) -> None:
        super().__init__()
        self.config, self.classes = config, classes
        self.mixes = config.cutmix + config.mixup > 0
        if self.mixes and classes < 1:
            raise ConfigError(f"CutMix and MixUp need the number of classes, which is {classes}")

    def forward(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Apply :meth:`pixels`, then :meth:`mix`, to images that need no normalising in between.

        Args:
            images: Images (B, C, H, W), uint8 or floats in 0..1.
            labels: Labels, int64 (B,).
        """
        unit = images.float() / 255 if images.dtype == torch.uint8 else images
        return self.mix(self.pixels(unit), labels)

    def pixels(self, images: Tensor) -> Tensor:
        """Crop, flip and apply AutoAugment, in this order; images (B, C, H, W) in 0..1."""
        if self.config.crop_padding:
            for _ in range(self.config.crops):
                images = _crop(images, self.config.crop_padding)
        if self.config.flip:
            images = _flip(images)
        return auto_augment(images) if self.config.auto_augment else images

    def mix(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Apply CutMix or MixUp to the batch, with the configured probabilities, or neither.

        Args:
            images: Normalised images (B, C, H, W).
            labels: Labels, int64 (B,).

        Returns:
            The images, and targets: the labels if no mixing is configured, otherwise always
            probabilities (B, K), so that a compiled loss sees one kind of target.
        """
        if not self.mixes:
            return images, labels
        targets = torch.zeros(len(labels), self.classes, device=labels.device)
        targets.scatter_(1, labels.unsqueeze(1), 1.0)
        # The host must know the choice: a draw on the CPU is read without waiting for the device.
        choice = float(torch.rand((), device="cpu").numpy())
        if choice < self.config.cutmix:
            return _cutmix(images, targets, self.config.cutmix_beta)
        if choice < self.config.cutmix + self.config.mixup:
            return _mixup(images, targets, self.config.mixup_alpha)
        return images, targets


def _crop(images: Tensor, padding: int) -> Tensor:
    """Pad with zeros, then crop each image to its original size at its own offset."""
    b, _, h, w = images.shape
    top, left = torch.randint(0, 2 * padding + 1, (2, b), device=images.device)
    windows = (
        F.pad(images, [padding] * 4).unfold(2, h, 1).unfold(3, w, 1)
    )  # (B, C, top, left, H, W)
    return windows[torch.arange(b, device=images.device), :, top, left]


def _flip(images: Tensor) -> Tensor:
    flipped = torch.rand(len(images), 1, 1, 1, device=images.device) < 0.5
    return torch.where(flipped, images.flip(3), images)


def _beta(concentration: float, shape: tuple[int, ...], device: torch.device) -> Tensor:
    """Draw from Beta(c, c) on the device; on the CPU use torch's own sampler."""
    if concentration == 1.0 and device.type != "cpu":  # uniform: one kernel instead of a Dirichlet
        return torch.rand(shape, device=device)
    c = torch.full((), concentration, device=device)
    return Beta(c, c, validate_args=False).sample(shape)


def _partners(images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    order = torch.randperm(len(images), device=images.device)
    return images.index_select(0, order), targets.index_select(0, order)


def _mixup(images: Tensor, targets: Tensor, alpha: float) -> tuple[Tensor, Tensor]:
    """Mix each sample with a partner, lambda : 1 - lambda, with lambda from Beta(alpha, alpha)."""
    share = _beta(alpha, (len(images),), images.device)
    other_images, other_targets = _partners(images, targets)
    mixed = torch.lerp(other_images, images, share.view(-1, 1, 1, 1).to(images.dtype))
    return mixed, torch.lerp(other_targets, targets, share.view(-1, 1))


def _cutmix(images: Tensor, targets: Tensor, beta: float) -> tuple[Tensor, Tensor]:
    """Paste a box of a partner into each sample; targets follow the area of the clipped box."""
    b, _, h, w = images.shape
    side = (1 - _beta(beta, (b, 1), images.device)).sqrt() / 2
    centre = torch.rand(2, b, 1, device=images.device)
    inside = []
    for size, middle in ((h, centre[0]), (w, centre[1])):
        low = ((middle - side) * size).round()
        high = ((middle + side) * size).round()
        at = torch.arange(size, device=images.device)
        inside.append((at >= low) & (at < high))
    box = inside[0].unsqueeze(2) & inside[1].unsqueeze(1)
    other_images, other_targets = _partners(images, targets)
    kept = 1 - box.float().mean((1, 2)).unsqueeze(1)
    mixed = torch.where(box.unsqueeze(1), other_images, images)
    return mixed, torch.lerp(other_targets, targets, kept)
