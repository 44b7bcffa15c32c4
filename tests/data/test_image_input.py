"""ImageInput: scale, mean and deviation, wherever pixels become inputs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import autocompress as ac
from autocompress.data import ImageInput, TensorSource
from autocompress.errors import ConfigError
from autocompress.training.inputs import Normalise, network_batches


def pixels() -> torch.Tensor:
    return torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16).expand(-1, 3, -1, -1)


@pytest.mark.parametrize("scale", [1.0, 1 / 255, 1 / 127.5, 0.25])
def test_scale_is_applied(scale: float) -> None:
    said = {"scale": scale, "mean": [0.5, 1.0, -2.0], "std": [0.25, 2.0, 1.0]}
    found = Normalise(said, torch.device("cpu")).bytes(pixels())
    mean, std = (torch.tensor(said[k]).double().view(-1, 1, 1) for k in ("mean", "std"))
    expected = (pixels().double() * scale - mean) / std
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-5)
    assert torch.equal(found, ImageInput.of(said)(pixels()))
    assert ImageInput.of(said).to_json() == said


def test_a_network_sees_its_own_scale(tmp_path: Path) -> None:
    net = ac.models.MLP(depth=1, width=8, classes=2, image_size=16, channels=3)
    net.preprocess = {"scale": 1 / 127.5, "mean": [1.0] * 3, "std": [1.0] * 3}
    ac.save(net, tmp_path / "net")
    again = ac.load(tmp_path / "net")
    source = TensorSource(pixels().contiguous(), torch.zeros(1).long())
    ((inputs, _),) = network_batches(again, source, 4)
    assert float(inputs.min()) == pytest.approx(-1)
    assert float(inputs.max()) == pytest.approx(1)


def test_bytes_by_255_are_bit_for_bit_what_they_were() -> None:
    mean, std = (0.4914, 0.4822, 0.4465), (0.247, 0.2435, 0.2616)
    columns = [torch.tensor(v).view(1, -1, 1, 1) for v in (mean, std)]
    before = (pixels().float() / 255 - columns[0]) / columns[1]
    assert torch.equal(ImageInput(mean=mean, std=std)(pixels()), before)
    assert torch.equal(ImageInput.of(None)(pixels()), pixels().float() / 255)
    assert torch.equal(ImageInput.of({"pad": 0})(pixels()), pixels().float() / 255)


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"scale": 0}, "scale"),
        ({"scale": float("nan")}, "scale"),
        ({"scale": "255"}, "scale"),
        ({"mean": 0.5}, "mean 0.5 must be a list"),
        ({"mean": [0.5], "std": [0.0]}, "std"),
        ({"mean": [None], "std": [1.0]}, "mean"),
        ({"mean": [0.5, 0.5], "std": [1.0]}, "2 means and 1 deviations"),
        ({"mean": [10**400], "std": [1.0]}, "mean .* must be finite numbers"),
        ({"scale": -(10**400)}, "scale .* must be finite numbers"),
        ({"channels": 1.0}, "channels 1.0 must be 1 or 3"),
    ],
)
def test_what_cannot_be_applied_is_refused(said: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        ImageInput.of(said)
