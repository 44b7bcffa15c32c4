"""A multilayer perceptron on flattened images: the smallest network of the library."""

from __future__ import annotations

from torch import Tensor, nn

from autocompress.bounds import Share
from autocompress.connectivity import Spec
from autocompress.models.parts import check_images
from autocompress.models.symbols import FlatSymbolStem, check_symbols, example_symbols
from autocompress.network import Network, register_model
from autocompress.trunk import Block, Branch, NormPlacement, Trunk

__all__ = ["MLP"]


class _FlatStem(nn.Module):
    """A stem from images (B, C, H, W) to one vector each (B, D)."""

    def __init__(self, image_size: int, channels: int, width: int) -> None:
        super().__init__()
        self.image_size, self.channels = image_size, channels
        self.embed = nn.Linear(channels * image_size**2, width)

    def forward(self, images: Tensor) -> Tensor:
        check_images(images, self.channels, self.image_size)
        out: Tensor = self.embed(images.flatten(1))
        return out


@register_model("mlp")
class MLP(Network):
    """L blocks of norm -> linear -> GELU (pre-norm) on a vector of size ``width``.

    Args:
        depth: Number of blocks L.
        width: Size D of the vector.
        classes: Number of outputs of the head.
        image_size: Side of the square images.
        channels: Number of image channels.
        connectivity: Rule between the layers.
        norm: Placement of the norms, ``pre`` or ``post``.
        dropout: Dropout rate of each branch's output.
        vocabulary, length: Sizes for an input of symbols instead of images: sequences of
            ``length`` symbols 0..vocabulary - 1.

    Example:
        >>> MLP(depth=4, width=32, classes=10, image_size=8, channels=1).depth
        4
    """

    tasks = ("image", "sequence-classification")

    def __init__(
        self,
        depth: int = 8,
        width: int = 128,
        classes: int = 10,
        image_size: int = 8,
        channels: int = 1,
        connectivity: Spec = "acn",
        norm: NormPlacement = "pre",
        dropout: Share = 0.0,
        vocabulary: int | None = None,
        length: int | None = None,
    ) -> None:
        blocks = [
            Block(
                [
                    Branch(
                        nn.Sequential(nn.Linear(width, width), nn.GELU()),
                        nn.LayerNorm(width),
                        norm,
                        dropout,
                    )
                ]
            )
            for _ in range(depth)
        ]
        stem: nn.Module  # built after the blocks, so that a seed draws the same weights as ever
        if check_symbols(vocabulary, length):
            stem = FlatSymbolStem(int(vocabulary or 0), int(length or 0), width)
        else:
            stem = _FlatStem(image_size, channels, width)
        super().__init__(
            stem=stem,
            trunk=Trunk(blocks, connectivity),
            head=nn.Sequential(nn.LayerNorm(width), nn.Linear(width, classes)),
        )

    def example(self, batch: int = 2) -> Tensor:
        """Return noise, or random symbols, of this network's input shape."""
        if self.config["vocabulary"] is None:
            return super().example(batch)
        device = next(self.parameters()).device
        return example_symbols(self.config["vocabulary"], self.config["length"], batch, device)
