"""``load_data``: load a data set by name and split it into train, validation and test."""

from __future__ import annotations

import re
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import torch

from autocompress.data.broken import all_named
from autocompress.data.config import DataConfig
from autocompress.data.copies import loosened, repeated
from autocompress.data.decode import to_shape
from autocompress.data.describe import by_class
from autocompress.data.generated import GENERATED, generate_dataset
from autocompress.data.guessing import task_of
from autocompress.data.image_input import ImageInput
from autocompress.data.labels import check_labels, check_taught
from autocompress.data.listing import some
from autocompress.data.meaning import Meaning
from autocompress.data.places import shown_name
from autocompress.data.reading import read_dataset
from autocompress.data.registry import (
    TEST_SEED,
    TEST_SHARE,
    RawSplits,
    list_datasets,
    registered,
)
from autocompress.data.sources import Source, StreamSource, TensorSource, affordable
from autocompress.data.splits import Splits
from autocompress.data.splitting import apart, balanced, chosen, of_classes
from autocompress.data.text import load_text
from autocompress.errors import ConfigError, DataError, UnknownNameError

__all__ = ["load_data", "preprocess_of"]

#: Number of training images from which mean and deviation of a set on disk are computed.
_STATISTICS_SAMPLE = 10_000

#: Largest total size in bytes of splits that are compared with one another, image by image.
_MOST_COMPARED = 2**28


def load_data(config: DataConfig | str | Path | None = None, **options: Any) -> Splits:
    """Return the data set of ``config``, split into train, validation and test, on the CPU.

    Splits that the set brings are used unchanged. Missing ones are split off train, stratified by
    class: first test (20 %, always the same images), then, from the images that ``train_limit``
    keeps, validation (the share ``validation``, drawn with ``seed``).

    Args:
        config: Settings of the data, or their name or path; None is the bundled digits. A name
            that is plainly one of texts with labels, such as ``reviews.csv``, needs no ``task``.
        options: Settings of :class:`DataConfig` by name, which take the place of those in
            ``config``.

    Raises:
        UnknownNameError: A plain word is not the name of a bundled set.
        ConfigError: A column is named for a bundled set, or the set lacks a class.
        DataError: The path or hub set does not exist, a column is missing, a split is empty, labels
            are out of range, or images are unreadable or of several sizes.

    Example:
        >>> load_data("digits").sizes
        {'train': 1149, 'validation': 288, 'test': 360}
        >>> load_data("digits", train_limit=100).sizes
        {'train': 80, 'validation': 20, 'test': 360}
    """
    known = [item.name for item in fields(DataConfig)]
    for option in options:
        if option not in known:
            raise UnknownNameError("setting of load_data", option, known)
    if isinstance(config, DataConfig):
        return _loaded(replace(config, **options)).explained()
    named = options | ({} if config is None else {"name": str(config)})
    guess = task_of(str(named.get("name", "digits")))
    return _loaded(DataConfig(**({"task": guess} if guess else {}) | named)).explained()


def _loaded(config: DataConfig) -> Splits:
    if config.name in GENERATED:
        return generate_dataset(config)
    if config.options:
        raise ConfigError(
            f"data.{min(config.options)} is an option of generated data sets; {config.name!r} has "
            "no options of its own"
        )
    if config.is_text:
        return load_text(config)
    raw = _read(config)
    _check_labels(raw)
    if config.classes is not None:
        raw = _only(raw, config.classes)
        _check_labels(raw)  # a split may lack a class
    sources, notes, alike = _divided(raw, config)
    rare = check_taught({k: source.labels for k, source in sources.items()}, raw.classes)
    with all_named(sources):
        stored = _stored(sources, config.device_limit_mb)
        data = _described(stored, raw.classes, shown_name(config.name), notes)
    remarks = [*raw.remarks, *alike, *rare, *_repeated(stored)]
    description = {**data.description, "remarks": remarks}
    return replace(data, description=description, resized=config.image_size is not None)


def _divided(
    raw: RawSplits, config: DataConfig
) -> tuple[dict[str, Source], dict[str, str], list[str]]:
    """Return train, validation and test, notes on their origin, and remarks on copies of images.

    What the set lacks is split off train. Copies of an image stay together.
    """
    train, notes, copies = raw.train, dict(raw.notes), raw.copies
    test, validation = raw.test, raw.validation
    alike: list[str] = []
    if copies is not None:
        parts = 1 + (test is None) + (validation is None)
        copies, alike = loosened(copies, train.labels, parts, raw.classes)

    def carve(share: float, seed: int, role: str) -> Source:
        nonlocal train, copies
        rest, carved = apart(train.labels, copies, share, seed, role)
        part = train.select(carved)
        train, copies = train.select(rest), None if copies is None else copies[rest]
        return part

    if test is None:
        test = carve(TEST_SHARE, TEST_SEED, "test")
        notes["test"] = _also(notes, "test", f"20 % of train, stratified, fixed seed {TEST_SEED}")
    if config.train_limit is not None and config.train_limit < len(train):
        notes["train"] = f"{config.train_limit} of {len(train)} images, seed {config.seed}"
        kept = balanced(train.labels, config.train_limit, config.seed)
        train, copies = train.select(kept), None if copies is None else copies[kept]
    if validation is None:
        validation = carve(config.validation, config.seed, "validation")
        share = f"{100 * config.validation:g} % of train, stratified, seed {config.seed}"
        notes["validation"] = _also(notes, "validation", share)
    if raw.test is None or raw.validation is None:
        notes["train"] = (
            notes.get("train", "the set's own train split") + ", less the examples split off"
        )
    return {"train": train, "validation": validation, "test": test}, notes, alike


