"""Decoder-only transformer (Radford et al., 2019) on the trunk: a causal language model."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from autocompress.bounds import Share
from autocompress.connectivity import Spec
from autocompress.errors import ShapeError
from autocompress.models.attention import Attention
from autocompress.models.parts import FeedForward, initialise
from autocompress.network import Network, register_model
from autocompress.trunk import Block, Branch, NormPlacement, Trunk

__all__ = ["Decoder", "TokenStem"]


class TokenStem(nn.Module):
    """A stem from token ids (B, N) to tokens (B, N, D): embeddings plus learned positions.

    Args:
        vocabulary: Number of different tokens.
        length: Number of positions.
        width: Token size D.
        norm: Norm of the sum; None applies none.
        dropout: Dropout rate of the output.
    """

    def __init__(
        self,
        vocabulary: int,
        length: int,
        width: int,
        norm: nn.Module | None = None,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.length = length
        self.tokens = nn.Embedding(vocabulary, width)
        self.positions = nn.Embedding(length, width)
        self.norm = nn.Identity() if norm is None else norm
        self.dropout = nn.Dropout(dropout)

    def no_weight_decay(self) -> set[str]:
        """Return the parameters without weight decay: the positions, but not the words."""
        return {"positions.weight"}

    def forward(self, ids: Tensor, first: int = 0) -> Tensor:
        """Return the tokens (B, N, D) of ids at the positions from ``first`` on."""
        room = self.length - first
        if ids.dim() != 2 or ids.dtype.is_floating_point or not 1 <= ids.shape[1] <= room:
            raise ShapeError(
                f"token ids of shape {tuple(ids.shape)} and type {ids.dtype}; this network takes "
                f"integers (batch, 1..{room})"
            )
        places = torch.arange(first, first + ids.shape[1], device=ids.device)
        return cast(Tensor, self.dropout(self.norm(self.tokens(ids) + self.positions(places))))


@register_model("decoder")
class Decoder(Network):
    """L blocks of causal self-attention and an MLP; logits of the next token at every position.

    Args:
        depth: Number of blocks L.
        width: Token size D.
        vocabulary: Number of different tokens.
        length: Largest number of tokens in a text.
        connectivity: Rule between the layers; its ``inner=1`` keeps the attention skip.
        heads: Number of attention heads; must divide the width.
        mlp_width: Hidden size of the MLP; None is 4 x width.
        norm: Placement of the norms, ``pre`` or ``post``.
        dropout: Dropout rate of each branch's output.

    Example:
        >>> import torch
        >>> net = Decoder(depth=2, width=16, vocabulary=50, length=8, heads=2)
        >>> net(torch.zeros(3, 8, dtype=torch.long)).shape
        torch.Size([3, 8, 50])
    """

    tasks = ("causal-lm",)

    def __init__(
        self,
        depth: int = 8,
        width: int = 64,
        vocabulary: int = 256,
        length: int = 128,
        connectivity: Spec = "acn",
        heads: int = 4,
        mlp_width: int | None = None,
        norm: NormPlacement = "pre",
        dropout: Share = 0.0,
    ) -> None:
        mlp_width = 4 * width if mlp_width is None else mlp_width

        def block(layer: int) -> Block:
            attention = Attention(width, heads, causal=True, layer=layer)
            mlp = FeedForward(width, mlp_width)
            return Block(
                [
                    Branch(attention, nn.LayerNorm(width), norm, dropout, takes=("cache",)),
                    Branch(mlp, nn.LayerNorm(width), norm, dropout),
                ]
            )

        super().__init__(
            stem=TokenStem(vocabulary, length, width),
            trunk=Trunk([block(layer) for layer in range(depth)], connectivity),
            head=nn.Sequential(nn.LayerNorm(width), nn.Linear(width, vocabulary)),
            settled={"mlp_width": mlp_width},
        )
        self.apply(initialise)

    def example(self, batch: int = 2) -> Tensor:
        """Return random tokens of the full length, (batch, length)."""
        shape = (batch, self.config["length"])
        return torch.randint(
            self.config["vocabulary"], shape, device=next(self.parameters()).device
        )
