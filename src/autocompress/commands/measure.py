"""``acn measure``: measure the cost of a network."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from autocompress.commands.positional import model
from autocompress.measurement import measure
from autocompress.pipeline import load_network

__all__ = ["Options", "run"]


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of ``acn measure``.

    Args:
        batch_sizes: Batch sizes to time.
        json: Whether to print JSON instead of a table.
    """

    model: str = model()
    batch_sizes: tuple[int, ...] = (1, 256)
    json: bool = False


def run(args: Options) -> None:
    """Print parameters, FLOPs, latency, memory and file size."""
    net = load_network(Path(args.model))
    result = measure(net, net.example(), args.batch_sizes)
    print(json.dumps(result.to_json(), allow_nan=False) if args.json else result)
