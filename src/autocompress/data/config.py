"""What is asked of the data, as frozen objects."""

from __future__ import annotations

from dataclasses import dataclass

from autocompress.errors import ConfigError

__all__ = ["AugmentConfig", "DataConfig"]


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Which data set, and how it is split.

    Args:
        name: a bundled set (``digits``), a local .parquet file, a folder of train*.parquet and
            test*.parquet files, a folder of images by class, or a hub name (``owner/name``, or
            ``owner/name:config``).
        image_column: column that holds the images; empty finds it.
        label_column: column that holds the labels; empty finds it.
        validation: share of train that becomes validation where the set brings none.
        train_limit: keep this many images of train, the same number of every class as far as
            there are, before validation is carved.
        classes: keep the images of these labels only, which become 0, 1, ... in this order, before
            anything is limited or carved; empty keeps all.
        image_size: resize to squares of this side; empty keeps the images as they are.
        channels: convert to 1 (grey) or 3 (RGB); empty keeps what the first image has.
        seed: of ``train_limit`` and of the validation split.
        device_limit_mb: a set that takes more than this many MiB when decoded is read from disk
            batch by batch; a smaller one stays on the device.
    """

    name: str = "digits"
    image_column: str | None = None
    label_column: str | None = None
    validation: float = 0.2
    train_limit: int | None = None
    classes: tuple[int, ...] | None = None
    image_size: int | None = None
    channels: int | None = None
    seed: int = 0
    device_limit_mb: int = 1024

    def __post_init__(self) -> None:
        if not self.name:
            raise ConfigError("data.name is empty; name a data set, e.g. digits")
        if not 0 < self.validation < 1:
            raise ConfigError(
                f"data.validation {self.validation} must be a share of train between 0 and 1, "
                "e.g. 0.2"
            )
        if self.channels not in (None, 1, 3):
            raise ConfigError(f"data.channels {self.channels} must be 1 (grey) or 3 (RGB)")
        for key, least in (("train_limit", 1), ("image_size", 1), ("seed", 0)):
            value = getattr(self, key)
            if value is not None and value < least:
                raise ConfigError(f"data.{key} {value} must be at least {least}")
        if self.classes is not None and len(set(self.classes)) != len(self.classes) > 0:
            raise ConfigError(f"data.classes {list(self.classes)} names a class twice")
        if self.classes is not None and len(self.classes) < 2:
            raise ConfigError(f"data.classes {list(self.classes)}: at least two are needed")
        if self.device_limit_mb < 0:
            raise ConfigError(f"data.device_limit_mb {self.device_limit_mb} must not be negative")


@dataclass(frozen=True, kw_only=True)
class AugmentConfig:
    """Augmentation of training images, batched on their device. The defaults change nothing.

    Args:
        crop_padding: pad with this many black pixels on every side, then crop back at random.
        crops: how many times that is done; the authors' code does it twice.
        flip: mirror left and right, half of the images.
        auto_augment: the CIFAR-10 policy of AutoAugment.
        cutmix: probability that a batch is mixed by CutMix.
        mixup: probability that a batch is mixed by MixUp; at most 1 - cutmix.
        cutmix_beta: both parameters of CutMix's Beta distribution.
        mixup_alpha: both parameters of MixUp's.
    """

    crop_padding: int = 0
    crops: int = 1
    flip: bool = False
    auto_augment: bool = False
    cutmix: float = 0.0
    mixup: float = 0.0
    cutmix_beta: float = 1.0
    mixup_alpha: float = 0.2

    def __post_init__(self) -> None:
        if self.crop_padding < 0:
            raise ConfigError(f"augment.crop_padding {self.crop_padding} must be 0 or more pixels")
        if self.crops < 1:
            raise ConfigError(f"augment.crops {self.crops} must be 1 or more")
        for key in ("cutmix", "mixup"):
            if not 0 <= getattr(self, key) <= 1:
                raise ConfigError(
                    f"augment.{key} {getattr(self, key)} must be a probability in [0, 1]"
                )
        if self.cutmix + self.mixup > 1 + 1e-9:
            raise ConfigError(
                f"augment.cutmix {self.cutmix} + augment.mixup {self.mixup} exceed 1: a batch is "
                "mixed by one of them or by none"
            )
        for key in ("cutmix_beta", "mixup_alpha"):
            if not getattr(self, key) > 0:
                raise ConfigError(f"augment.{key} {getattr(self, key)} must be greater than 0")
