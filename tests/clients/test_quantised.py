"""Quantised networks: probed, measured, cut and saved as others are; training says why not."""

from __future__ import annotations

import copy
import json
import pickle
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import joblib
import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

import autocompress as ac
from autocompress.errors import CheckpointError, ConfigError
from folders import forge
from hosts import batch, host
from marks import slow_but

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


def per_channel(model: nn.Module) -> Any:
    rule = torch.ao.quantization.per_channel_dynamic_qconfig
    return torch.ao.quantization.quantize_dynamic(model, {nn.Linear: rule})


def half(model: nn.Module) -> Any:
    return torch.ao.quantization.quantize_dynamic(model, {nn.Linear}, dtype=torch.float16)


def own() -> Any:
    torch.manual_seed(0)
    return ac.models.ViT(depth=3, width=16, heads=2, classes=3, image_size=8, patch_size=4).eval()


WAYS = (dynamic, per_channel, half, weights_only)
SAVED = slow_but(
    [(name, way) for name in ("own", "timm-vit", "hf-bert") for way in WAYS],
    [("own", dynamic), ("own", weights_only)],
)


@QUIET
@pytest.mark.parametrize(("name", "quantise"), SAVED)
@torch.no_grad()
def test_saved_and_loaded_with_the_same_numbers(name: str, quantise: Any, tmp_path: Path) -> None:
    float_net = own() if name == "own" else ac.convert(host(name), "acn")
    net, x = quantise(float_net), float_net.example(2)
    assert not torch.equal(net(x), float_net(x))
    ac.save(net, tmp_path / "net")
    again = ac.load(tmp_path / "net")
    assert torch.equal(again(x), net(x))
    assert not again.training
    assert list(map(type, again.modules())) == list(map(type, net.modules()))
    assert torch.equal(ac.load(tmp_path / "net", depth=2)(x), ac.cut(net, 2)(x))
    ac.save(ac.cut(again, 1), tmp_path / "small")
    assert torch.equal(ac.load(tmp_path / "small")(x), ac.cut(net, 1)(x))
    ac.save(again, tmp_path / "again")
    ac.save(float_net, tmp_path / "float")
    data = {key: tmp_path / key / "model.safetensors" for key in ("net", "again", "float")}
    assert data["again"].read_bytes() == data["net"].read_bytes()
    assert data["net"].stat().st_size < 0.85 * data["float"].stat().st_size


@QUIET
@pytest.mark.slow
@torch.no_grad()
def test_quantised_before_its_conversion_it_is_saved_as_well(tmp_path: Path) -> None:
    net = ac.convert(dynamic(host("timm-vit")), "acn")
    ac.save(net, tmp_path / "net")
    assert torch.equal(ac.load(tmp_path / "net")(inputs()), net(inputs()))


@QUIET
def test_what_no_file_holds_is_refused(tmp_path: Path) -> None:
    net = ac.convert(host("timm-vit"), "acn")
    net.model.head = torch.ao.quantization.quantize_dynamic(
        nn.Sequential(nn.LSTM(16, 5)), {nn.LSTM}
    )
    with pytest.raises(ConfigError, match=r"head\.0 .*its files cannot hold"):
        ac.save(net, tmp_path / "net")
    assert not list(tmp_path.iterdir())


_NAME = "trunk.blocks.0.branches.0.body.qkv.weight"


@QUIET
@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"kind": "pickle"}, "not described as quantised"),
        ({"more": 1}, "not described as quantised"),
        ({"shape": [1 << 20, 1 << 20]}, "cannot hold"),
        ({"shape": [-1]}, "cannot hold"),
        ({"shape": [4, 4]}, "another model"),
        ({"axis": 5}, "cannot be quantised as it was"),
        pytest.param(
            *({"kind": "torchao", "axis": None, "data": {"_type": "os"}}, "quantised"),
            marks=pytest.mark.skipif(
                find_spec("torchao") is None, reason="torchao is not installed (extra: clients)"
            ),
        ),
    ],
)
def test_a_strangers_entries_are_checked(change: Any, said: str, tmp_path: Path) -> None:
    ac.save(per_channel(own()), tmp_path / "net")
    entries = json.loads((tmp_path / "net" / "config.json").read_text())["quantised"]
    entry = {key: value for key, value in (entries[_NAME] | change).items() if value is not None}
    forge(tmp_path / "net", quantised={**entries, _NAME: entry})
    with pytest.raises(CheckpointError, match=said):
        ac.load(tmp_path / "net")
    del entries[_NAME]
    forge(tmp_path / "net", quantised=entries)
    with pytest.raises(CheckpointError, match="another model"):
        ac.load(tmp_path / "net")


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
