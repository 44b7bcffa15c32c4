"""``acn report``: print the report of a run and write its page again."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from autocompress.commands.positional import place
from autocompress.pipeline import read_config
from autocompress.pipeline.running import write_page
from autocompress.report import Report, load_report, print_table, theory_lines, verdict

__all__ = ["Options", "run", "tell"]


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of ``acn report``."""

    run: str = place("Run folder of `acn compress`.")


def run(args: Options) -> None:
    """Print the report of the run folder and write its page again."""
    folder = Path(args.run)
    report = load_report(folder / "report.json")
    write_page(folder, report, read_config(folder / "config.yaml"))
    tell(folder, report)


def tell(folder: Path, report: Report) -> None:
    """Print the report of ``folder``."""
    print_table(report)
    said = "\n".join([*theory_lines(report), verdict(report)])
    print(f"\n{said}\n\nThe page: {folder / 'report.html'}")
    if report["checks"]["onnx_max_abs_difference"] is None:
        words = f"acn export {folder / 'small'} --output {folder / 'small.onnx'}"
        print(f"No small.onnx: `{words}` says why, e.g. that the extra 'onnx' is missing.")
