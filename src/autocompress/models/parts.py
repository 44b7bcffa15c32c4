"""Parts that the models share.

Shapes: B batch, C channels, H and W pixels, N tokens, D width, K classes.
"""

from __future__ import annotations

from typing import Literal, cast

import torch
from torch import Tensor, nn

from autocompress.errors import ConfigError, ShapeError

__all__ = ["FeedForward", "PatchStem", "Pool", "PooledHead", "check_images", "initialise"]

Pool = Literal["mean", "class"]


def check_images(x: Tensor, channels: int, image_size: int) -> None:
    """Raise ShapeError unless ``x`` is (B, channels, image_size, image_size)."""
    expected = (channels, image_size, image_size)
    if x.dim() != 4 or tuple(x.shape[1:]) != expected:
        raise ShapeError(
            f"images of shape {tuple(x.shape)}; this network takes "
            f"(batch, {channels}, {image_size}, {image_size}): data.image_size {image_size} and "
            f"data.channels {channels} convert the images of a data set"
        )


class PatchStem(nn.Module):
    """A stem from images (B, C, H, W) to tokens (B, N, D), with class token and positions if asked.

    Args:
        image_size: Side of the images, H = W.
        patch_size: Side of a patch; must divide image_size.
        channels: Number of channels C.
        width: Token size D.
        class_token: Whether to put a learned token in front.
        positions: Whether to add learned positions.
        embedding_std: Initial standard deviation of class token and positions.

    Raises:
        ConfigError: The patches do not tile the image.
    """

    def __init__(
        self,
        image_size: int,
        patch_size: int,
        channels: int,
        width: int,
        *,
        class_token: bool = False,
        positions: bool = False,
        embedding_std: float = 0.02,
    ) -> None:
        super().__init__()
        if patch_size < 1 or image_size % patch_size:
            raise ConfigError(f"patch_size {patch_size} must divide image_size {image_size}")
        self.image_size, self.channels = image_size, channels
        self.embed = nn.Conv2d(channels, width, patch_size, stride=patch_size)
        self.tokens = (image_size // patch_size) ** 2 + class_token
        self.class_token = _normal(1, 1, width, embedding_std) if class_token else None
        self.positions = _normal(1, self.tokens, width, embedding_std) if positions else None

    def no_weight_decay(self) -> set[str]:
        """Return the parameters without weight decay, as timm's networks do."""
        return {"class_token", "positions"}

    def forward(self, images: Tensor) -> Tensor:
        check_images(images, self.channels, self.image_size)
        x = self.embed(images).flatten(2).transpose(1, 2)
        if self.class_token is not None:
            x = torch.cat([self.class_token.expand(x.shape[0], -1, -1), x], dim=1)
        return cast(Tensor, x if self.positions is None else x + self.positions)


def _normal(a: int, b: int, c: int, std: float) -> nn.Parameter:
    return nn.Parameter(torch.randn(a, b, c) * std)


class PooledHead(nn.Module):
    """A head from (B, N, D) to logits (B, K): norm, class token or mean over tokens, linear map."""

    def __init__(self, width: int, classes: int, pool: Pool = "mean") -> None:
        super().__init__()
        if pool not in ("mean", "class"):
            raise ConfigError(f"pool {pool!r} is neither 'mean' nor 'class'")
        self.pool = pool
        self.norm = nn.LayerNorm(width)
        self.classifier = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        if self.pool == "class":  # the norm is per token: apply it only to the one that is read
            return cast(Tensor, self.classifier(self.norm(x[:, 0])))
        return cast(Tensor, self.classifier(self.norm(x).mean(1)))


class FeedForward(nn.Module):
    """A map D -> hidden -> D with GELU, along the last dimension.

    Args:
        width: Size D.
        hidden: Hidden size.
        dirac: Whether to add a fixed identity to both maps, y = (W + I) x (rectangular I where
            the sizes differ). The authors' ViT code has it, the paper does not mention it.
    """

    def __init__(self, width: int, hidden: int, *, dirac: bool = False) -> None:
        super().__init__()
        self.expand = nn.Linear(width, hidden)
        self.contract = nn.Linear(hidden, width)
        self.dirac = dirac

    def forward(self, x: Tensor) -> Tensor:
        h = self.expand(x)
        if self.dirac:
            h = h + _resize(x, h.shape[-1])
        h = nn.functional.gelu(h)
        y = self.contract(h)
        return y + _resize(h, y.shape[-1]) if self.dirac else cast(Tensor, y)


def _resize(x: Tensor, size: int) -> Tensor:
    """Return I x for a rectangular identity of ``size`` rows: x truncated or padded with zeros."""
    missing = size - x.shape[-1]
    return nn.functional.pad(x, (0, missing)) if missing > 0 else x[..., :size]


def initialise(module: nn.Module, std: float = 0.02) -> None:
    """Initialise weights from a truncated normal and biases with zero, as usual in transformers.

    Args:
        module: A single module, as passed by ``nn.Module.apply``.
        std: Standard deviation of a linear map's weights; embeddings use 0.02.
    """
    if isinstance(module, nn.Linear | nn.Embedding):
        nn.init.trunc_normal_(module.weight, std=std if isinstance(module, nn.Linear) else 0.02)
    if isinstance(module, nn.Linear) and module.bias is not None:
        nn.init.zeros_(module.bias)
