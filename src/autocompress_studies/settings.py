"""Runs that several studies share, by preset.

- SMOKE: digits, two or three layers, a few epochs: seconds.
- CPU: 9,600 images of CIFAR-10 and a narrow Mixer of 8 layers: about a minute on one core.
- PAPER: section 5 of the paper, with what the authors' code adds to it (docs/reproduce.md).
- .._WORDS: masked words; .._TASKS: what is learned then. Of the cpu preset: an encoder of 8 narrow
  layers and a million tokens of novels, minutes on one core.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from autocompress.data import AugmentConfig, DataConfig
from autocompress.pipeline import ModelConfig, RunConfig
from autocompress.training import FitConfig

__all__ = [
    "CPU",
    "CPU_TASKS",
    "CPU_VIT",
    "CPU_WORDS",
    "PAPER",
    "PAPER_TASKS",
    "PAPER_VIT",
    "PAPER_WORDS",
    "SMOKE",
    "SMOKE_TASK",
    "SMOKE_WORDS",
    "control",
    "sized",
]

SMOKE = RunConfig(
    data=DataConfig(name="digits"),
    model=ModelConfig(depth=2, connectivity="acn", options={"width": 16, "patch_size": 4}),
    fit=FitConfig(epochs=2, batch_size=128, lr=6e-3, warmup_epochs=0.5, device="cpu"),
)

CPU = RunConfig(
    data=DataConfig(name="uoft-cs/cifar10", train_limit=9_600, validation=1 / 6),
    augment=AugmentConfig(crop_padding=4, flip=True),
    model=ModelConfig(
        depth=8,
        connectivity="acn",
        options={"width": 48, "patch_size": 8, "token_width": 16, "channel_width": 96},
    ),
    fit=FitConfig(epochs=10, batch_size=128, lr=3e-3, warmup_epochs=1.0, device="cpu"),
)

#: With the helpers without which an ACN with attention hardly trains (docs/blocks.md).
CPU_VIT = RunConfig(
    data=CPU.data,
    augment=CPU.augment,
    model=ModelConfig(
        name="vit",
        depth=8,
        connectivity={"name": "acn", "inner": 1.0},
        options={"width": 48, "patch_size": 8, "mlp_width": 96, "dirac": True},
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


def _cramming(epochs: int) -> FitConfig:
    return FitConfig(
        epochs=epochs,
        batch_size=2_048,
        lr=1e-3,
        betas=(0.9, 0.98),
        eps=1e-9,
        weight_decay=0.01,
        clip_norm=0.5,
        label_smoothing=0.0,
        warmup_epochs=0.1,
        precision="bf16",
    )


#: The paper's Mixer of 2,527,002 parameters; the ACN trains for 420 epochs, the residual for 300.
PAPER = RunConfig(
    data=DataConfig(name="uoft-cs/cifar10", validation=0.1),
    augment=AugmentConfig(crop_padding=4, auto_augment=True, cutmix=0.5),
    model=ModelConfig(
        depth=16,
        connectivity="acn",
        options={
            "width": 128,
            "patch_size": 4,
            "token_width": 64,
            "channel_width": 512,
            "pool": "class",
            "end_stage": True,
        },
    ),
    fit=_authors(420),
    control=_authors(300),
)

#: ViT-B/16 on ImageNet-1K, without RandomResizedCrop: images are scaled to 224 pixels and cropped.
PAPER_VIT = RunConfig(
    data=DataConfig(name="ILSVRC/imagenet-1k", image_size=224, validation=0.02),
    augment=AugmentConfig(crop_padding=28, flip=True),
    model=ModelConfig(
        name="vit",
        depth=12,
        connectivity={"name": "acn", "inner": 1.0},
        options={
            "width": 768,
            "heads": 12,
            "patch_size": 16,
            "dirac": True,
            "late_scale": True,
            "out_norm": True,
            "embedding_std": 1.0,
        },
    ),
    fit=_authors(700, batch_size=256, lr=1e-4),
    control=_authors(300, batch_size=256, lr=1e-4),
)

SMOKE_WORDS = RunConfig(
    data=DataConfig(task="masked-lm", name="made-up", vocabulary=80, length=16),
    model=ModelConfig(
        name="encoder", depth=2, connectivity="acn", options={"width": 16, "heads": 2}
    ),
    fit=FitConfig(
        epochs=3, batch_size=16, lr=5e-3, warmup_epochs=0.5, label_smoothing=0.0, device="cpu"
    ),
)

SMOKE_TASK = RunConfig(
    data=DataConfig(task="text-classification", name="made-up", length=16),
    fit=FitConfig(
        epochs=3, batch_size=64, lr=5e-3, warmup_epochs=0.5, label_smoothing=0.0, device="cpu"
    ),
)


def _task(name: str, column: str, second: str | None = None, **data: Any) -> DataConfig:
    """Return a GLUE task; its test labels are hidden, so its validation split is the test set."""
    return DataConfig(
        task="text-classification",
        name=f"nyu-mll/glue:{name}",
        text_column=column,
        second_column=second,
        test_split="validation",
        truncate=True,
        **data,
    )


CPU_WORDS = RunConfig(
    data=DataConfig(
        task="masked-lm",
        name="computationalstylistics/english_novels_100",
        text_column="text",
        train_limit=1_200,
        validation_limit=80,
        vocabulary=4_096,
        length=64,
    ),
    model=ModelConfig(
        name="encoder",
        depth=8,
        connectivity="acn",
        options={"width": 64, "heads": 2, "norm": "post"},
    ),
    fit=FitConfig(
        epochs=2,
        batch_size=16,
        lr=2e-3,
        betas=(0.9, 0.98),
        eps=1e-9,
        weight_decay=0.01,
        clip_norm=0.5,
        label_smoothing=0.0,
        warmup_epochs=0.3,
        schedule="linear",
        device="cpu",
    ),
)

_CPU_TUNING = FitConfig(
    epochs=3,
    batch_size=64,
    lr=1e-3,
    schedule="linear",
    warmup_epochs=0.3,
    weight_decay=0.01,
    label_smoothing=0.0,
    device="cpu",
)

CPU_TASKS = {
    "SST-2": RunConfig(
        data=_task("sst2", "sentence", train_limit=6_000, length=64), fit=_CPU_TUNING
    ),
    "RTE": RunConfig(data=_task("rte", "sentence1", "sentence2", length=64), fit=_CPU_TUNING),
}

#: BERT-base by Cramming: 2 epochs for the ACN, 1 for the residual network (section 5).
PAPER_WORDS = RunConfig(
    data=DataConfig(
        task="masked-lm",
        name="Salesforce/wikitext:wikitext-103-raw-v1",
        text_column="text",
        vocabulary=32_768,
        length=128,
        device_limit_mb=4_096,
    ),
    model=ModelConfig(
        name="encoder",
        depth=12,
        connectivity="acn",
        options={"width": 768, "heads": 12, "norm": "post"},
    ),
    fit=_cramming(2),
    control=_cramming(1),
)

_PAPER_TUNING = FitConfig(
    epochs=6,
    batch_size=64,
    lr=2e-5,
    min_lr=0.0,
    schedule="linear",
    warmup_epochs=0.3,
    weight_decay=0.01,
    label_smoothing=0.0,
    precision="bf16",
)

PAPER_TASKS = {
    name: RunConfig(data=replace(_task(*columns), validation=0.05, length=128), fit=_PAPER_TUNING)
    for name, columns in {
        "SST-2": ("sst2", "sentence"),
        "QNLI": ("qnli", "question", "sentence"),
        "QQP": ("qqp", "question1", "question2"),
        "RTE": ("rte", "sentence1", "sentence2"),
    }.items()
}


def control(config: RunConfig) -> RunConfig:
    """Return the run of the residual network with as many layers."""
    return config.rival(config.model.depth or 0)


def sized(config: RunConfig, examples: int, **fit: Any) -> RunConfig:
    """Return the run with this number of training examples and with other options of ``fit``.

    Example:
        >>> sized(CPU, 6_000, epochs=8).data.train_limit
        6000
    """
    data = replace(config.data, train_limit=examples)
    return replace(config, data=data, fit=replace(config.fit, **fit))
