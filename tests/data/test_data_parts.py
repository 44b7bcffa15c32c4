"""What the claims ask of the data: some classes only, and the authors' second crop."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from autocompress.data import Augment, AugmentConfig, DataConfig, load_data
from autocompress.errors import ConfigError


def test_some_classes_only() -> None:
    everything = load_data(DataConfig())
    some = load_data(DataConfig(classes=(7, 3)))
    assert some.classes == ["7", "3"]
    rows = [i for i, label in enumerate(everything.test.labels.tolist()) if label in (7, 3)]
    (images, labels), = some.test.batches(1000)  # fmt: skip
    (wanted, old), = everything.test.select(torch.tensor(rows)).batches(1000)  # fmt: skip
    assert torch.equal(images, wanted)  # the test images are those of the whole set
    assert torch.equal(labels, torch.where(old == 7, 0, 1))


def test_classes_go_before_limits() -> None:
    few = load_data(DataConfig(classes=(0, 1, 2), train_limit=30, validation=0.2))
    assert few.sizes["train"] == 24
    assert few.train.labels.bincount().tolist() == [8, 8, 8]


def test_classes_of_files(shared_data: Path) -> None:
    """The same of a set that is decoded batch by batch."""
    config = DataConfig(name=str(shared_data / "cifar10_png4k"), classes=(9, 0), device_limit_mb=0)
    splits = load_data(config)
    assert splits.classes == ["truck", "airplane"]
    assert splits.description["storage"] == "files"
    labels = torch.cat([labels for _, labels in splits.train.batches(64)])
    assert torch.equal(labels, splits.train.labels)
    assert set(labels.tolist()) == {0, 1}


@pytest.mark.parametrize(
    ("classes", "message"),
    [((1, 1), "twice"), ((4,), "at least two"), ((0, 10), "names 10; .* 0..9")],
)
def test_classes_that_cannot_be(classes: tuple[int, ...], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_data(DataConfig(classes=classes))


def test_two_crops_are_one_after_the_other() -> None:
    images = torch.rand(6, 3, 8, 8)
    once, twice = (Augment(AugmentConfig(crop_padding=2, crops=n), 3) for n in (1, 2))
    torch.manual_seed(0)
    wanted = once.pixels(once.pixels(images))
    torch.manual_seed(0)
    assert torch.equal(twice.pixels(images), wanted)
    with pytest.raises(ConfigError, match="crops 0"):
        AugmentConfig(crops=0)
