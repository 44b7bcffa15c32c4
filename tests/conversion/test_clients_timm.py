"""What timm and its clients do with a converted network, one model for each registered layer."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import timm
import torch

import autocompress as ac
import autocompress.timm
from autocompress.conversion.layers import layer_kinds
from autocompress.errors import ConfigError, ConvertError
from marks import slow_but

SIZE = {"img_size": 16, "patch_size": 4, "embed_dim": 16, "depth": 3, "num_heads": 2}
STAGES = {"depths": (1, 3, 1, 1)}

#: A model for each registered layer class, by name and arguments.
MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "vision_transformer:Block": ("vit_tiny_patch16_224", SIZE | {"init_values": 0.5}),
    "deit distilled": ("deit_tiny_distilled_patch16_224", SIZE),
    "beit:Block": ("beit_base_patch16_224", SIZE),
    "eva:EvaBlock": ("eva02_tiny_patch14_224", SIZE),
    "eva:EvaBlockPostNorm": ("eva02_tiny_patch14_224", SIZE | {"use_post_norm": True}),
    "mlp_mixer:MixerBlock": ("mixer_s32_224", {"img_size": 32}),
    "mlp_mixer:ResBlock": ("resmlp_12_224", {"img_size": 32}),
    "mlp_mixer:SpatialGatingBlock": ("gmlp_ti16_224", {"img_size": 32}),
    "convmixer": ("convmixer_768_32", {}),
    "convnext:ConvNeXtBlock": ("convnext_atto", STAGES | {"dims": (8, 8, 16, 16)}),
    "swin_transformer:SwinTransformerBlock": (
        "swin_tiny_patch4_window7_224",
        STAGES | {"img_size": 32, "window_size": 2, "embed_dim": 8, "num_heads": (1, 2, 2, 2)},
    ),
}

#: The small ones, one of each kind.
FEW = ["vision_transformer:Block", "eva:EvaBlock", "convnext:ConvNeXtBlock"]

every_model = pytest.mark.parametrize("key", slow_but(MODELS, FEW))


def create(key: str, ours: bool = True, **options: Any) -> Any:
    name, arguments = MODELS[key]
    torch.manual_seed(0)
    arguments = arguments | {"num_classes": 5} | options
    return timm.create_model(("acn_" if ours else "") + name, **arguments).eval()


def drawn(model: Any) -> Any:
    """The model with all its weights drawn: timm starts some heads and scales at 0."""
    torch.manual_seed(2)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return model


def batch(key: str) -> torch.Tensor:
    torch.manual_seed(1)
    side = MODELS[key][1].get("img_size", 32)
    return torch.randn(2, 3, side, side)


def test_the_table_has_every_registered_layer() -> None:
    known = {n.removeprefix("timm.models.") for n in layer_kinds() if n.startswith("timm.models.")}
    assert known <= set(MODELS)


@every_model
def test_the_same_seed_draws_the_same_weights(key: str) -> None:
    expected, found = (create(key, ours).state_dict() for ours in (False, True))
    assert expected.keys() == found.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())


@every_model
@torch.no_grad()
def test_timms_own_writer_and_loader(key: str, tmp_path: Path) -> None:
    """A cut network with gates of its own, written by timm, is the same when timm loads it."""
    x, plain = batch(key), drawn(create(key, ours=False))
    gates = {"name": "plane", "short": 0.5, "long": 0.7, "gates": "learned"}
    net = ac.convert(plain, gates)
    for parameter in (t.connectivity.gates.short for t in net.trunks):
        parameter.add_(0.1)  # as training would
    small = ac.cut(net, min(4, net.depth - 1))
    assert not torch.allclose(small(x), plain(x))
    models = {"small": small.model}
    if "depth" in MODELS[key][1]:  # the others cannot be made small, and are written only once
        models |= {"net": net.model, "plain": ac.convert(plain, "residual").model}
    for index, model in models.items():
        folder = tmp_path / index
        timm.models.save_for_hf(model, str(folder), safe_serialization=True)
        config = json.loads((folder / "config.json").read_text())
        assert config["architecture"] == "acn_" + MODELS[key][0]
        again = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
        assert torch.equal(again(x), model(x))
        assert torch.equal(again(x), plain(x)) == (index == "plain")
        (folder / "model.safetensors").unlink()


@torch.no_grad()
def test_a_loaded_network_is_saved_again(tmp_path: Path) -> None:
    """What timm keeps of a model's arguments goes through two rounds and a new classifier."""
    x = batch("vision_transformer:Block")
    model = ac.cut(ac.convert(create("vision_transformer:Block")), 2).model
    model.reset_classifier(4)
    for round_ in ("first", "second"):
        timm.models.save_for_hf(model, str(tmp_path / round_), safe_serialization=True)
        again = timm.create_model(f"local-dir:{tmp_path / round_}", pretrained=True).eval()
        assert torch.equal(again(x), model(x))
        assert ac.convert(again).rule() == "acn"
        assert len(again.blocks) == 2
        model = again
    ac.save(ac.convert(model), tmp_path / "ours")
    assert torch.equal(ac.load(tmp_path / "ours")(x), model(x))


