"""Runs that several claims share, by preset.

- SMOKE: digits, two or three layers, a few epochs: seconds.
- CPU: 9,600 images of CIFAR-10 and a narrow Mixer of 8 layers: about a minute on one core.
- PAPER: section 5 of the paper, with what the authors' code adds to it (docs/reproduce.md).
"""

from __future__ import annotations

from autocompress.data import AugmentConfig, DataConfig
from autocompress.pipeline import ModelConfig, RunConfig
from autocompress.training import FitConfig

__all__ = ["CPU", "CPU_VIT", "PAPER", "PAPER_VIT", "SMOKE", "control"]

SMOKE = RunConfig(
    data=DataConfig(name="digits"),
    model=ModelConfig(depth=2, width=16, patch_size=4, connectivity="acn"),
    fit=FitConfig(epochs=2, batch_size=128, lr=6e-3, warmup_epochs=0.5, device="cpu"),
)

CPU = RunConfig(
    data=DataConfig(name="uoft-cs/cifar10", train_limit=9_600, validation=1 / 6),
    augment=AugmentConfig(crop_padding=4, flip=True),
    model=ModelConfig(
        depth=8, width=48, connectivity="acn", patch_size=8, token_width=16, channel_width=96
    ),
    fit=FitConfig(epochs=10, batch_size=128, lr=3e-3, warmup_epochs=1.0, device="cpu"),
)

#: With the helpers without which an ACN of attention layers hardly trains (docs/blocks.md).
CPU_VIT = RunConfig(
    data=CPU.data,
    augment=CPU.augment,
    model=ModelConfig(
        name="vit",
        depth=8,
        width=48,
        connectivity="acn",
        inner=1.0,
        patch_size=8,
        mlp_width=96,
        dirac=True,
    ),
    fit=FitConfig(epochs=10, batch_size=128, lr=1e-3, warmup_epochs=1.0, device="cpu"),
)


def _authors(epochs: int, batch_size: int = 64, lr: float = 1e-3) -> FitConfig:
    return FitConfig(
        epochs=epochs,
        batch_size=batch_size,
        lr=lr,
        weight_decay=0.01,
        warmup_epochs=10.0,
        precision="bf16",
    )


#: The paper's Mixer of 2,527,002 parameters; the ACN trains for 420 epochs, the residual for 300.
PAPER = RunConfig(
    data=DataConfig(name="uoft-cs/cifar10", validation=0.1),
    augment=AugmentConfig(crop_padding=4, auto_augment=True, cutmix=0.5),
    model=ModelConfig(
        depth=16,
        width=128,
        connectivity="acn",
        patch_size=4,
        token_width=64,
        channel_width=512,
        pool="class",
        end_stage=True,
    ),
    fit=_authors(420),
    control=_authors(300),
)

#: ViT-B/16 on ImageNet-1K, but for RandomResizedCrop: images are scaled to 224 pixels and cropped.
PAPER_VIT = RunConfig(
    data=DataConfig(name="ILSVRC/imagenet-1k", image_size=224, validation=0.02),
    augment=AugmentConfig(crop_padding=28, flip=True),
    model=ModelConfig(
        name="vit",
        depth=12,
        width=768,
        connectivity="acn",
        heads=12,
        patch_size=16,
        inner=1.0,
        dirac=True,
        late_scale=True,
        out_norm=True,
        embedding_std=1.0,
    ),
    fit=_authors(700, batch_size=256, lr=1e-4),
    control=_authors(300, batch_size=256, lr=1e-4),
)


def control(config: RunConfig) -> RunConfig:
    """The run of the residual network with as many layers."""
    return config.rival(config.model.depth or 0)