def preprocess_of(train: Source) -> dict[str, Any]:
    """Return the ``preprocess`` of a network trained on these images; see :class:`Splits`."""
    mean, std, _ = _statistics(train)
    meaning: Meaning | None = getattr(train, "meaning", None)
    resized = meaning is not None and meaning.resized
    return ImageInput.like(train.shape, mean, std, resized).to_json()


def _read(config: DataConfig) -> RawSplits:
    if config.name not in list_datasets():
        return read_dataset(config)
    if config.image_column or config.label_column:
        raise ConfigError(
            f"data.image_column and data.label_column are for files and hub sets; {config.name!r} "
            "has no columns"
        )
    raw = registered(config.name)(config)
    return replace(
        raw,
        train=_converted(raw.train, config),
        validation=raw.validation and _converted(raw.validation, config),
        test=raw.test and _converted(raw.test, config),
    )


def _converted(source: Source, config: DataConfig) -> Source:
    if not isinstance(source, TensorSource):
        return source
    return TensorSource(to_shape(source.images, config.channels, config.image_size), source.labels)


def _check_labels(raw: RawSplits) -> None:
    for split in ("train", "validation", "test"):
        source = getattr(raw, split)
        if source is None:
            continue
        if len(source) == 0:
            raise DataError(f"the {split} split is empty")
        check_labels(source.labels, split, raw.classes)


def _only(raw: RawSplits, wanted: tuple[int, ...]) -> RawSplits:
    """Return the images of some classes, relabelled in their order.

    If the set's class names are numbers, classes are selected by these, whatever their gaps.
    """
    names = raw.classes
    numbered = all(re.fullmatch(r"-?\d+", name) for name in names)
    known = {int(name) if numbered else label: label for label, name in enumerate(names)}
    for label in wanted:
        if label not in known:
            gaps = sorted(known) != list(range(len(names)))
            kind = some(names, 20) if gaps else f"0..{len(names) - 1}"
            raise ConfigError(f"data.classes names {label}; the classes of this set are {kind}")
    classes = [known[label] for label in wanted]
    rows, _ = chosen(raw.train.labels, classes)
    return replace(
        raw,
        copies=None if raw.copies is None else raw.copies[rows],
        train=of_classes(raw.train, classes),
        validation=raw.validation and of_classes(raw.validation, classes),
        test=raw.test and of_classes(raw.test, classes),
        classes=[raw.classes[label] for label in classes],
    )


def _also(notes: dict[str, str], split: str, text: str) -> str:
    return f"{notes[split]}: {text}" if split in notes else text


def _repeated(sources: dict[str, Source]) -> list[str]:
    """Return remarks on training images in other splits, if the set is small enough to check."""
    images = {k: s.images for k, s in sources.items() if isinstance(s, TensorSource)}
    if len(images) < len(sources) or sum(i.numel() for i in images.values()) > _MOST_COMPARED:
        return []
    return repeated({k: (row.tobytes() for row in i.numpy()) for k, i in images.items()}, "images")


def _stored(sources: dict[str, Source], limit_mb: int) -> dict[str, Source]:
    """Load the sources into memory if together they take at most ``limit_mb`` MiB."""
    channels, height, width = sources["train"].shape
    size = sum(len(source) for source in sources.values()) * channels * height * width
    if size > limit_mb * 2**20:
        return sources
    return {k: s.in_memory() if isinstance(s, StreamSource) else s for k, s in sources.items()}


def _described(
    sources: dict[str, Source], classes: list[str], name: str, notes: dict[str, str]
) -> Splits:
    train = sources["train"]
    mean, std, used = _statistics(train)
    description = {
        "counts": {split: len(source) for split, source in sources.items()},
        "classes": len(classes),
        "shape": list(train.shape),
        "origin": {split: notes.get(split, f"the set's own {split} split") for split in sources},
        "examples": by_class(sources, classes),
        "statistics": f"mean and std of {used} training images",
        "storage": "tensors" if isinstance(train, TensorSource) else "files",
    }
    validation, test = sources["validation"], sources["test"]
    return Splits(train, validation, test, classes, mean, std, name, description)


def _statistics(train: Source) -> tuple[tuple[float, ...], tuple[float, ...], int]:
    """Return the exact mean and deviation per channel of pixels in 0..1, and the image count."""
    if isinstance(train, StreamSource) and len(train) > _STATISTICS_SAMPLE:
        train = train.select(balanced(train.labels, _STATISTICS_SAMPLE, TEST_SEED))
    channels = train.shape[0]
    counts = torch.zeros(channels, 256, dtype=torch.float64)
    for images, _ in train.batches(affordable(train, 1024)):
        for c in range(channels):
            counts[c] += torch.bincount(images[:, c].flatten(), minlength=256).cpu()
    levels = torch.arange(256, dtype=torch.float64) / 255
    weights = counts / counts.sum(1, keepdim=True)
    mean = (weights * levels).sum(1)
    std = (weights * (levels - mean[:, None]) ** 2).sum(1).sqrt()
    std[std == 0] = 1.0  # a constant channel stays 0
    return tuple(mean.tolist()), tuple(std.tolist()), len(train)
