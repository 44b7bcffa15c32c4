"""``acn compress``: run everything from data to a report."""

from __future__ import annotations

from autocompress.commands.common import Answer
from autocompress.commands.folders import COMMON, LiveRunFolder
from autocompress.commands.report import told
from autocompress.pipeline import RunConfig
from autocompress.pipeline.running import compress

__all__ = ["COMMON", "CONFIG", "Options", "run"]

Options = LiveRunFolder
CONFIG = RunConfig


def run(args: LiveRunFolder, config: RunConfig) -> Answer:
    """Run all stages; the answer is the report."""
    config = args.tracked(config)
    folder = args.folder(config.data.name)
    with args.following(folder):
        report = compress(config, folder, resume=args.resume, progress=not args.quiet)
    return Answer(told(folder, report), report)
