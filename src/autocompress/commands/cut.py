"""``acn cut``: save the first blocks of a network."""

from __future__ import annotations

from dataclasses import dataclass

from autocompress.commands.common import Answer, Common, model, target
from autocompress.commands.own import network
from autocompress.depth.cutting import cut
from autocompress.errors import ConfigError
from autocompress.io.saving import save

__all__ = ["Options", "run"]


@dataclass(frozen=True, kw_only=True)
class Options(Common):
    """Options of ``acn cut``.

    Args:
        depth: Number of blocks to keep, the first ones.
        layers: The blocks to keep instead, counted from 0 in ascending order, e.g. '[0, 2, 4]';
            only of a residual network.
        output: Folder for the smaller network; the next free runs/cut-N unless given.
        import_: Your own class of the network, package.module:Class, or only a module
            that registers its parts.
    """

    model: str = model()
    depth: int | None = None
    layers: tuple[int, ...] | None = None
    output: str | None = None
    import_: str | None = None


def run(args: Options) -> Answer:
    """Save the network of the first ``depth`` blocks, or of the named ones."""
    keep = args.depth if args.layers is None else args.layers
    if keep is None or None not in (args.depth, args.layers):
        raise ConfigError("choose the blocks to keep: --depth 4, or --layers '[0, 2, 4]'")
    net = network(args.model, args.import_)
    small = cut(net, keep)
    folder = target(args.output, "cut")
    save(small, folder)
    found = {"output": str(folder), "depth": small.depth, "of": net.depth}
    return Answer(f"cut from {net.depth} blocks to {small.depth}: {folder}", found)
