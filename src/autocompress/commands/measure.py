"""``acn measure``: measure the cost of a network."""

from __future__ import annotations

import json
from dataclasses import dataclass

from autocompress.commands.own import network
from autocompress.commands.positional import model
from autocompress.measurement import measure

__all__ = ["Options", "run"]


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of ``acn measure``.

    Args:
        batch_sizes: Batch sizes to time.
        json: Whether to print JSON instead of a table.
        import_: Class of the user, package.module:Class, for a network of it; or only a module
            that registers what the network is made of.
    """

    model: str = model()
    batch_sizes: tuple[int, ...] = (1, 256)
    json: bool = False
    import_: str | None = None


def run(args: Options) -> None:
    """Print parameters, FLOPs, latency, memory and file size."""
    net = network(args.model, args.import_)
    result = measure(net, net.example(), args.batch_sizes)
    print(json.dumps(result.to_json(), allow_nan=False) if args.json else result)
