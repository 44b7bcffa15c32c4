"""Quantised networks: probed, measured and cut as others are; saving and training say why not."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import joblib
import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

import autocompress as ac
from autocompress.errors import ConfigError
from hosts import batch, host

QUIET = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")


def dynamic(model: nn.Module) -> Any:
    return torch.ao.quantization.quantize_dynamic(model, {nn.Linear}, dtype=torch.qint8)


def weights_only(model: nn.Module) -> Any:
    torchao = pytest.importorskip(
        "torchao.quantization", reason="torchao is not installed (extra: clients)"
    )
    made = copy.deepcopy(model)
    torchao.quantize_(made, torchao.Int8WeightOnlyConfig())
    return made


def inputs() -> torch.Tensor:
    return batch(host("timm-vit"))["x"]


@QUIET
@pytest.mark.parametrize("quantise", [dynamic, weights_only])
def test_before_or_after_conversion(quantise: Any, tmp_path: Path) -> None:
    plain, x = host("timm-vit"), inputs()
    before = ac.convert(quantise(plain), "residual")
    after = quantise(ac.convert(plain, "residual"))
    with torch.no_grad():
        expected = quantise(plain)(x)
        assert not torch.equal(expected, plain(x))
        assert torch.equal(before(x), expected)
        assert torch.equal(after(x), expected)
        for net in (before, after):
            for depth, readout in enumerate(net.readouts(x)):
                assert torch.equal(ac.cut(net, depth)(x), readout)

    acn = ac.convert(plain, "acn")
    small, large = (ac.measure(net, x, latency=False) for net in (quantise(acn), acn))
    assert small.parameters == large.parameters
    assert small.flops == large.flops
    assert small.flops_paper == large.flops_paper
    assert small.bytes < large.bytes
    data = TensorDataset(x.repeat(4, 1, 1, 1), torch.arange(4 * len(x)) % 5)
    curve = ac.probe(quantise(acn), data)
    assert curve.parameters == ac.probe(acn, data).parameters
    with pytest.raises(ConfigError, match="is quantised and no file here says how"):
        ac.save(quantise(acn), tmp_path / "net")
    assert not list(tmp_path.iterdir())


@QUIET
def test_training_goes_around_no_quantised_layer() -> None:
    x = inputs()
    net = dynamic(ac.convert(host("timm-vit"), "acn"))
    with pytest.raises(ConfigError, match="is quantised, so it cannot be trained"):
        ac.fit(net, TensorDataset(x, torch.arange(len(x)) % 5), progress=False)


@QUIET
@torch.no_grad()
def test_pickles_and_files(tmp_path: Path) -> None:
    """Quantised or not, they go through pickle, torch.save and joblib."""
    x = inputs()
    for net in (ac.convert(host("timm-vit"), "acn"), dynamic(ac.convert(host("timm-vit"), "acn"))):
        torch.save(net, tmp_path / "torch")
        joblib.dump(net, tmp_path / "joblib")
        for again in (
            pickle.loads(pickle.dumps(net)),
            torch.load(tmp_path / "torch", weights_only=False),
            joblib.load(tmp_path / "joblib"),
        ):
            assert torch.equal(again(x), net(x))
            assert torch.equal(ac.cut(again, 1)(x), ac.cut(net, 1)(x))
