"""``acn prune``: set small weights to zero."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from autocompress.commands.positional import model
from autocompress.io import save
from autocompress.pipeline import load_network
from autocompress.training import prune, sparsity

__all__ = ["Options", "run"]


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of ``acn prune``.

    Args:
        share: Share of the weights in the blocks' matrices to set to zero.
        output: Folder for the sparse network.
    """

    model: str = model()
    share: float
    output: str


def run(args: Options) -> None:
    """Save the network without its smallest weights."""
    net = load_network(Path(args.model))
    prune(net, args.share)
    save(net, args.output)
    print(f"pruned: {args.output}, {100 * sparsity(net):.1f} % of the blocks' matrices is zero")
