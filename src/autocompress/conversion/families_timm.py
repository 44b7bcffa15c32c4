"""The branches of timm's layers. No model module is imported: layers bring their own submodules."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from autocompress.connectivity import Gate
from autocompress.conversion.layers import BranchCall, layer_name, register_layer
from autocompress.trunk import add_skip

__all__: list[str] = []


def _scaled(gamma: Tensor | None, x: Tensor) -> Tensor:
    return x if gamma is None else gamma * x


def _projects(b: Any, _: nn.Module) -> str | None:
    if type(b.shortcut).__name__ == "Identity":
        return None
    return "its shortcut changes the shape, so there is no skip to take away"


@register_layer(
    "timm.models.vision_transformer:Block",
    models=["ViT, DeiT, DeiT-3, DINOv2"],
)
def _vision_transformer() -> Sequence[BranchCall]:
    def attention(b: Any, x: Tensor, skip: Gate, **masks: Any) -> Tensor:
        return add_skip(b.drop_path1(b.ls1(b.attn(b.norm1(x), **masks))), x, skip)

    def mlp(b: Any, x: Tensor, skip: Gate, **_: Any) -> Tensor:
        return add_skip(b.drop_path2(b.ls2(b.mlp(b.norm2(x)))), x, skip)

    return attention, mlp


@register_layer(
    "timm.models.beit:Block",
    "timm.models.eva:EvaBlock",
    models=["BEiT, BEiT v2", "EVA, EVA-02"],
)
def _beit() -> Sequence[BranchCall]:
    def attention(b: Any, x: Tensor, skip: Gate, **kw: Any) -> Tensor:
        return add_skip(b.drop_path1(_scaled(b.gamma_1, b.attn(b.norm1(x), **kw))), x, skip)

    def mlp(b: Any, x: Tensor, skip: Gate, **_: Any) -> Tensor:
        return add_skip(b.drop_path2(_scaled(b.gamma_2, b.mlp(b.norm2(x)))), x, skip)

    return attention, mlp


@register_layer("timm.models.eva:EvaBlockPostNorm", models=["EVA with norms after"])
def _eva_post_norm() -> Sequence[BranchCall]:
    def attention(b: Any, x: Tensor, skip: Gate, **rope: Any) -> Tensor:
        return add_skip(b.drop_path1(b.norm1(b.attn(x, **rope))), x, skip)

    def mlp(b: Any, x: Tensor, skip: Gate, **_: Any) -> Tensor:
        return add_skip(b.drop_path2(b.norm2(b.mlp(x))), x, skip)

    return attention, mlp


@register_layer("timm.models.mlp_mixer:MixerBlock", models=["MLP-Mixer"])
def _mixer() -> Sequence[BranchCall]:
    def tokens(b: Any, x: Tensor, skip: Gate) -> Tensor:
        mixed = b.mlp_tokens(b.norm1(x).transpose(1, 2)).transpose(1, 2)
        return add_skip(b.drop_path(mixed), x, skip)

    def channels(b: Any, x: Tensor, skip: Gate) -> Tensor:
        return add_skip(b.drop_path(b.mlp_channels(b.norm2(x))), x, skip)

    return tokens, channels


@register_layer("timm.models.mlp_mixer:ResBlock", models=["ResMLP"])
def _resmlp() -> Sequence[BranchCall]:
    def tokens(b: Any, x: Tensor, skip: Gate) -> Tensor:
        mixed = b.linear_tokens(b.norm1(x).transpose(1, 2)).transpose(1, 2)
        return add_skip(b.drop_path(b.ls1 * mixed), x, skip)

    def channels(b: Any, x: Tensor, skip: Gate) -> Tensor:
        return add_skip(b.drop_path(b.ls2 * b.mlp_channels(b.norm2(x))), x, skip)

    return tokens, channels


@register_layer("timm.models.mlp_mixer:SpatialGatingBlock", models=["gMLP"])
def _gmlp() -> Sequence[BranchCall]:
    def gating(b: Any, x: Tensor, skip: Gate) -> Tensor:
        return add_skip(b.drop_path(b.mlp_channels(b.norm(x))), x, skip)

    return (gating,)


def _is_convmixer(layer: Any) -> bool:
    first = next(layer.children(), None)
    return layer_name(type(first)) == "timm.models.convmixer:Residual"


@register_layer(
    "torch.nn.modules.container:Sequential", models=["ConvMixer"], matches=_is_convmixer
)
def _convmixer() -> Sequence[BranchCall]:
    def block(b: Any, x: Tensor, skip: Gate) -> Tensor:
        """Run a depthwise branch with its skip, then the pointwise part."""
        residual, *rest = b._modules.values()
        x = add_skip(residual.fn(x), x, skip)
        for module in rest:
            x = module(x)
        return x

    return (block,)


@register_layer(
    "timm.models.convnext:ConvNeXtBlock",
    models=["ConvNeXt, ConvNeXt V2 (per stage)"],
    refuse=_projects,
)
def _convnext() -> Sequence[BranchCall]:
    def block(b: Any, x: Tensor, skip: Gate) -> Tensor:
        h = b.conv_dw(x)
        if b.use_conv_mlp:
            h = b.mlp(b.norm(h))
        else:
            h = b.mlp(b.norm(h.permute(0, 2, 3, 1))).permute(0, 3, 1, 2)
        if b.gamma is not None:
            h = h.mul(b.gamma.reshape(1, -1, 1, 1))
        return add_skip(b.drop_path(h), x, skip)

    return (block,)


@register_layer(
    "timm.models.swin_transformer:SwinTransformerBlock", models=["Swin Transformer (per stage)"]
)
def _swin() -> Sequence[BranchCall]:
    def attention(b: Any, x: Tensor, skip: Gate) -> Tensor:
        return add_skip(b.drop_path1(b._attn(b.norm1(x))), x, skip)

    def mlp(b: Any, x: Tensor, skip: Gate) -> Tensor:
        tokens = x.flatten(1, 2)
        return add_skip(b.drop_path2(b.mlp(b.norm2(tokens))), tokens, skip).reshape(x.shape)

    return attention, mlp
