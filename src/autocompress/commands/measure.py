"""``acn measure``: measure the cost of a network."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from autocompress.commands.common import Answer, Common, model
from autocompress.commands.own import network
from autocompress.measurement import measure
from autocompress.pipeline.saved import find_model

__all__ = ["Options", "run"]


@dataclass(frozen=True, kw_only=True)
class Options(Common):
    """Options of ``acn measure``.

    Args:
        batch_sizes: Batch sizes to time.
        import_: Your own class of the network, package.module:Class, or only a module
            that registers its parts.
    """

    model: str = model()
    batch_sizes: tuple[int, ...] = (1, 256)
    import_: str | None = None


def run(args: Options) -> Answer:
    """Measure parameters, FLOPs, latency, memory and file size."""
    net = network(args.model, args.import_)
    result = measure(net, net.example(), args.batch_sizes)
    return Answer(f"{find_model(Path(args.model))}\n{result}", result.to_json())
