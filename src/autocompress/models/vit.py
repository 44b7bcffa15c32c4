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
    """L blocks of self-attention and an MLP.

    Args:
        depth: Number of blocks L.
        width: Token size D.
        classes: Number of outputs of the head.
        image_size: Side of the square images.
        patch_size: Side of the patches that become tokens; must divide image_size.
        channels: Number of image channels.
        connectivity: Rule between the layers; its ``inner=1`` keeps the attention skip.
        heads: Number of attention heads; must divide the width.
        mlp_width: Hidden size of the MLP; None is 4 x width.
        pool: Input of the head: a ``class`` token, or the ``mean`` of the tokens.
        dirac: Whether to add the identity to both maps of the MLP, as in the authors' code
            (docs/blocks.md).
        late_scale: Whether to scale attention after its softmax, as in the authors' code.
        out_norm: Whether to normalise after attention's projection, as in the authors' code.
        embedding_std: Initial standard deviation of class token and positions; the authors' code
            uses 1.
        norm: Placement of the norms, ``pre`` or ``post``.
        dropout: Dropout rate of each branch's output.

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
