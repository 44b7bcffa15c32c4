"""Noise: its statistics, its seeds, and corruptions against cases computed by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch.utils.data import TensorDataset

import autocompress as ac
from autocompress.data import Noise, TensorSource, list_noises, noisy
from autocompress.errors import ConfigError, DataError, UnknownNameError

every_kind = pytest.mark.parametrize("kind", list_noises())
GREY = 128


def grey(n: int = 64, channels: int = 3, size: int = 16, value: int = GREY) -> TensorSource:
    images = torch.full((n, channels, size, size), value, dtype=torch.uint8)
    return TensorSource(images, torch.arange(n))


def mixed(n: int = 12, channels: int = 3) -> TensorSource:
    generator = torch.Generator().manual_seed(3)
    images = torch.randint(0, 256, (n, channels, 8, 8), generator=generator, dtype=torch.uint8)
    return TensorSource(images, torch.arange(n) % 3)


def level_of(kind: str) -> float:
    return 0.3 if kind in ("gaussian", "salt_pepper") else 3


def unit(source: TensorSource, noise: str) -> torch.Tensor:
    return noisy(source, noise).in_memory().images.float() / 255


def test_gaussian_mean_and_deviation() -> None:
    """49,152 pixels: the mean is known to 0.1 / sqrt(49,152); clipping is 5 sigma off."""
    difference = unit(grey(), "gaussian:0.1") - GREY / 255
    assert abs(float(difference.mean())) < 4 * 0.1 / math.sqrt(49_152)
    assert float(difference.std()) == pytest.approx(0.1, rel=0.02)


def test_salt_and_pepper_takes_whole_pixels_in_equal_parts() -> None:
    images = noisy(grey(), "salt_pepper:0.2").in_memory().images
    assert images.unique().tolist() == [0, GREY, 255]
    black, white = (images == 0).all(1), (images == 255).all(1)
    changed = (images != GREY).any(1)
    assert torch.equal(changed, black | white), "all channels of a pixel go together"
    n = changed.numel()
    for share, expected in ((changed, 0.2), (black, 0.1), (white, 0.1)):
        spread = math.sqrt(expected * (1 - expected) / n)
        assert abs(float(share.double().mean()) - expected) < 4 * spread
    assert (noisy(grey(), "salt_pepper:1").in_memory().images != GREY).all()


def test_salt_and_pepper_flips_exactly_what_was_drawn() -> None:
    """Image 5 of seed 0 draws from a generator of its own: below 0.1 black, from 0.9 on white."""
    drawn = torch.rand(1, 16, 16, generator=torch.Generator().manual_seed(5))
    image = unit(grey(), "salt_pepper:0.2")[5]
    assert torch.equal(image[0] == 0, drawn[0] < 0.1)
    assert torch.equal(image[0] == 1, drawn[0] >= 0.9)


def test_impulse_noise_flips_channels_one_by_one() -> None:
    changed = noisy(grey(), "impulse_noise:5").in_memory().images != GREY
    assert float(changed.double().mean()) == pytest.approx(0.07, abs=0.005)
    assert not torch.equal(changed[:, 0], changed[:, 1])


def test_shot_noise_has_the_variance_of_photons() -> None:
    """Poisson(c x) / c has mean x and variance x / c; c = 50 at severity 5."""
    images = unit(grey(), "shot_noise:5").double()
    x = GREY / 255
    assert float(images.mean()) == pytest.approx(x, abs=0.003)
    assert float(images.var()) == pytest.approx(x / 50, rel=0.03)


def test_speckle_grows_with_the_pixel() -> None:
    dark, light = (unit(grey(value=v), "speckle_noise:2") - v / 255 for v in (26, 102))
    assert float(dark.std()) == pytest.approx(0.1 * 26 / 255, rel=0.05)
    assert float(light.std()) == pytest.approx(0.1 * 102 / 255, rel=0.05)


def test_blur_by_hand() -> None:
    """A white point becomes the product of two normalised Gaussians of deviation 1."""
    images = torch.zeros(1, 1, 11, 11, dtype=torch.uint8)
    images[0, 0, 5, 5] = 255
    blurred = unit(TensorSource(images, torch.zeros(1).long()), "gaussian_blur:5")[0, 0]
    row = torch.exp(-torch.arange(-4.0, 5.0).square() / 2)
    row = row / row.sum()
    assert torch.allclose(blurred[1:10, 1:10], row[:, None] * row, atol=0.5 / 255 + 1e-6)
    flat = unit(grey(2), "gaussian_blur:5")
    assert torch.equal(flat, torch.full_like(flat, GREY / 255)), "also at the edges"


def test_contrast_and_brightness_by_hand() -> None:
    """Of pixels 0.2 and 0.6 contrast 0.5 makes 0.3 and 0.5, brightness + 0.1 makes 0.3 and 0.7."""
    images = torch.tensor([51, 153], dtype=torch.uint8).view(1, 1, 1, 2)
    source = TensorSource(images, torch.zeros(1).long())
    contrast, brightness = unit(source, "contrast:2"), unit(source, "brightness:2")
    assert contrast.flatten().tolist() == pytest.approx([0.3, 0.5], abs=0.5 / 255 + 1e-6)
    assert brightness.flatten().tolist() == pytest.approx([0.3, 0.7], abs=0.5 / 255 + 1e-6)


def test_brightness_keeps_hue_and_saturation() -> None:
    """(0.4, 0.2, 0): value 0.4 becomes 0.5, all channels by the same factor; black becomes grey."""
    images = torch.tensor([[102, 51, 0], [0, 0, 0]], dtype=torch.uint8).view(2, 3, 1, 1)
    found = unit(TensorSource(images, torch.zeros(2).long()), "brightness:2").flatten(1)
    assert found[0].tolist() == pytest.approx([0.5, 0.25, 0.0], abs=0.5 / 255 + 1e-6)
    assert found[1].tolist() == pytest.approx([0.1] * 3, abs=0.5 / 255 + 1e-6)


def test_pixelate_by_hand() -> None:
    """4 pixels at scale 0.65 are int(2.6) = 2: each pair becomes its mean."""
    images = torch.tensor([0, 100, 40, 60], dtype=torch.uint8).view(1, 1, 1, 4).repeat(1, 1, 4, 1)
    found = noisy(TensorSource(images, torch.zeros(1).long()), "pixelate:5").in_memory().images
    assert found[0, 0, 0].tolist() == [50, 50, 50, 50]
    images = torch.tensor([0, 100, 200, 220], dtype=torch.uint8).view(1, 1, 1, 4).repeat(1, 1, 4, 1)
    found = noisy(TensorSource(images, torch.zeros(1).long()), "pixelate:5").in_memory().images
    assert found[0, 0, 0].tolist() == [50, 50, 210, 210]


def test_jpeg_loses_more_with_severity() -> None:
    images = mixed().images.float() / 255
    lost = [float((unit(mixed(), f"jpeg:{s}") - images).abs().mean()) for s in range(6)]
    assert lost[0] == 0
    assert lost == sorted(lost)
    flat = unit(grey(1), "jpeg:5")
    assert float((flat - GREY / 255).abs().max()) < 2 / 255, "a flat image survives"


@every_kind
@pytest.mark.parametrize("channels", [1, 3])
def test_an_image_has_its_noise_in_any_batch_and_order(kind: str, channels: int) -> None:
    noise = Noise(kind, level_of(kind), seed=4)
    source = noisy(mixed(channels=channels), noise)
    whole = source.in_memory()
    assert whole.images.shape == (12, channels, 8, 8)
    assert whole.labels.tolist() == source.labels.tolist()
    small = torch.cat([images for images, _ in source.batches(5)])
    assert torch.equal(small, whole.images)
    order = torch.tensor([7, 2, 2, 11])
    ((images, labels),) = source.batches(4, order)
    assert torch.equal(images, whole.images[order])
    assert torch.equal(labels, whole.labels[order])
    assert torch.equal(source.select(order).in_memory().images, whole.images[order])
    assert not torch.equal(whole.images, mixed(channels=channels).images)


@every_kind
def test_level_0_is_the_image_itself(kind: str) -> None:
    assert torch.equal(noisy(mixed(), Noise(kind, 0)).in_memory().images, mixed().images)


@pytest.mark.parametrize("kind", ["gaussian", "salt_pepper", "shot_noise", "impulse_noise"])
def test_seeds(kind: str) -> None:
    made = [
        noisy(mixed(), Noise(kind, level_of(kind), seed=s)).in_memory().images for s in (0, 0, 1)
    ]
    assert torch.equal(made[0], made[1])
    assert not torch.equal(made[0], made[2])


def test_global_random_state_is_not_touched() -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    noisy(mixed(), "gaussian:0.5").in_memory()
    assert torch.equal(torch.get_rng_state(), before)


def test_a_probe_of_noisy_data_scores_every_depth() -> None:
    data = ac.load_data()
    net = ac.models.MLP(depth=2, width=16, classes=10)
    ac.fit(net, data.train, config=ac.FitConfig(epochs=3, lr=3e-3), progress=False)
    clean, little, much = (
        ac.probe(net, ac.noisy(data.validation, f"gaussian:{sigma}")).scores
        for sigma in (0, 0.2, 0.8)
    )
    assert clean == ac.probe(net, data.validation).scores
    assert clean[-1] > little[-1] > much[-1]
    assert len(much) == 3


def test_what_is_refused() -> None:
    with pytest.raises(UnknownNameError, match="gaussian"):
        Noise("gausian", 0.1)
    with pytest.raises(ConfigError, match="severity 2.5 of jpeg"):
        Noise("jpeg", 2.5)
    with pytest.raises(ConfigError, match="between 0 and 1"):
        Noise("salt_pepper", 1.5)
    with pytest.raises(ConfigError, match="0 or more"):
        Noise("gaussian", -1)
    with pytest.raises(ConfigError, match="KIND:LEVEL"):
        Noise.parse("gaussian")
    with pytest.raises(DataError, match="TensorDataset"):
        noisy(TensorDataset(torch.zeros(1)), "gaussian:0.1")
