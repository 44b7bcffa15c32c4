"""Vision Transformer (Dosovitskiy et al., ICLR 2021) on the trunk.

ViT-B/16, 86,567,656 parameters:

    ViT(depth=12, width=768, heads=12, classes=1000, image_size=224, patch_size=16, channels=3)
"""

from __future__ import annotations

from torch import nn

from autocompress.connectivity import Spec
from autocompress.models.attention import Attention
from autocompress.models.parts import FeedForward, PatchStem, Pool, PooledHead, initialise
from autocompress.network import Network, register_model
from autocompress.trunk import Block, Branch, NormPlacement, Trunk

__all__ = ["ViT"]


@register_model("vit")
class ViT(Network):
    """L blocks of self-attention, then an MLP.

    Args:
        depth: L. width: D. classes: outputs of the head.
        image_size, patch_size, channels: square images and how they are cut into tokens.
        connectivity: rule between the layers; ``inner=1`` there keeps the attention skip.
        heads: attention heads; divides width.
        mlp_width: hidden size of the MLP; None is 4 x width.
        pool: read a ``"class"`` token or the ``"mean"`` of the tokens.
        dirac, late_scale, out_norm: the authors' in-block helpers (docs/blocks.md), see
            :class:`FeedForward` and :class:`Attention`.
        embedding_std: standard deviation of class token and positions at the start; 0.02, in the
            authors' code 1.
        norm: ``"pre"`` or ``"post"``.
        dropout: share of each branch's outputs dropped in training.

    Example:
        >>> ViT(depth=6, width=64, heads=4, image_size=8, patch_size=2, channels=1).depth
        6
    """

    def __init__(
        self,
        depth: int = 12,
        width: int = 64,
        classes: int = 10,
        image_size: int = 8,
        patch_size: int = 2,
        channels: int = 1,
        connectivity: Spec = "acn",
        heads: int = 4,
        mlp_width: int | None = None,
        pool: Pool = "class",
        dirac: bool = False,
        late_scale: bool = False,
        out_norm: bool = False,
        embedding_std: float = 0.02,
        norm: NormPlacement = "pre",
        dropout: float = 0.0,
    ) -> None:
        mlp_width = 4 * width if mlp_width is None else mlp_width
        stem = PatchStem(
            image_size,
            patch_size,
            channels,
            width,
            class_token=pool == "class",
            positions=True,
            embedding_std=embedding_std,
        )

        def block() -> Block:
            bodies = [
                Attention(width, heads, late_scale=late_scale, out_norm=out_norm),
                FeedForward(width, mlp_width, dirac=dirac),
            ]
            return Block([Branch(body, nn.LayerNorm(width), norm, dropout) for body in bodies])

        super().__init__(
            stem=stem,
            trunk=Trunk([block() for _ in range(depth)], connectivity),
            head=PooledHead(width, classes, pool),
            config={
                "depth": depth,
                "width": width,
                "classes": classes,
                "image_size": image_size,
                "patch_size": patch_size,
                "channels": channels,
                "heads": heads,
                "mlp_width": mlp_width,
                "pool": pool,
                "dirac": dirac,
                "late_scale": late_scale,
                "out_norm": out_norm,
                "embedding_std": embedding_std,
                "norm": norm,
                "dropout": dropout,
            },
        )
        self.apply(initialise)
