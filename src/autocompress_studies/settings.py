"""Runs that several studies share, by preset, and short ways to change them.

- SMOKE: digits, two or three layers, a few epochs: seconds.
- DIGITS: recipes/digits.yaml and its control, a Mixer of 12 layers: a minute on one core.
- SPARE: 10,000 images of MNIST and a Mixer of 12 layers: about twelve minutes on one core.
- PAPER: section 5 of the paper, with what the authors' code adds to it (docs/reproduce.md).
- .._WORDS: masked words; .._TASKS: what is learned then. Of the cpu preset: an encoder of 8 narrow
  layers and a million tokens of novels, minutes on one core.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from functools import partial
from typing import Any

from autocompress.data import AugmentConfig, DataConfig
from autocompress.pipeline import ModelConfig, RunConfig
from autocompress.training import FitConfig

__all__ = ["AS_GIVEN", "CPU_TASK", "CPU_WORDS", "DIGITS", "INNER", "PAPER"]
__all__ += ["PAPER_TASKS", "PAPER_VIT", "PAPER_WORDS", "SMOKE", "SMOKE_TASK", "SMOKE_WORDS"]
__all__ += ["SPARE", "as_net", "changed", "control", "for_steps", "network", "shallow", "sized"]

#: An ACN whose attention has a skip of its own, without which it hardly learns (docs/blocks.md).
INNER = {"name": "acn", "inner": 1.0}


def network(depth: int, name: str = "mixer", rule: Any = "acn", **options: Any) -> ModelConfig:
    """Return the settings of a network."""
    return ModelConfig(name=name, depth=depth, connectivity=rule, options=options)


def changed(run: RunConfig, changes: Mapping[str, Any]) -> RunConfig:
    """Return the run with options replaced, which have the names they have on the command line.

    Example:
        >>> less = changed(SMOKE, {"fit.epochs": 1, "model.width": 8, "control": None})
        >>> less.fit.epochs, less.model.options["width"]
        (1, 8)
    """
    for key, value in changes.items():
        section, _, name = key.partition(".")
        part = getattr(run, section)
        if not name:
            part = value
        elif section == "model" and name not in {item.name for item in fields(ModelConfig)}:
            part = part.having(**{name: value})
        else:
            part = replace(part, **{name: value})
        run = replace(run, **{section: part})
    return run


def sized(config: RunConfig, examples: int, **fit: Any) -> RunConfig:
    """Return the run with this number of training examples and with other options of ``fit``.

    Example:
        >>> sized(SPARE, 6_000, epochs=8).data.train_limit
        6000
    """
    options = {f"fit.{name}": value for name, value in fit.items()}
    return changed(config, {"data.train_limit": examples, **options})


def for_steps(config: RunConfig, steps: int, examples: int) -> RunConfig:
    """Return the run with the epochs that make a number of optimizer steps, examined eight times.

    Its batch is no larger than the number of examples; a tenth of the steps are the warm-up.

    Args:
        config: The run.
        steps: Number of optimizer steps, to the nearest whole epoch.
        examples: Number of training examples.

    Example:
        >>> for_steps(SPARE, 600, 300).fit.epochs
        150
    """
    batch = min(config.fit.batch_size, examples)
    epochs = max(1, round(steps / (examples // batch)))
    eighth = max(1, epochs // 8)
    fit: dict[str, Any] = {"epochs": epochs, "evaluate_every": eighth, "checkpoint_every": epochs}
    fit |= {"batch_size": batch, "warmup_epochs": 0.1 * epochs}
    return changed(config, {f"fit.{name}": value for name, value in fit.items()})


def shallow(config: RunConfig, layers: int) -> RunConfig:
    """Return the run with fewer layers, and as many epochs as the FLOPs of all layers allow.

    Example:
        >>> few = shallow(SPARE, 3)
        >>> SPARE.model.depth, SPARE.fit.epochs, few.model.depth, few.fit.epochs
        (12, 24, 3, 96)
    """
    epochs = round(config.fit.epochs * (config.model.depth or layers) / layers)
    return changed(config, {"model.depth": layers, "fit.epochs": epochs})


def control(config: RunConfig) -> RunConfig:
    """Return the run of the residual network with as many layers."""
    return config.rival(config.model.depth or 0)


def as_net(net: str, config: RunConfig) -> RunConfig:
    """Return an ACN's run, or for ``residual`` that of its :func:`control`."""
    return control(config) if net == "residual" else config


# -- images ----------------------------------------------------------------------------------------

_FIT = partial(FitConfig, batch_size=128, warmup_epochs=3.0, device="cpu")

SMOKE = RunConfig(
    data=DataConfig(name="digits"),
    model=network(2, width=16, patch_size=4),
    fit=_FIT(epochs=2, lr=6e-3, warmup_epochs=0.5),
)
#: Has capacity to spare, as DIGITS: an ACN's readouts are final long before its last layer.
SPARE = RunConfig(
    data=DataConfig(name="ylecun/mnist", train_limit=10_000, validation=0.2),
    augment=AugmentConfig(crop_padding=2),
    model=network(
        12,
        width=64,
        patch_size=7,
        token_width=32,
        channel_width=128,
        dropout=0.1,
        end_stage=True,
    ),
    fit=_FIT(batch_size=64, epochs=24, lr=6e-3),
    control=_FIT(batch_size=64, epochs=24, lr=3e-3),
)

