"""Data sets by name: the bundled digits, generated sets, and those that users register."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from autocompress.data.config import DataConfig
from autocompress.data.digits import read_digits
from autocompress.data.generated import GENERATED
from autocompress.data.sources import Source, TensorSource
from autocompress.data.splitting import stratified
from autocompress.errors import ConfigError
from autocompress.registry import Registry

__all__ = ["RawSplits", "TEST_SEED", "list_datasets", "register_dataset", "registered"]

#: Seed of every test split that is made here. It is not an option: whatever ``data.seed`` is, the
#: same images are test images, so results of different runs can be compared.
TEST_SEED = 20_250_613
TEST_SHARE = 0.2


@dataclass(frozen=True)
class RawSplits:
    """A data set as found, before anything is limited or split off.

    Args:
        train: Training examples.
        classes: Class names by label.
        validation, test: Examples of these splits; None if the set has no usable one.
        notes: Remarks on the origin of splits, by split.
        copies: A number for each training example, shared by those of equal content, (n,); None
            if content was not compared.
        remarks: Further remarks on the set.
    """

    train: Source
    classes: list[str]
    validation: Source | None = None
    test: Source | None = None
    notes: dict[str, str] = field(default_factory=dict)
    copies: Tensor | None = None
    remarks: list[str] = field(default_factory=list)


DatasetReader = Callable[[DataConfig], RawSplits]
DATASETS: Registry[DatasetReader] = Registry("data set")


def register_dataset(name: str) -> Callable[[DatasetReader], DatasetReader]:
    """Return a decorator that registers a function as the reader of data set ``name``.

    The function receives the :class:`DataConfig` and returns :class:`RawSplits`; sizes, limits and
    missing splits are handled afterwards.

    Raises:
        ConfigError: The name is taken.

    Example:
        >>> @register_dataset("black")
        ... def black(config):
        ...     images = torch.zeros(9, 1, 4, 4, dtype=torch.uint8)
        ...     return RawSplits(TensorSource(images, torch.arange(9) % 3), ["a", "b", "c"])
        >>> list_datasets(), DATASETS.remove("black") is black
        (['black', 'digits', 'doubling', 'hierarchy'], True)
    """

    def register(reader: DatasetReader) -> DatasetReader:
        if name in GENERATED:
            raise ConfigError(f"data set {name!r} is registered already")
        DATASETS.add(name, reader)
        return reader

    return register


def list_datasets() -> list[str]:
    """Return the registered names, sorted."""
    return sorted({*DATASETS, *GENERATED})


def registered(name: str) -> DatasetReader:
    """Return the reader of data set ``name``, or raise UnknownNameError."""
    return DATASETS[name]


@register_dataset("digits")
def digits(config: DataConfig) -> RawSplits:
    """Return the 1,797 handwritten digits that ship inside scikit-learn: 8 x 8, grey, ten classes.

    Levels 0..16 become bytes 0..255. The test set is 360 images (20 %, stratified), always the
    same ones (:data:`TEST_SEED`).
    """
    levels, labels = read_digits()
    images = torch.from_numpy(levels * (255 / 16)).round().byte().unsqueeze(1)
    everything = TensorSource(images, torch.from_numpy(labels))
    train, test = stratified(everything.labels, TEST_SHARE, TEST_SEED, "test")
    return RawSplits(
        train=everything.select(train),
        test=everything.select(test),
        classes=[str(digit) for digit in range(10)],
        notes={"test": f"20 % of the 1,797 digits, stratified, fixed seed {TEST_SEED}"},
    )
