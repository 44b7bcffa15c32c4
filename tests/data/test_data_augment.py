"""Augmentation: what it may change, per sample, from torch's generator alone."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageEnhance, ImageOps

from autocompress.data import Augment, AugmentConfig
from autocompress.data.auto_augment import POLICY, apply, strength
from autocompress.errors import ConfigError

ALL = {"crop_padding": 2, "flip": True, "auto_augment": True, "cutmix": 0.4, "mixup": 0.4}


def batch(b: int = 16, c: int = 3, h: int = 9, w: int = 7) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(b)
    levels = torch.randint(0, 256, (b, c, h, w), generator=generator)
    return levels / 255, torch.arange(b) % 5


configs = st.builds(
    AugmentConfig,
    crop_padding=st.integers(0, 3),
    flip=st.booleans(),
    auto_augment=st.booleans(),
    cutmix=st.sampled_from([0.0, 0.5]),
    mixup=st.sampled_from([0.0, 0.5]),
    cutmix_beta=st.sampled_from([0.2, 1.0]),
)


@settings(max_examples=40, deadline=None)
@given(configs, st.integers(1, 9), st.sampled_from([1, 3]), st.integers(0, 99))
def test_shapes_ranges_and_targets(config: AugmentConfig, b: int, c: int, seed: int) -> None:
    torch.manual_seed(seed)
    images, labels = batch(b, c)
    mixed, targets = Augment(config, classes=5)(images, labels)
    assert mixed.shape == images.shape
    assert mixed.dtype == images.dtype
    assert 0 <= mixed.min() <= mixed.max() <= 1
    if config.cutmix + config.mixup:
        assert targets.shape == (b, 5)
        assert targets.min() >= 0
        assert torch.allclose(targets.sum(1), torch.ones(b))
    else:
        assert targets is labels


def test_nothing_asked_nothing_done() -> None:
    images, labels = batch()
    state = torch.get_rng_state()
    same, targets = Augment(AugmentConfig(), classes=0)(images, labels)
    assert same is images
    assert targets is labels
    assert torch.equal(state, torch.get_rng_state())
    bytes_in = (images * 255).round().byte()
    assert torch.equal(Augment(AugmentConfig(), 0)(bytes_in, labels)[0], bytes_in / 255)


def test_torch_is_the_only_source_of_chance() -> None:
    augment = Augment(AugmentConfig(**ALL), classes=5)  # type: ignore[arg-type]
    images, labels = batch(64)
    augment(images, labels)  # kornia is imported by now
    python, numpy = random.getstate(), np.random.get_state()[1].copy()  # type: ignore[union-attr,index]
    torch.manual_seed(3)
    first = [augment(images, labels) for _ in range(6)]
    torch.manual_seed(3)
    half = [augment(images, labels) for _ in range(3)]
    state = torch.get_rng_state()
    torch.manual_seed(4)
    other = augment(images, labels)
    torch.set_rng_state(state)
    resumed = half + [augment(images, labels) for _ in range(3)]
    for (a, s), (b, t) in zip(first, resumed, strict=True):
        assert torch.equal(a, b)
        assert torch.equal(s, t)
    assert not torch.equal(first[0][0], other[0])
    assert random.getstate() == python
    assert np.array_equal(np.random.get_state()[1], numpy)  # type: ignore[arg-type,index]


def test_the_input_is_left_alone() -> None:
    images, labels = batch(64)
    before = images.clone()
    for _ in range(5):
        Augment(AugmentConfig(**ALL), 5)(images, labels)  # type: ignore[arg-type]
    assert torch.equal(images, before)


@pytest.mark.parametrize("option", [{"crop_padding": 2}, {"flip": True}, {"auto_augment": True}])
def test_every_sample_has_its_own_draw(option: dict[str, Any]) -> None:
    torch.manual_seed(0)
    one = batch(1)[0].expand(64, -1, -1, -1)
    out = Augment(AugmentConfig(**option), 5).pixels(one)
    assert len(torch.unique(out.flatten(1), dim=0)) >= (2 if option == {"flip": True} else 15)


def test_crops_are_windows_of_the_padded_image() -> None:
    torch.manual_seed(0)
    images = batch(200)[0]
    out = Augment(AugmentConfig(crop_padding=1), 5).pixels(images)
    padded = torch.nn.functional.pad(images, [1] * 4)
    windows = [padded[:, :, i : i + 9, j : j + 7] for i in range(3) for j in range(3)]
    hits = torch.stack([(out == w).flatten(1).all(1) for w in windows])
    assert hits.any(0).all()
    assert hits.sum(1).min() > 5  # every offset occurs


def test_flips_are_mirrors() -> None:
    torch.manual_seed(0)
    images = batch(200)[0]
    out = Augment(AugmentConfig(flip=True), 5).pixels(images)
    flipped = (out == images.flip(3)).flatten(1).all(1)
    assert torch.equal(out[~flipped], images[~flipped])
    assert 60 < flipped.sum() < 140


def test_mixup_mixes_images_as_it_mixes_targets() -> None:
    labels = torch.arange(32)
    images = torch.eye(32).view(32, 1, 4, 8)  # image i is the one-hot code of i
    config = AugmentConfig(mixup=1.0, mixup_alpha=1.0)
    mixed, targets = Augment(config, 32).mix(images, labels)
    assert torch.allclose(mixed.flatten(1), targets)
    assert ((targets > 0).sum(1) > 1).any()


def test_cutmix_targets_are_areas() -> None:
    labels = torch.arange(32)
    images = labels.view(32, 1, 1, 1).expand(32, 1, 8, 8).float()
    mixed, targets = Augment(AugmentConfig(cutmix=1.0), 32).mix(images, labels)
    area = torch.nn.functional.one_hot(mixed.long().flatten(1), 32).float().mean(1)
    assert torch.allclose(area, targets, atol=1e-6)
    assert len(torch.unique(targets.amax(1))) > 5  # boxes differ


def test_the_share_of_mixed_batches() -> None:
    torch.manual_seed(0)
    images, labels = batch()
    augment = Augment(AugmentConfig(cutmix=0.25, mixup=0.25), 5)
    plain = sum(torch.equal(augment.mix(images, labels)[0], images) for _ in range(200))
    assert 70 < plain < 130


# -- AutoAugment against Pillow, one operation after the other -------------------------------------


def pillow(name: str, picture: Image.Image, level: float) -> Image.Image:
    w, h = picture.size
    enhancers = {
        "brightness": ImageEnhance.Brightness,
        "color": ImageEnhance.Color,
        "contrast": ImageEnhance.Contrast,
        "sharpness": ImageEnhance.Sharpness,
    }
    if name in enhancers:
        return enhancers[name](picture).enhance(level)
    plain: dict[str, Any] = {
        "invert": lambda: ImageOps.invert(picture),
        "equalize": lambda: ImageOps.equalize(picture),
        "auto_contrast": lambda: ImageOps.autocontrast(picture),
        "posterize": lambda: ImageOps.posterize(picture, int(level)),
        "solarize": lambda: ImageOps.solarize(picture, level * 255),
        "rotate": lambda: picture.rotate(level),
    }
    if name in plain:
        result: Image.Image = plain[name]()
        return result
    matrix = {
        "shear_x": (1, level, 0, 0, 1, 0),
        "shear_y": (1, 0, 0, level, 1, 0),
        "translate_x": (1, 0, level * w, 0, 1, 0),
        "translate_y": (1, 0, 0, 0, 1, level * h),
    }[name]
    return picture.transform(picture.size, Image.Transform.AFFINE, matrix)


@pytest.mark.parametrize("name", sorted({step[0] for pair in POLICY for step in pair}))
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_operations_are_pillows(name: str, mode: str) -> None:
    y, x = np.mgrid[0:24, 0:32]
    smooth = 128 + 60 * np.sin(x / 5) * np.cos(y / 7)
    shades = np.stack([smooth, smooth * 0.8 + 20, 255 - smooth], 2).round().astype(np.uint8)
    picture = Image.fromarray(shades).convert(mode)
    array = np.asarray(picture).reshape(24, 32, -1)
    image = torch.from_numpy(array.copy()).permute(2, 0, 1)[None] / 255
    for magnitude in (0, 3, 5, 9):
        for sign in (-1, 1):
            level = strength(name, torch.tensor([magnitude]), torch.tensor([sign]))
            ours = (apply(name, image, level)[0] * 255).permute(1, 2, 0).numpy()
            theirs = np.asarray(pillow(name, picture, float(level))).reshape(24, 32, -1)
            wrong = np.abs(ours - theirs.astype(float)) > 2.0
            assert wrong.mean() < 0.02, (magnitude, sign, wrong.mean())  # ties of nearest pixels


def test_strengths_are_the_papers() -> None:
    def at(name: str, magnitude: int, sign: int = 1) -> float:
        return float(strength(name, torch.tensor([magnitude]), torch.tensor([sign])))

    assert at("rotate", 2) == pytest.approx(30 * 2 / 9)
    assert at("shear_y", 8, -1) == pytest.approx(-0.3 * 8 / 9)
    assert at("contrast", 9) == pytest.approx(1.9)
    assert at("contrast", 9, -1) == pytest.approx(0.1)
    assert at("posterize", 7) == 5
    assert at("solarize", 0) == 1
    assert at("translate_x", 9) == pytest.approx(150 / 331)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"crop_padding": -1}, "crop_padding -1"),
        ({"cutmix": 1.5}, "cutmix 1.5"),
        ({"mixup": -0.1}, "mixup -0.1"),
        ({"cutmix": 0.6, "mixup": 0.6}, "exceed 1"),
        ({"mixup_alpha": 0.0}, "mixup_alpha 0.0"),
        ({"cutmix_beta": -1.0}, "cutmix_beta -1.0"),
    ],
)
def test_bad_options(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        AugmentConfig(**options)


def test_mixing_needs_the_classes() -> None:
    with pytest.raises(ConfigError, match="number of classes"):
        Augment(AugmentConfig(mixup=0.1), classes=0)
