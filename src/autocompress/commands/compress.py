"""``acn compress``: run everything from data to a report."""

from __future__ import annotations

from pathlib import Path

from autocompress.commands.report import tell
from autocompress.commands.runs import RunFolder
from autocompress.pipeline import RunConfig
from autocompress.pipeline.running import compress

__all__ = ["CONFIG", "Options", "run"]

Options = RunFolder
CONFIG = RunConfig


def run(args: RunFolder, config: RunConfig) -> None:
    """Run all stages and print the report."""
    tell(Path(args.output), compress(config, args.output, resume=args.resume))
