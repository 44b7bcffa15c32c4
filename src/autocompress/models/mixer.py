"""MLP-Mixer (Tolstikhin et al., NeurIPS 2021) on the trunk.

The paper's CIFAR-10 network, 2,527,002 parameters:

    Mixer(depth=16, width=128, classes=10, image_size=32, patch_size=4, token_width=64,
          channel_width=512, pool="class", end_stage=True)
"""

from __future__ import annotations

from torch import Tensor, nn

from autocompress.bounds import Share
from autocompress.connectivity import Spec
from autocompress.errors import ConfigError
from autocompress.models.parts import FeedForward, PatchStem, Pool, PooledHead
from autocompress.models.symbols import SymbolStem, check_symbols, example_symbols
from autocompress.network import Network, register_model
from autocompress.trunk import Block, Branch, EndStage, NormPlacement, Trunk

__all__ = ["Mixer"]


class TokenMixing(nn.Module):
    """A feed-forward map across tokens, the same for every channel: (B, N, D) to (B, N, D)."""

    def __init__(self, tokens: int, hidden: int) -> None:
        super().__init__()
        self.mlp = FeedForward(tokens, hidden)

    def forward(self, x: Tensor) -> Tensor:
        mixed: Tensor = self.mlp(x.transpose(1, 2))
        return mixed.transpose(1, 2)


@register_model("mixer")
class Mixer(Network):
    """L blocks of token mixing and channel mixing.

    Args:
        depth: Number of blocks L.
        width: Token size D.
        classes: Number of outputs of the head.
        image_size: Side of the square images.
        patch_size: Side of the patches that become tokens; must divide image_size.
        channels: Number of image channels.
        connectivity: Rule between the layers.
        token_width: Hidden size of token mixing; None is width / 2, the paper's ratio.
        channel_width: Hidden size of channel mixing; None is 4 x width.
        pool: Input of the head: the ``mean`` of the tokens, or a ``class`` token (the authors'
            choice).
        end_stage: Whether each block ends with LN(ReLU(W h + x)), as in the authors' code
            (docs/blocks.md).
        norm: Placement of the norms, ``pre`` or ``post``.
        dropout: Dropout rate of each branch's output.
        vocabulary, length: Sizes for an input of symbols instead of images: sequences of
            ``length`` symbols 0..vocabulary - 1.

    Raises:
        ConfigError: The patches do not tile the images, or symbols are given a class token.

    Example:
        >>> Mixer(depth=12, width=64, classes=10, image_size=8, patch_size=2, channels=1).depth
        12
    """

    tasks = ("image", "sequence-classification")

    def __init__(
        self,
        depth: int = 12,
        width: int = 64,
        classes: int = 10,
        image_size: int = 8,
        patch_size: int = 2,
        channels: int = 1,
        connectivity: Spec = "acn",
        token_width: int | None = None,
        channel_width: int | None = None,
        pool: Pool = "mean",
        end_stage: bool = False,
        norm: NormPlacement = "pre",
        dropout: Share = 0.0,
        vocabulary: int | None = None,
        length: int | None = None,
    ) -> None:
        token_width = width // 2 if token_width is None else token_width
        channel_width = 4 * width if channel_width is None else channel_width
        stem: PatchStem | SymbolStem
        if check_symbols(vocabulary, length):
            if pool == "class":
                raise ConfigError("pool 'class' is for images; of symbols, pool is 'mean'")
            stem = SymbolStem(int(vocabulary or 0), int(length or 0), width)
        else:
            stem = PatchStem(image_size, patch_size, channels, width, class_token=pool == "class")

        def block() -> Block:
            bodies = [TokenMixing(stem.tokens, token_width), FeedForward(width, channel_width)]
            branches = [Branch(body, nn.LayerNorm(width), norm, dropout) for body in bodies]
            return Block(branches, EndStage(width) if end_stage else None)

        super().__init__(
            stem=stem,
            trunk=Trunk([block() for _ in range(depth)], connectivity),
            head=PooledHead(width, classes, pool),
            settled={"token_width": token_width, "channel_width": channel_width},
        )

    def example(self, batch: int = 2) -> Tensor:
        """Return noise, or random symbols, of this network's input shape."""
        if self.config["vocabulary"] is None:
            return super().example(batch)
        device = next(self.parameters()).device
        return example_symbols(self.config["vocabulary"], self.config["length"], batch, device)
