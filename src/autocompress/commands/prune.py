"""``acn prune``: set small weights to zero."""

from __future__ import annotations

from dataclasses import dataclass

from autocompress.commands.own import network
from autocompress.commands.positional import model
from autocompress.io import save
from autocompress.training import prune, sparsity

__all__ = ["Options", "run"]


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of ``acn prune``.

    Args:
        share: Share of the weights in the blocks' matrices to set to zero.
        output: Folder for the sparse network.
        import_: Class of the user, package.module:Class, for a network of it; or only a module
            that registers what the network is made of.
    """

    model: str = model()
    share: float
    output: str
    import_: str | None = None


def run(args: Options) -> None:
    """Save the network without its smallest weights."""
    net = network(args.model, args.import_)
    prune(net, args.share)
    save(net, args.output)
    print(f"pruned: {args.output}, {100 * sparsity(net):.1f} % of the blocks' matrices is zero")
