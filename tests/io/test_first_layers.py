"""``load(folder, depth=k)``: the tensors of the first k layers, and no other."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from torch import nn

import autocompress as ac
import hosts
from autocompress.errors import CheckpointError, DepthError
from autocompress.io import weights
from models_table import MODELS, inputs, make


def read_names(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of all tensors that are read from files from now on."""
    names: list[str] = []

    class Watched:
        def __init__(self, path: Path, framework: str) -> None:
            self.file = safe_open(path, framework=framework)

        def __enter__(self) -> Watched:
            self.inner = self.file.__enter__()
            return self

        def __exit__(self, *error: Any) -> None:
            self.file.__exit__(*error)

        def get_tensor(self, name: str) -> torch.Tensor:
            names.append(name)
            return self.inner.get_tensor(name)

    monkeypatch.setattr(weights, "safe_open", Watched)
    return names


def alike(one: Any, other: Any, x: Any) -> None:
    """Two networks are the same, bit for bit, in all that is saved of them."""
    assert one.config == other.config
    assert one.state_dict().keys() == other.state_dict().keys()
    for name, tensor in one.state_dict().items():
        assert torch.equal(tensor, other.state_dict()[name]), name
        assert tensor.dtype == other.state_dict()[name].dtype
    assert torch.equal(one(x), other(x))
    assert (one.preprocess, one.tokenizer, one.task, one.class_names) == (
        *(other.preprocess, other.tokenizer, other.task, other.class_names),
    )


@pytest.mark.parametrize(
    ("model", "rule"),
    [*((model, "learned") for model in MODELS), ("mixer", "denseformer"), ("mlp", "hyper")],
)
def test_it_is_the_cut_network(model: str, rule: str, tmp_path: Path) -> None:
    net = make(model, rule)
    net.class_names = ["a", "b", "c"]
    ac.save(net, tmp_path / "net")
    for k in (0, 2, net.depth):
        alike(
            ac.load(tmp_path / "net", depth=k), ac.cut(ac.load(tmp_path / "net"), k), inputs(model)
        )


@pytest.mark.parametrize("name", ["timm-vit", "timm-swin", "hf-bert", "hf-distilbert"])
def test_it_is_the_cut_host(name: str, tmp_path: Path) -> None:
    pytest.importorskip(name.partition("-")[0].replace("hf", "transformers"))
    net = ac.convert(hosts.host(name)).eval()
    ac.save(net, tmp_path / "net")
    again: Any = ac.load(tmp_path / "net", depth=1)
    alike(again, ac.cut(ac.load(tmp_path / "net"), 1), net.example(2))
    if name == "hf-bert":
        assert again.model.config.num_hidden_layers == 1


def test_no_other_tensor_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    net = make("vit", "hacn")
    ac.save(net, tmp_path / "net")
    names = read_names(monkeypatch)
    ac.load(tmp_path / "net", depth=2)
    assert sorted(names) == sorted(name for name in net.state_dict() if ".blocks." not in name
                                   or name.split(".blocks.")[1][0] in "01")  # fmt: skip
    assert any(".blocks.1." in name for name in names)


def test_damage_above_is_not_noticed_and_damage_below_is(tmp_path: Path) -> None:
    net = make("mlp", "learned")
    ac.save(net, tmp_path / "net")
    path = tmp_path / "net" / "model.safetensors"
    whole = path.read_bytes()

    def flip(name: str) -> None:
        length = int.from_bytes(whole[:8], "little")
        _, end = json.loads(whole[8 : 8 + length])[name]["data_offsets"]
        data = bytearray(whole)
        data[8 + length + end - 1] ^= 1
        path.write_bytes(bytes(data))

    names = list(net.state_dict())
    flip(next(name for name in names if ".blocks.3." in name))
    kept = ac.load(tmp_path / "net", depth=3)
    assert torch.equal(kept(inputs("mlp")), net(inputs("mlp"), depth=3))
    with pytest.raises(CheckpointError, match="was altered"):
        ac.load(tmp_path / "net")
    for name, what in [(".blocks.1.", "layer 1"), ("stem.", "outside of the layers")]:
        flip(next(one for one in names if name in one))
        with pytest.raises(CheckpointError, match=what):
            ac.load(tmp_path / "net", depth=3)


def test_a_folder_of_an_earlier_version(tmp_path: Path) -> None:
    """Without hashes by layer the file is checked as a whole."""
    from autocompress.io.header import HASH, sha256
    from autocompress.io.schema import config_hash

    net = make("mlp", "acn")
    ac.save(net, tmp_path / "net")
    path = tmp_path / "net" / "config.json"
    config = json.loads(path.read_text())
    del config["layers_sha256"]
    weights.write_weights(net, tmp_path / "net" / "model.safetensors", {HASH: config_hash(config)})
    config["sha256"] = sha256(tmp_path / "net" / "model.safetensors")
    path.write_text(json.dumps(config))
    alike(ac.load(tmp_path / "net", depth=1), net.cut(1), inputs("mlp"))
    file = tmp_path / "net" / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"\x55")
    with pytest.raises(CheckpointError, match="was altered"):
        ac.load(tmp_path / "net", depth=1)


def test_a_host_of_several_stages(tmp_path: Path) -> None:
    pytest.importorskip("timm")
    net = ac.convert(hosts.host("timm-convnext")).eval()
    ac.save(net, tmp_path / "net")
    for k in (1, net.depth - 1):  # in the first stage, in the last
        again = ac.load(tmp_path / "net", model=hosts.host("timm-convnext", 1), depth=k)
        assert torch.equal(again(net.example(2)[:1] * 0), net(net.example(2)[:1] * 0, depth=k))
        assert again.depth == k


class Tied(nn.Module):
    """Layers of which the last shares the weights of the first."""

    def __init__(self) -> None:
        super().__init__()
        self.inp = nn.Linear(4, 8)
        make = nn.TransformerEncoderLayer
        self.layers = nn.ModuleList(
            make(8, 2, 16, 0.0, batch_first=True, norm_first=True) for _ in range(3)
        )
        self.layers[2].linear1.weight = self.layers[0].linear1.weight
        self.out = nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.inp(x)
        for layer in self.layers:
            h = layer(h)
        return self.out(h[:, 0])


def test_a_network_of_ones_own_class(tmp_path: Path) -> None:
    x = torch.randn(2, 5, 4)
    net = ac.convert(Tied(), example=x).eval()
    ac.save(net, tmp_path / "net")
    again = ac.load(tmp_path / "net", model=Tied(), depth=2)
    assert torch.equal(again(x), net(x, depth=2))
    whole = ac.load(tmp_path / "net", model=Tied(), depth=3)
    assert torch.equal(whole(x), net(x))


@pytest.mark.parametrize("depth", [-1, 5])
def test_no_such_depth(depth: int, tmp_path: Path) -> None:
    ac.save(make("mlp", "acn"), tmp_path / "net")
    with pytest.raises(DepthError, match=r"0\.\.4"):
        ac.load(tmp_path / "net", depth=depth)
