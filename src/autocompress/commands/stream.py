"""``acn stream``: learn one task after another."""

from __future__ import annotations

from autocompress.commands.common import Answer
from autocompress.commands.folders import COMMON, RunFolder
from autocompress.pipeline import StreamRun, run_stream
from autocompress.pipeline.running import opened
from autocompress.printing import layer_words

__all__ = ["COMMON", "CONFIG", "Options", "run"]

Options = RunFolder
CONFIG = StreamRun


def run(args: RunFolder, config: StreamRun) -> Answer:
    """Train on every task; the answer is the accuracy matrix."""
    config = args.tracked(config)
    folder = args.folder(config.data.name)
    go_on, shown = args.resume, not args.quiet
    with opened(folder, "stream", config, go_on, "stream.yaml", shown) as (data, net, command):
        stream = run_stream(
            config, data, net, folder, resume=go_on, command=command, progress=shown
        )
    depth = stream.select()
    words = f"read after {layer_words(depth)}" if depth else "read before the first layer"
    text = (
        f"{stream.matrix()}\n{words}: {stream.matrix(depth).averages()}\n"
        f"the stream: {folder / 'stream.json'}, {folder / 'matrix.png'}"
    )
    found = {"run": str(folder), "depth": depth, **stream.matrix(depth).to_json()}
    return Answer(text, found)
