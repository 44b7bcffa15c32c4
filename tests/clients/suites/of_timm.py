"""timm's own model tests as a list of checks, on its names and on ours: one name per process.

timm's distribution carries no tests. The checks are those of its ``tests/test_models.py``; the
networks are small. ``ACN_SUITE`` is the name, ``vit_tiny_patch16_224`` or with ``acn_`` before it.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from timm.models import get_pretrained_cfg, is_model, list_models, load_checkpoint, save_for_hf
from torch import Tensor

import autocompress  # noqa: F401 - timm knows our names from here on

NAME = os.environ["ACN_SUITE"]
PLAIN = NAME.removeprefix("acn_")

_VIT = {"img_size": 32, "patch_size": 8, "embed_dim": 24, "depth": 4, "num_heads": 2}
_STAGES = {"depths": (1, 1, 2, 1)}
FAMILIES: dict[str, dict[str, Any]] = {
    "vit_tiny_patch16_224": _VIT,
    "deit_tiny_distilled_patch16_224": _VIT,
    "beit_base_patch16_224": _VIT,
    "eva02_tiny_patch14_336": _VIT,
    "mixer_s32_224": {"img_size": 32},
    "convnext_atto": _STAGES | {"dims": (8, 8, 16, 16)},
    "swin_tiny_patch4_window7_224": _STAGES
    | {"img_size": 32, "window_size": 2, "embed_dim": 8, "num_heads": (1, 2, 2, 2)},
}


def made(**options: Any) -> Any:
    torch.manual_seed(0)
    return timm.create_model(NAME, **FAMILIES[PLAIN], **options).eval()


def images(batch: int = 2) -> Tensor:
    torch.manual_seed(1)
    return torch.randn(batch, 3, 32, 32)


def test_is_listed() -> None:
    assert is_model(NAME)
    assert NAME in list_models()


@torch.no_grad()
def test_forward() -> None:
    out = made()(images())
    assert out.shape == (2, 1000)
    assert not out.isnan().any()


def test_backward() -> None:
    model = made(num_classes=42).train()
    model(images()).mean().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name


@torch.no_grad()
def test_default_cfg() -> None:
    model = made()
    cfg = model.default_cfg
    assert cfg["num_classes"] == model.num_classes == 1000
    assert model.num_features == model.head_hidden_size or hasattr(model, "head_hidden_size")
    names = model.state_dict().keys()
    for key in ("classifier", "first_conv"):
        found = cfg[key] if isinstance(cfg[key], (list, tuple)) else [cfg[key]]
        for one in found:
            assert f"{one}.weight" in names, one
    assert {"mean", "std", "input_size", "interpolation", "crop_pct"} <= cfg.keys()


@torch.no_grad()
def test_reset_classifier() -> None:
    model, x = made(), images()
    features = model.forward_features(x)
    model.reset_classifier(0)
    out = model(x)
    assert out.dim() == 2
    assert out.shape[1] == model.num_features
    model.reset_classifier(0, "")
    pools = "distilled" in NAME  # its head takes the mean of two tokens, whatever is asked
    assert model(x).shape == (out.shape if pools else features.shape)
    model = made(num_classes=0)
    assert model(x).shape[1] == model.num_features
    if not pools:
        model = made(num_classes=0, global_pool="")
        assert model(x).shape == features.shape


@torch.no_grad()
def test_forward_head() -> None:
    model, x = made(), images()
    features = model.forward_features(x)
    torch.testing.assert_close(model.forward_head(features), model(x))
    assert model.forward_head(features, pre_logits=True).shape == (2, model.head_hidden_size)


@torch.no_grad()
@pytest.mark.parametrize("options", [{}, {"out_indices": (0, 1)}, {"out_indices": (-2, -1)}])
def test_features_only(options: dict[str, Any]) -> None:
    model = made(features_only=True, **options)
    outputs = model(images())
    channels, reductions = model.feature_info.channels(), model.feature_info.reduction()
    assert len(channels) == len(outputs) > 0
    axis = -1 if model.output_fmt == "NHWC" else 1
    for count, reduction, out in zip(channels, reductions, outputs, strict=True):
        assert out.shape[axis] == count
        assert out.shape[2 if axis == 1 else 1] <= 32 // reduction + 2
        assert not out.isnan().any()


@torch.no_grad()
def test_forward_intermediates() -> None:
    model, x = made(), images()
    final, every = model.forward_intermediates(x)
    torch.testing.assert_close(final, model.forward_features(x))
    assert len(every) == len(model.feature_info)
    taken = model.forward_intermediates(x, indices=[0, -1], intermediates_only=True)
    assert torch.equal(taken[0], every[0])
    assert torch.equal(taken[1], every[-1])
    early = model.forward_intermediates(x, indices=[0], stop_early=True, intermediates_only=True)
    torch.testing.assert_close(early[0], every[0])


@torch.no_grad()
def test_prune_intermediate_layers() -> None:
    model, x = made(), images()
    expected = model.forward_intermediates(x, indices=[1], intermediates_only=True)
    model.prune_intermediate_layers([1])
    found = model.forward_intermediates(x, indices=[1], intermediates_only=True)
    torch.testing.assert_close(found[0], expected[0])


def test_grad_checkpointing() -> None:
    grads = []
    for on in (False, True):
        model = made(num_classes=3).train()
        model.set_grad_checkpointing(on)
        model(images()).sum().backward()
        grads.append([p.grad for p in model.parameters()])
    for one, other in zip(*grads, strict=True):
        torch.testing.assert_close(one, other)


def test_group_matcher_and_decay() -> None:
    from timm.models import group_parameters

    model = made()
    grouped = group_parameters(model, model.group_matcher(coarse=False))
    assert sum(len(names) for names in grouped.values()) == len(list(model.named_parameters()))
    known = dict(model.named_parameters())
    assert all(name in known for name in getattr(model, "no_weight_decay", set)() if name in known)


@torch.no_grad()
def test_saved_and_loaded() -> None:
    model, x = made(num_classes=5), images()
    with tempfile.TemporaryDirectory() as folder:
        save_for_hf(model, folder, safe_serialization=True)
        again = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
        assert torch.equal(again(x), model(x))
        fresh = made(num_classes=5)
        load_checkpoint(fresh, str(Path(folder) / "model.safetensors"))
        assert torch.equal(fresh(x), model(x))


@torch.no_grad()
def test_weights_are_the_plain_names() -> None:
    plain = timm.create_model(PLAIN, **FAMILIES[PLAIN])
    made().load_state_dict(plain.state_dict())
    theirs, ours = (get_pretrained_cfg(name).to_dict() for name in (PLAIN, NAME))
    for cfg in (theirs, ours):
        cfg.pop("architecture")
    assert ours == theirs


@pytest.mark.filterwarnings("ignore")
@torch.no_grad()
def test_traced_and_scripted() -> None:
    """Scripted where timm scripts it; ours is refused, and traced in its place."""
    model, x = made(), images()
    torch.testing.assert_close(torch.jit.trace(model, x)(x), model(x))
    torch.jit.script(model)


@torch.no_grad()
def test_compiled_whole() -> None:
    model, x = made(), images()
    torch.testing.assert_close(torch.compile(model, fullgraph=True, backend="eager")(x), model(x))
    torch.testing.assert_close(torch.export.export(model, (x,)).module()(x), model(x))


@torch.no_grad()
def test_layers_of_a_list() -> None:
    model, x = made(), images()
    lists = [m for m in model.modules() if isinstance(getattr(m, "blocks", None), torch.nn.Module)]
    blocks = lists[0].blocks
    expected = model(x)
    blocks[0] = blocks[0]
    assert torch.equal(model(x), expected)
    assert len(blocks[:1]) == 1
