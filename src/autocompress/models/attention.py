"""Self-attention of the reference networks."""

from __future__ import annotations

from typing import Protocol, cast

import torch
from torch import Tensor, nn

from autocompress.errors import ConfigError

__all__ = ["Attention", "Cache"]


class Cache(Protocol):
    """The keys and values of all earlier tokens, (B, H, N, D / H) per layer."""

    def extend(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Append the keys and values of further tokens and return all of them."""


class Attention(nn.Module):
    """Multi-head self-attention, (B, N, D) to (B, N, D).

    Args:
        width: Token size D.
        heads: Number of heads H; must divide D.
        late_scale: Whether to compute softmax(q k) / sqrt(d) instead of softmax(q k / sqrt(d)), as
            in the authors' code.
        out_norm: Whether to add a layer norm after the projection, as in the authors' code.
        causal: Whether a token attends only to itself and earlier tokens.
        layer: Index of this layer's keys and values in a cache (causal attention only).

    Raises:
        ConfigError: The number of heads does not divide the width.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        *,
        late_scale: bool = False,
        out_norm: bool = False,
        causal: bool = False,
        layer: int = 0,
    ) -> None:
        super().__init__()
        if heads < 1 or width % heads:
            raise ConfigError(f"heads {heads} must divide width {width}")
        self.heads, self.late_scale, self.causal = heads, late_scale, causal
        self.layer = layer
        self.qkv = nn.Linear(width, 3 * width)
        self.project = nn.Linear(width, width)
        self.norm = nn.LayerNorm(width) if out_norm else nn.Identity()

    def forward(self, x: Tensor, cache: Cache | None = None, mask: Tensor | None = None) -> Tensor:
        """Attend over ``x``, and over the tokens in ``cache``, to which those of ``x`` are added.

        ``mask`` is True where a token may attend to another: bool, (B or 1, 1, N or 1, N).
        """
        B, N, D = x.shape
        size = D // self.heads
        q, k, v = self.qkv(x).reshape(B, N, 3, self.heads, size).permute(2, 0, 3, 1, 4)
        scale = 1.0 if self.late_scale else size**-0.5
        if cache is not None:
            k, v = cache.extend(self.layer, k, v)
            mask = torch.ones(N, k.shape[2], dtype=torch.bool, device=x.device)
            mask = mask.tril(k.shape[2] - N)
        mixed = nn.functional.scaled_dot_product_attention(
            q, k, v, mask, is_causal=self.causal and mask is None, scale=scale
        )
        if self.late_scale:
            mixed = mixed * size**-0.5
        return cast(Tensor, self.norm(self.project(mixed.transpose(1, 2).reshape(B, N, D))))
