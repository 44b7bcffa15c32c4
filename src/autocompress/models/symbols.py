"""Stems for symbol sequences of fixed length, for networks that mix a fixed number of tokens.

Shapes: B batch, N tokens, V symbols, D width.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from autocompress.errors import ConfigError, ShapeError

__all__ = ["FlatSymbolStem", "SymbolStem", "check_symbols", "example_symbols"]


def check_symbols(vocabulary: int | None, length: int | None) -> bool:
    """Return whether the network takes symbols; raise ConfigError if only one size is given."""
    if (vocabulary is None) != (length is None):
        raise ConfigError(
            f"vocabulary {vocabulary} and length {length}: give both for a network of symbols, "
            "neither for one of images"
        )
    return vocabulary is not None


def example_symbols(vocabulary: int, length: int, batch: int, device: torch.device) -> Tensor:
    """Return random symbols, int64 (batch, length)."""
    return torch.randint(vocabulary, (batch, length), device=device)


def _one_hot(ids: Tensor, vocabulary: int, length: int, like: Tensor) -> Tensor:
    """Return symbols (B, N) in one-hot form, (B, N, V)."""
    if ids.dim() != 2 or ids.dtype.is_floating_point or ids.shape[1] != length:
        raise ShapeError(
            f"symbols of shape {tuple(ids.shape)} and type {ids.dtype}; this network takes "
            f"integers (batch, {length})"
        )
    return nn.functional.one_hot(ids.long(), vocabulary).to(like.dtype)


class SymbolStem(nn.Module):
    """A stem from symbols (B, N) to tokens (B, N, D): one linear map of each one-hot symbol.

    Args:
        vocabulary: Number of symbols V.
        length: Sequence length N.
        width: Token size D.
    """

    def __init__(self, vocabulary: int, length: int, width: int) -> None:
        super().__init__()
        self.vocabulary, self.tokens = vocabulary, length
        self.embed = nn.Linear(vocabulary, width)

    def forward(self, ids: Tensor) -> Tensor:
        ones = _one_hot(ids, self.vocabulary, self.tokens, self.embed.weight)
        return cast(Tensor, self.embed(ones))


class FlatSymbolStem(nn.Module):
    """A stem from symbols (B, N) to one vector each (B, D): a linear map of all one-hot symbols."""

    def __init__(self, vocabulary: int, length: int, width: int) -> None:
        super().__init__()
        self.vocabulary, self.length = vocabulary, length
        self.embed = nn.Linear(vocabulary * length, width)

    def forward(self, ids: Tensor) -> Tensor:
        ones = _one_hot(ids, self.vocabulary, self.length, self.embed.weight)
        return cast(Tensor, self.embed(ones.flatten(1)))
