"""Encoder-only transformer (Devlin et al., 2019) on the trunk.

It is pretrained on masked words and then fine-tuned to classify texts. BERT-base, except for its
two token types, has 109,512,762 parameters:

    Encoder(depth=12, width=768, vocabulary=30522, length=512, heads=12, connectivity="residual")
"""

from __future__ import annotations

from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn
from typing_extensions import Self

from autocompress.bounds import Share, Spread
from autocompress.connectivity import Spec
from autocompress.errors import ConfigError
from autocompress.models.attention import Attention
from autocompress.models.decoder import TokenStem
from autocompress.models.parts import FeedForward, initialise
from autocompress.network import Network, register_model
from autocompress.trunk import Block, Branch, NormPlacement, Trunk

__all__ = ["Encoder"]


class MaskedHead(nn.Module):
    """A head from a readout (B, N, D) to logits of every word, (B, N, V), as in BERT.

    Args:
        width: Token size D.
        words: Matrix (V, D) whose rows give the logits as dot products.
        norm: Norm of the readout; an identity after post-norm layers, which normalise it already.
    """

    def __init__(self, width: int, words: Tensor, norm: nn.Module) -> None:
        super().__init__()
        self.norm = norm
        self.transform = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.LayerNorm(width))
        self.words = words
        self.bias = nn.Parameter(torch.zeros(len(words)))

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.linear(self.transform(self.norm(x)), self.words, self.bias)


class FirstTokenHead(nn.Module):
    """A head from (B, N, D) to logits (B, K): the first token through a tanh layer, as in BERT."""

    def __init__(self, width: int, classes: int, norm: nn.Module, dropout: float) -> None:
        super().__init__()
        self.norm = norm
        self.pool = nn.Sequential(nn.Linear(width, width), nn.Tanh(), nn.Dropout(dropout))
        self.classifier = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.classifier(self.pool(self.norm(x[:, 0]))))


class TokenHead(nn.Module):
    """A head from a readout (B, N, D) to logits of every token, (B, N, K)."""

    def __init__(self, width: int, classes: int, norm: nn.Module, dropout: float) -> None:
        super().__init__()
        self.norm = norm
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.classifier(self.dropout(self.norm(x))))


@register_model("encoder")
class Encoder(Network):
    """L blocks of self-attention and an MLP, in which no token attends to padding.

    With the norm after each branch, as in BERT, the norm remains when the skip before it is
    removed, and the sum that the head reads has no norm of its own (paper, section 3).

    Args:
        depth: Number of blocks L.
        width: Token size D.
        vocabulary: Number of different tokens V.
        length: Largest number of tokens in a text.
        classes: Number of classes K of texts (or tokens); None predicts the masked words.
        per_token: Whether the classes are those of each token rather than of the text.
        connectivity: Rule between the layers; its ``inner=1`` keeps the attention skip.
        heads: Number of attention heads; must divide the width.
        mlp_width: Hidden size of the MLP; None is 4 x width.
        norm: Placement of the norms, ``post`` or ``pre``.
        tied: Whether the masked head uses the matrix of the embeddings.
        pad: Index of the padding token.
        dropout: Dropout rate of the embeddings and of each branch's output.
        weight_std: Initial standard deviation of the linear maps' weights. BERT's 0.02 suits wide
            networks; a narrow one passes little on through its layers with it, and learns faster
            from about 1 / sqrt(width).

    Raises:
        ConfigError: The padding token is outside the vocabulary, or ``per_token`` lacks classes.

    Example:
        >>> import torch
        >>> net = Encoder(depth=2, width=16, vocabulary=50, length=8, heads=2)
        >>> ids = torch.tensor([[2, 7, 8, 3, 0, 0]])
        >>> net(ids).shape, net.classifier(3)(ids).shape
        (torch.Size([1, 6, 50]), torch.Size([1, 3]))
    """

    tasks = (
        "masked-lm",
        "text-classification",
        "sequence-classification",
        "token-classification",
    )

    def __init__(
        self,
        depth: int = 12,
        width: int = 128,
        vocabulary: int = 8192,
        length: int = 128,
        classes: int | None = None,
        connectivity: Spec = "acn",
        heads: int = 4,
        mlp_width: int | None = None,
        norm: NormPlacement = "post",
        tied: bool = True,
        pad: int = 0,
        dropout: Share = 0.0,
        weight_std: Spread = 0.02,
        per_token: bool = False,
    ) -> None:
        if not 0 <= pad < vocabulary:
            raise ConfigError(f"pad {pad} is not a token of a vocabulary of {vocabulary}")
        if per_token and classes is None:
            raise ConfigError("per_token classifies each token: set classes")
        mlp_width = 4 * width if mlp_width is None else mlp_width
        stem = TokenStem(vocabulary, length, width, nn.LayerNorm(width), dropout)

        def block() -> Block:
            attention, mlp = Attention(width, heads), FeedForward(width, mlp_width)
            return Block(
                [
                    Branch(attention, nn.LayerNorm(width), norm, dropout, takes=("mask",)),
                    Branch(mlp, nn.LayerNorm(width), norm, dropout),
                ]
            )

        last = nn.LayerNorm(width) if norm == "pre" else nn.Identity()
        words = stem.tokens.weight
        if not tied:
            words = nn.Parameter(torch.empty(vocabulary, width).normal_(std=0.02))
        head: nn.Module
        if classes is None:
            head = MaskedHead(width, words, last)
        else:
            head = (TokenHead if per_token else FirstTokenHead)(width, classes, last, dropout)
        super().__init__(
            stem=stem,
            trunk=Trunk([block() for _ in range(depth)], connectivity),
            head=head,
            settled={"mlp_width": mlp_width},
        )
        self.apply(partial(initialise, std=weight_std))

    def context(self, x: Tensor) -> dict[str, Any]:
        """Return which tokens may be attended to: all but padding, and always the first."""
        real = self.counted(x)
        first = torch.arange(x.shape[1], device=x.device) == 0
        return {"mask": (real | first)[:, None, None]}

    def classifier(self, classes: int) -> Self:
        """Return a copy of this network with a new head for texts of ``classes`` classes.

        Raises:
            ConfigError: The network is a classifier already.
        """
        if self.classes is not None:
            raise ConfigError(f"this network classifies already, {self.classes} classes")
        new = type(self)(**self.config | {"classes": classes})
        for part in ("stem", "trunk"):
            getattr(new, part).load_state_dict(getattr(self, part).state_dict())
        new.preprocess, new.tokenizer = self.preprocess, self.tokenizer
        return new.to(next(self.parameters()).device).train(self.training)

    def counted(self, x: Tensor) -> Tensor:
        return cast(Tensor, x != self.config["pad"])

    def example(self, batch: int = 2) -> Tensor:
        """Return random tokens of the full length without padding, (batch, length)."""
        device, pad = next(self.parameters()).device, int(self.config["pad"])
        shape = (batch, self.config["length"])
        ids = torch.randint(self.config["vocabulary"] - 1, shape, device=device)
        return ids + (ids >= pad)