DIGITS = RunConfig(
    data=DataConfig(name="digits", validation=0.2),
    augment=AugmentConfig(mixup=1.0),
    model=network(12, width=64, patch_size=2, dropout=0.1, end_stage=True),
    fit=FitConfig(epochs=40, lr=6e-3, warmup_epochs=3.0),
    control=FitConfig(epochs=40, lr=3e-3, warmup_epochs=3.0),
)

_AUTHORS = partial(
    FitConfig, batch_size=64, weight_decay=0.01, warmup_epochs=10.0, precision="bf16"
)
_AUTHORS_VIT = partial(_AUTHORS, batch_size=256, lr=1e-4)

#: The paper's Mixer of 2,527,002 parameters; the ACN trains for 420 epochs, the residual for 300.
PAPER = RunConfig(
    data=DataConfig(name="uoft-cs/cifar10", validation=0.1),
    augment=AugmentConfig(crop_padding=4, auto_augment=True, cutmix=0.5),
    model=network(
        16,
        width=128,
        patch_size=4,
        token_width=64,
        channel_width=512,
        pool="class",
        end_stage=True,
    ),
    fit=_AUTHORS(epochs=420),
    control=_AUTHORS(epochs=300),
)
#: ViT-B/16 on ImageNet-1K, without RandomResizedCrop: images are scaled to 224 pixels and cropped.
PAPER_VIT = RunConfig(
    data=DataConfig(name="ILSVRC/imagenet-1k", image_size=224, validation=0.02),
    augment=AugmentConfig(crop_padding=28, flip=True),
    model=network(
        12,
        "vit",
        INNER,
        width=768,
        heads=12,
        patch_size=16,
        dirac=True,
        late_scale=True,
        out_norm=True,
        embedding_std=1.0,
    ),
    fit=_AUTHORS_VIT(epochs=700),
    control=_AUTHORS_VIT(epochs=300),
)

# -- texts -----------------------------------------------------------------------------------------

_TEXTS = partial(FitConfig, label_smoothing=0.0)
_SMOKE = partial(_TEXTS, epochs=3, lr=5e-3, warmup_epochs=0.5, device="cpu")
#: As Cramming trains a BERT.
_CRAMMING = partial(_TEXTS, betas=(0.9, 0.98), eps=1e-9, weight_decay=0.01, clip_norm=0.5, lr=1e-3)
_CRAMMING_PAPER = partial(_CRAMMING, batch_size=2_048, warmup_epochs=0.1, precision="bf16")
_TUNING = partial(_TEXTS, batch_size=64, schedule="linear", warmup_epochs=0.3, weight_decay=0.01)


def _words(name: str, **options: Any) -> DataConfig:
    return DataConfig(task="masked-lm", name=name, **options)


def _task(name: str, column: str, second: str | None = None, **options: Any) -> DataConfig:
    """Return a GLUE task; its test labels are hidden, so its validation split is the test set."""
    return DataConfig(
        task="text-classification",
        name=f"nyu-mll/glue:{name}",
        text_column=column,
        second_column=second,
        test_split="validation",
        truncate=True,
        **options,
    )


SMOKE_WORDS = RunConfig(
    data=_words("made-up", vocabulary=80, length=16),
    model=network(2, "encoder", width=16, heads=2),
    fit=_SMOKE(batch_size=16),
)
#: The network of a fine-tuning is given. A run that names no connectivity would take a way of its
#: own to fewer layers, and change that of the network.
AS_GIVEN = ModelConfig(connectivity="acn")

SMOKE_TASK = RunConfig(
    model=AS_GIVEN,
    data=DataConfig(task="text-classification", name="made-up", length=16),
    fit=_SMOKE(batch_size=64),
)
CPU_WORDS = RunConfig(
    data=_words(
        "computationalstylistics/english_novels_100",
        text_column="text",
        train_limit=1_200,
        validation_limit=80,
        vocabulary=4_096,
        length=64,
    ),
    model=network(8, "encoder", width=64, heads=2, norm="post"),
    fit=_CRAMMING(
        epochs=2, batch_size=16, lr=2e-3, warmup_epochs=0.3, schedule="linear", device="cpu"
    ),
)
#: RTE is left out, as networks of this size and pretraining guess there.
CPU_TASK = RunConfig(
    data=_task("sst2", "sentence", train_limit=6_000, length=64),
    model=AS_GIVEN,
    fit=_TUNING(epochs=3, lr=1e-3, device="cpu"),
)
#: BERT-base by Cramming: 2 epochs for the ACN, 1 for the residual network (section 5).
PAPER_WORDS = RunConfig(
    data=_words(
        "Salesforce/wikitext:wikitext-103-raw-v1",
        text_column="text",
        vocabulary=32_768,
        length=128,
        device_limit_mb=4_096,
    ),
    model=network(12, "encoder", width=768, heads=12, norm="post"),
    fit=_CRAMMING_PAPER(epochs=2),
    control=_CRAMMING_PAPER(epochs=1),
)
PAPER_TASKS = {
    name: RunConfig(
        model=AS_GIVEN,
        data=_task(*columns, validation=0.05, length=128),
        fit=_TUNING(epochs=6, lr=2e-5, min_lr=0.0, precision="bf16"),
    )
    for name, columns in {
        "SST-2": ("sst2", "sentence"),
        "QNLI": ("qnli", "question", "sentence"),
        "QQP": ("qqp", "question1", "question2"),
        "RTE": ("rte", "sentence1", "sentence2"),
    }.items()
}
