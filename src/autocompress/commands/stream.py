"""``acn stream``: one task after another."""

from __future__ import annotations

from autocompress.commands.runs import RunFolder, opened
from autocompress.pipeline import StreamRun, run_stream

__all__ = ["CONFIG", "Options", "run"]

Options = RunFolder
CONFIG = StreamRun


def run(args: RunFolder, config: StreamRun) -> None:
    """Train on every task and print the accuracy matrix."""
    with opened(args, "stream", config, "stream.yaml") as (data, folder, command):
        stream = run_stream(config, data, folder, resume=args.resume, command=command)
    depth = stream.select()
    words = f"read after {depth} layers" if depth else "read before the first layer"
    print(f"{stream.matrix()}\n{words}: {stream.matrix(depth).averages()}")
    print(f"the stream: {folder / 'stream.json'}, {folder / 'matrix.png'}")
