"""``acn stream``: learn one task after another."""

from __future__ import annotations

from pathlib import Path

from autocompress.commands.runs import RunFolder
from autocompress.pipeline import StreamRun, run_stream
from autocompress.pipeline.running import opened

__all__ = ["CONFIG", "Options", "run"]

Options = RunFolder
CONFIG = StreamRun


def run(args: RunFolder, config: StreamRun) -> None:
    """Train on every task and print the accuracy matrix."""
    folder = Path(args.output)
    with opened(folder, "stream", config, args.resume, "stream.yaml") as (data, net, command):
        stream = run_stream(config, data, net, folder, resume=args.resume, command=command)
    depth = stream.select()
    words = f"read after {depth} layers" if depth else "read before the first layer"
    print(f"{stream.matrix()}\n{words}: {stream.matrix(depth).averages()}")
    print(f"the stream: {folder / 'stream.json'}, {folder / 'matrix.png'}")
