"""``acn cut``: save the first blocks of a network."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from autocompress.commands.positional import model
from autocompress.depth.cutting import cut
from autocompress.io.saving import save
from autocompress.pipeline.saved import load_network

__all__ = ["Options", "run"]


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of ``acn cut``.

    Args:
        depth: Number of blocks to keep.
        output: Folder for the smaller network.
    """

    model: str = model()
    depth: int
    output: str


def run(args: Options) -> None:
    """Save the network of the first ``depth`` blocks."""
    net = load_network(Path(args.model))
    small = cut(net, args.depth)
    save(small, args.output)
    print(f"cut from {net.depth} blocks to {small.depth}: {args.output}")