def test_a_folder_without_its_rule_is_not_loaded_by_another(tmp_path: Path) -> None:
    """An older timm writes no arguments of the model."""
    net = ac.convert(create("vision_transformer:Block", ours=False), "hacn")
    timm.models.save_for_hf(net.model, str(tmp_path), safe_serialization=True)
    config = json.loads((tmp_path / "config.json").read_text())
    del config["model_args"]["connectivity"]
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ConfigError, match="does not say its connectivity"):
        timm.create_model(f"local-dir:{tmp_path}", pretrained=True)
    again = timm.create_model(f"local-dir:{tmp_path}", pretrained=True, connectivity="hacn")
    x = batch("vision_transformer:Block")
    assert torch.equal(again.eval()(x), net.model(x))


def test_branches_of_a_users_own_are_not_loaded_as_timms(tmp_path: Path) -> None:
    def outer(b: Any, x: torch.Tensor, skip: Any) -> torch.Tensor:
        h = x + b.drop_path1(b.ls1(b.attn(b.norm1(x))))  # the attention's skip stays
        return ac.add_skip(b.drop_path2(b.ls2(b.mlp(b.norm2(h)))), h, skip)

    net = ac.convert(create("vision_transformer:Block", ours=False), "acn", branches=outer)
    timm.models.save_for_hf(net.model, str(tmp_path), safe_serialization=True)
    with pytest.raises(ConfigError, match="branches= of its owner"):
        timm.create_model(f"local-dir:{tmp_path}", pretrained=True)


@pytest.mark.parametrize(
    "key",
    [k for k in MODELS if k not in ("convmixer", "mlp_mixer:MixerBlock", "mlp_mixer:ResBlock")],
)
@torch.no_grad()
def test_features_only(key: str) -> None:
    """Residual features are the plain network's; others are not."""
    x, options = batch(key), {"features_only": True, "num_classes": 0}
    expected = drawn(create(key, ours=False, **options))(x)
    found = drawn(create(key, connectivity="residual", **options))
    for theirs, ours in zip(expected, found(x), strict=True):
        torch.testing.assert_close(ours, theirs)
    other = drawn(create(key, connectivity="acn", **options))(x)
    assert not torch.allclose(other[-1], expected[-1])


@pytest.mark.parametrize(
    "key", ["vision_transformer:Block", "swin_transformer:SwinTransformerBlock"]
)
def test_weights_and_preprocessing_are_those_of_the_plain_name(key: str) -> None:
    name = MODELS[key][0]
    theirs, ours = (timm.get_pretrained_cfg(prefix + name).to_dict() for prefix in ("", "acn_"))
    assert ours.pop("architecture") == "acn_" + theirs.pop("architecture")
    assert ours == theirs
    assert f"acn_{name}.{ours['tag']}" in timm.list_pretrained("acn_*")
    model, plain = create(key), create(key, ours=False)
    assert timm.data.resolve_data_config({}, model=model) == timm.data.resolve_data_config(
        {}, model=plain
    )


@pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")
def test_scripting_is_refused_in_one_sentence() -> None:
    with pytest.raises(ConvertError, match=r"use torch\.compile"):
        torch.jit.script(create("vision_transformer:Block"))


def test_layers_can_be_exchanged_for_their_kind_only() -> None:
    model, other = create("vision_transformer:Block"), create("vision_transformer:Block")
    x = batch("vision_transformer:Block")
    expected = model(x)
    model.blocks[0] = copy.deepcopy(other.blocks[0])
    assert torch.equal(model(x), expected)
    plain = create("vision_transformer:Block", ours=False)
    with torch.no_grad():
        plain.blocks[1].mlp.fc2.weight.zero_()
    first, last = model.blocks[0], model.blocks[2]
    model.blocks[0], model.blocks[2] = last, first  # they change places, and back
    assert not torch.equal(model(x), expected)
    model.blocks[0], model.blocks[2] = first, last
    assert torch.equal(model(x), expected)
    model.blocks[-2] = plain.blocks[1]
    assert not torch.equal(model(x), expected)
    with pytest.raises(ConfigError, match="Identity"):
        model.blocks[0] = torch.nn.Identity()
    with pytest.raises(ConfigError, match=r"\[:k\]"):
        model.blocks[1:]
    with pytest.raises(ConfigError, match=r"\[:k\]"):
        del model.blocks[0]
