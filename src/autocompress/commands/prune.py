"""``acn prune``: set small weights to zero."""

from __future__ import annotations

from dataclasses import dataclass

from autocompress.commands.common import Answer, Common, model, target
from autocompress.commands.own import network
from autocompress.io import save
from autocompress.training import prune, sparsity

__all__ = ["Options", "run"]


@dataclass(frozen=True, kw_only=True)
class Options(Common):
    """Options of ``acn prune``.

    Args:
        share: Share of the weights in the blocks' matrices to set to zero.
        output: Folder for the sparse network; the next free runs/prune-N unless given.
        import_: Your own class of the network, package.module:Class, or only a module
            that registers its parts.
    """

    model: str = model()
    share: float
    output: str | None = None
    import_: str | None = None


def run(args: Options) -> Answer:
    """Save the network without its smallest weights."""
    net = network(args.model, args.import_)
    prune(net, args.share)
    folder, zero = target(args.output, "prune"), sparsity(net)
    save(net, folder)
    text = f"pruned: {folder}, {100 * zero:.1f} % of the blocks' matrices is zero"
    return Answer(text, {"output": str(folder), "sparsity": zero})
