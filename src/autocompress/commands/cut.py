"""``acn cut``: save the first blocks of a network."""

from __future__ import annotations

from dataclasses import dataclass

from autocompress.commands.own import network
from autocompress.commands.positional import model
from autocompress.depth.cutting import cut
from autocompress.io.saving import save

__all__ = ["Options", "run"]


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of ``acn cut``.

    Args:
        depth: Number of blocks to keep.
        output: Folder for the smaller network.
        import_: Class of the user, package.module:Class, for a network of it; or only a module
            that registers what the network is made of.
    """

    model: str = model()
    depth: int
    output: str
    import_: str | None = None


def run(args: Options) -> None:
    """Save the network of the first ``depth`` blocks."""
    net = network(args.model, args.import_)
    small = cut(net, args.depth)
    save(small, args.output)
    print(f"cut from {net.depth} blocks to {small.depth}: {args.output}")
