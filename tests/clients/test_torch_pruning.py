"""Torch-Pruning of a converted network: pruned as its host is, and saved with its new shapes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import autocompress as ac
from hosts import batch, host
from marks import slow_but

pruning = pytest.importorskip(
    "torch_pruning", reason="torch-pruning is not installed (extra: clients)"
)
pytestmark = pytest.mark.filterwarnings("ignore")

HOSTS = ["hf-bert", "timm-vit", "timm-convnext", "hf-distilbert", "hf-vit"]
NARROW = slow_but(HOSTS, ["hf-bert", "timm-vit"])


def inputs_of(name: str) -> Any:
    found = batch(host(name))
    return found["x"] if name.startswith("timm") else found


def logits(model: nn.Module, x: Any) -> Any:
    out = model(**x) if isinstance(x, dict) else model(x)
    return getattr(out, "logits", out)


def pruned(model: nn.Module, x: Any) -> nn.Module:
    """Half of the channels and heads taken away, as the guide of Torch-Pruning says."""
    heads: dict[nn.Module, int] = {}
    for module in model.modules():
        for key in ("qkv", "query", "key", "value", "q_lin", "k_lin", "v_lin"):
            part = getattr(module, key, None)
            if isinstance(part, nn.Linear):
                heads[part] = 2
    with torch.enable_grad():  # by which it traces
        pruner = pruning.pruner.BasePruner(
            model,
            x,
            importance=pruning.importance.MagnitudeImportance(p=2),
            pruning_ratio=0.5,
            ignored_layers=[m for m in model.modules() if getattr(m, "out_features", 0) == 5],
            num_heads=heads,
            forward_fn=logits,
            output_transform=lambda out: out,
        )
        pruner.step()
    for module in model.modules():
        if isinstance(qkv := getattr(module, "qkv", None), nn.Linear):
            known: Any = module
            known.num_heads, known.attn_dim = pruner.num_heads[qkv], qkv.out_features // 3
            known.head_dim = known.attn_dim // known.num_heads
    return model


def shapes(model: nn.Module) -> dict[str, Any]:
    return {name: tuple(p.shape) for name, p in model.named_parameters()}


@pytest.mark.parametrize("name", NARROW)
@torch.no_grad()
def test_a_residual_network_is_pruned_as_its_host(name: str) -> None:
    plain, x = host(name), inputs_of(name)
    net = ac.convert(plain, "residual")
    before = logits(plain, x)
    pruned(plain, x)
    pruned(net.model, x)
    assert shapes(net.model) == shapes(plain)
    assert torch.equal(net(x), logits(plain, x))
    assert not torch.allclose(logits(plain, x), before)


@pytest.mark.parametrize("whole", [False, True], ids=["host", "network"])
@pytest.mark.parametrize("name", NARROW)
@torch.no_grad()
def test_new_shapes_are_saved(name: str, whole: bool, tmp_path: Path) -> None:
    net, x = ac.convert(host(name), "acn"), inputs_of(name)
    before = sum(p.numel() for p in net.parameters())
    pruned(net if whole else net.model, x)
    now = shapes(net.model)
    assert sum(p.numel() for p in net.parameters()) < 0.7 * before
    ac.save(net, tmp_path / "net")

    again = ac.load(tmp_path / "net")
    assert shapes(again.model) == now
    assert torch.equal(again(x), net(x))
    for depth, readout in enumerate(net.readouts(x)):
        assert torch.equal(ac.cut(again, depth)(x), readout)
