"""``acn prune``: set small weights to zero."""

from __future__ import annotations

from dataclasses import dataclass

from autocompress.commands.common import Answer, Common, model, target
from autocompress.commands.own import network
from autocompress.errors import ConfigError
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
    """Save the network without its smallest weights; refuse a share that changes nothing."""
    net = network(args.model, args.import_)
    if net.depth == 0:
        raise ConfigError(
            f"{args.model} has 0 layers, so no weights in blocks that could be pruned: prune the "
            "whole network, e.g. RUN/model"
        )
    before = sparsity(net)
    if before == 1:
        raise ConfigError("all weights in the blocks' matrices are zero already: nothing is left")
    prune(net, args.share)
    zero = sparsity(net)
    if zero == before:
        raise ConfigError(
            f"share {args.share:g} would change nothing: {100 * before:.3g} % of the weights in "
            f"the blocks' matrices are zero already, so give a share above {before:.4g}, at most 1"
        )
    folder = target(args.output, "prune")
    save(net, folder)
    text = f"pruned: {folder}, {100 * zero:.1f} % of the weights in the blocks' matrices are zero"
    return Answer(text, {"output": str(folder), "sparsity": zero})
