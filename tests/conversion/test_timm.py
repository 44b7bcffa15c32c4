"""Surgery that lasts, in timm's own terms: names, intermediates, classifier, checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import autocompress as ac
from hosts import HOSTS, batch, host

TIMM = [name for name in HOSTS if name.startswith("timm-")]
ISOTROPIC = [n for n in TIMM if n not in ("timm-convnext", "timm-swin")]
SMALL = {"img_size": 16, "patch_size": 4, "embed_dim": 16, "depth": 4, "num_heads": 2}


def create(**options: Any) -> Any:
    import timm

    import autocompress.timm  # noqa: F401 - it registers

    return timm.create_model("acn_vit_tiny_patch16_224", **{**SMALL, "num_classes": 5, **options})


def test_registered_names() -> None:
    import timm

    from autocompress.timm import MODELS

    assert set(MODELS) <= set(timm.list_models("acn_*"))
    for name in (
        "vit_base_patch16_224",
        "mixer_b16_224",
        "convnext_tiny",
        "swin_tiny_patch4_window7_224",
    ):
        assert f"acn_{name}" in MODELS
    with torch.device("meta"):
        for name in (
            "acn_beit_base_patch16_224",
            "acn_gmlp_s16_224",
            "acn_deit3_small_patch16_224",
        ):
            assert ac.convert(timm.create_model(name), copy=False).rule() == "acn"


def test_created_by_name_it_is_a_timm_model_with_the_face_of_a_network(tmp_path: Path) -> None:
    from timm.models.vision_transformer import VisionTransformer

    torch.manual_seed(0)
    model = create(connectivity={"name": "acn", "inner": 1.0}).eval()
    assert isinstance(model, VisionTransformer)
    net = ac.convert(model)
    assert net.rule() == {"name": "acn", "inner": 1.0}
    assert net.classes == 5
    x = torch.randn(2, 3, 16, 16)
    with torch.no_grad():
        assert torch.equal(net(x), model(x))
        ac.save(ac.cut(net, 3), tmp_path / "net")
        assert torch.equal(ac.load(tmp_path / "net")(x), net(x, depth=3))


@pytest.mark.parametrize("name", TIMM)
@torch.no_grad()
def test_intermediates_agree_with_the_features(name: str) -> None:
    model = host(name)
    x = batch(model)["x"]
    plain = [] if name in ISOTROPIC else None
    for connectivity in ("residual", "acn"):
        net = ac.convert(model, connectivity)
        features, maps = net.model.forward_intermediates(x)
        torch.testing.assert_close(features, net.model.forward_features(x))
        if connectivity == "residual":
            plain = model.forward_intermediates(x)[1]
            for theirs, ours in zip(plain, maps, strict=True):
                torch.testing.assert_close(ours, theirs)


@torch.no_grad()
def test_intermediates_are_the_readouts() -> None:
    model = create().eval()
    net = ac.convert(model)
    x = torch.randn(2, 3, 16, 16)
    maps = model.forward_intermediates(x, norm=True, output_fmt="NLC", intermediates_only=True)
    for k, found in enumerate(maps, start=1):
        small = ac.cut(net, k).model
        torch.testing.assert_close(found, small.forward_features(x)[:, 1:])
    one = model.forward_intermediates(
        x, indices=[1], stop_early=True, norm=True, output_fmt="NLC", intermediates_only=True
    )
    assert torch.equal(one[0], maps[1])


def test_reset_classifier_and_prune() -> None:
    model = create().eval()
    model.reset_classifier(7)
    assert model(torch.randn(1, 3, 16, 16)).shape == (1, 7)
    assert ac.convert(model).classes == 7
    x = torch.randn(1, 3, 16, 16)
    with torch.no_grad():
        maps = model.forward_intermediates(x, indices=[1], intermediates_only=True)
        model.prune_intermediate_layers([1], prune_head=False)
        assert len(model.blocks) == 2
        again = model.forward_intermediates(x, indices=[1], intermediates_only=True)
    assert torch.equal(maps[0], again[0])


@pytest.mark.parametrize("name", ["timm-vit", "timm-mixer", "timm-swin", "timm-eva02"])
def test_gradient_checkpointing_recomputes_and_changes_nothing(name: str) -> None:
    net = ac.convert(host(name), "acn").train()
    x = batch(net.model)["x"]
    gradients = []
    for recompute in (False, True):
        net.model.set_grad_checkpointing(recompute)
        calls: list[int] = []
        norm = next(m for n, m in net.trunks[0].blocks[0].named_modules() if n.startswith("norm"))
        hook = norm.register_forward_hook(lambda *_, calls=calls: calls.append(1))
        torch.manual_seed(3)
        net.zero_grad()
        net(x).square().mean().backward()
        hook.remove()
        gradients.append([p.grad for p in net.parameters() if p.grad is not None])
        assert len(calls) == 1 + recompute
    for without, with_ in zip(*gradients, strict=True):
        torch.testing.assert_close(with_, without)


@pytest.mark.parametrize("name", TIMM)
def test_restored_is_the_class_it_was(name: str) -> None:
    model = host(name)
    again = ac.restore(ac.convert(model, "residual"))
    assert [type(m) for m in again.modules()] == [type(m) for m in model.modules()]
    with torch.no_grad():
        assert torch.equal(again(**batch(model)), model(**batch(model)))


def test_a_residual_cut_is_a_plain_timm_checkpoint(tmp_path: Path) -> None:
    import timm
    from safetensors.torch import save_file

    model = timm.create_model("vit_tiny_patch16_224", **SMALL, num_classes=5).eval()
    small = ac.cut(ac.convert(model, "residual"), 2)
    save_file(ac.restore(small).state_dict(), tmp_path / "model.safetensors")
    options = {**SMALL, "depth": 2, "num_classes": 5}
    again = timm.create_model(
        "vit_tiny_patch16_224", **options, checkpoint_path=str(tmp_path / "model.safetensors")
    ).eval()
    x = torch.randn(2, 3, 16, 16)
    with torch.no_grad():
        assert torch.equal(again(x), small(x))


def test_a_network_that_its_name_alone_does_not_build_is_saved(tmp_path: Path) -> None:
    """Heads are not seen in shapes: they are among the values that have changed."""
    import timm

    model = timm.create_model("vit_tiny_patch16_224", img_size=32, num_heads=4, depth=2)
    net = ac.convert(model).eval()
    ac.save(net, tmp_path / "object")
    x = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(ac.load(tmp_path / "object")(x), net(x))
    by_name = ac.convert(
        "timm:vit_tiny_patch16_224", arguments={"img_size": 32, "num_heads": 4, "depth": 2}
    )
    ac.save(by_name, tmp_path / "net")
