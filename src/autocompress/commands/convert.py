"""``acn convert``: make a network of another library auto-compressing."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from autocompress.commands.shared import place
from autocompress.conversion import convert
from autocompress.io import save

__all__ = ["Options", "run"]


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of ``acn convert``.

    Args:
        arguments: arguments of the source's constructor.
        blocks: path of its list of layers, if it has several.
        connectivity: acn, residual, hacn, ...
        output: folder for the network.
    """

    source: str = place("timm:NAME, hf:TYPE, hf:CLASS or hf:CHECKPOINT")
    arguments: dict[str, Any] = field(default_factory=dict)
    blocks: str | None = None
    connectivity: str = "acn"
    output: str


def run(args: Options) -> None:
    """Convert the source and save it."""
    net = convert(args.source, args.connectivity, blocks=args.blocks, arguments=args.arguments)
    save(net, args.output)
    print(f"converted: {args.output}, {net.depth} layers, connectivity {args.connectivity}")
