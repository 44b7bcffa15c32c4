"""``acn bench``: compare depths and formats by size, score and time."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from autocompress.commands.common import Answer, Common, model
from autocompress.commands.own import network
from autocompress.commands.shared import data_of
from autocompress.data import DataConfig
from autocompress.deploy import Benchmark, bench
from autocompress.pipeline import find_run

__all__ = ["Options", "run"]


@dataclass(frozen=True, kw_only=True)
class Options(Common):
    """Options of ``acn bench``.

    Args:
        depths: Depths to cut to; empty takes full depth and half of it.
        formats: Formats, some of eager, compiled, onnx, pt2, int8 and int8-weights; empty takes
            all.
        batch_sizes: Batch sizes to time.
        seconds: Time limit of each comparison.
        data: Data to score each row on, if the network belongs to no run.
        import_: Your own class of the network, package.module:Class, or only a module
            that registers its parts.
    """

    model: str = model()
    depths: list[int] | None = None
    formats: list[str] | None = None
    batch_sizes: tuple[int, ...] = (1, 256)
    seconds: float = 2.0
    data: DataConfig | None = None
    import_: str | None = None


def run(args: Options) -> Answer:
    """Measure; the scores are those on test data, as in the report."""
    path = Path(args.model)
    net = network(args.model, args.import_)
    known = args.data is not None or find_run(path) is not None
    measured: list[Benchmark] = []
    try:
        found = bench(
            net,
            data_of(path, args.data, net).test if known else None,
            depths=args.depths,
            formats=args.formats,
            batch_sizes=args.batch_sizes,
            seconds=args.seconds,
            tell=None if args.quiet else partial(print, file=sys.stderr, flush=True),
            seen=measured.append,
        )
    except BaseException:  # Ctrl-C, as a compiler may take minutes: what is measured is shown
        if measured:
            text = json.dumps(measured[-1].to_json()) if args.json else str(measured[-1])
            print(text, flush=True)
        raise
    return Answer(str(found), found.to_json())
