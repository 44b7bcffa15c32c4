"""Vision Transformer (Dosovitskiy et al., ICLR 2021) on the trunk.

ViT-B/16, 86,567,656 parameters:

    ViT(depth=12, width=768, heads=12, classes=1000, image_size=224, patch_size=16, channels=3)
"""

from __future__ import annotations

from torch import nn

from autocompress.bounds import Share, Spread
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
        depth: L, the number of blocks.
        width: D, the size of a token.
        classes: Outputs of the head.
        image_size: Side of the square images.
        patch_size: Side of the patches that become tokens; divides image_size.
        channels: Channels of the images.
        connectivity: Rule between the layers; ``inner=1`` there keeps the attention skip.
        heads: Attention heads; divides width.
        mlp_width: Hidden size of the MLP; None is 4 x width.
        pool: What the head reads: a ``class`` token, or the ``mean`` of the tokens.
        dirac: Add the identity to both maps of the MLP, the authors' helper (docs/blocks.md).
        late_scale: Scale attention after its softmax, as the authors' code does.
        out_norm: Normalise after the projection of attention, as the authors' code does.
        embedding_std: Standard deviation of class token and positions at the start; the authors'
            code has 1.
        norm: Place of the norms: ``pre`` or ``post``.
        dropout: Share of each branch's outputs dropped in training.

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
        embedding_std: Spread = 0.02,
        norm: NormPlacement = "pre",
        dropout: Share = 0.0,
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
            settled={"mlp_width": mlp_width},
        )
        self.apply(initialise)
