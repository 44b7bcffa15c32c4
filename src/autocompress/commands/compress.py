"""``acn compress``: from data to a report."""

from __future__ import annotations

from autocompress.commands.report import show
from autocompress.commands.runs import RunFolder, opened
from autocompress.io import write_json
from autocompress.io.seal import seal
from autocompress.pipeline import RunConfig, compress

__all__ = ["CONFIG", "Options", "run"]

Options = RunFolder
CONFIG = RunConfig


def run(args: RunFolder, config: RunConfig) -> None:
    """Run all stages and show the report."""
    with opened(args, "compress", config) as (data, folder, command):
        report = compress(config, data, folder, resume=args.resume, command=command)
        write_json(folder / "report.json", report)
        seal(folder / "report.json")
        show(folder)
