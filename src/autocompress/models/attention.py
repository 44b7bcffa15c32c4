"""Self-attention of our own models."""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn

from autocompress.errors import ConfigError

__all__ = ["Attention"]


class Attention(nn.Module):
    """Multi-head self-attention, (B, N, D) to (B, N, D).

    Args:
        width: D. heads: number of heads; divides D.
        late_scale: softmax(q k) / sqrt(d) instead of softmax(q k / sqrt(d)), as in the authors'
            code.
        out_norm: layer norm after the projection, as in the authors' code.
        causal: a token attends to itself and those before it only.

    Raises:
        ConfigError: heads that do not divide the width.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        *,
        late_scale: bool = False,
        out_norm: bool = False,
        causal: bool = False,
    ) -> None:
        super().__init__()
        if heads < 1 or width % heads:
            raise ConfigError(f"heads {heads} does not divide width {width}; it must")
        self.heads, self.late_scale, self.causal = heads, late_scale, causal
        self.qkv = nn.Linear(width, 3 * width)
        self.project = nn.Linear(width, width)
        self.norm = nn.LayerNorm(width) if out_norm else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        B, N, D = x.shape
        size = D // self.heads
        q, k, v = self.qkv(x).reshape(B, N, 3, self.heads, size).permute(2, 0, 3, 1, 4)
        scale = 1.0 if self.late_scale else size**-0.5
        mixed = nn.functional.scaled_dot_product_attention(
            q, k, v, is_causal=self.causal, scale=scale
        )
        if self.late_scale:
            mixed = mixed * size**-0.5
        return cast(Tensor, self.norm(self.project(mixed.transpose(1, 2).reshape(B, N, D))))
