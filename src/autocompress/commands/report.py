"""``acn report``: print the report of a run and write its page again."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from autocompress.commands.shared import place
from autocompress.pipeline import as_values, read_config
from autocompress.report import load_report, print_table, theory_lines, verdict, write_html

__all__ = ["Options", "run", "show"]


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of ``acn report``."""

    run: str = place("run folder of `acn compress`")


def run(args: Options) -> None:
    """Show the report of the run folder."""
    show(Path(args.run))


def show(folder: Path) -> None:
    """Print the report of ``folder`` and write its page."""
    report = load_report(folder / "report.json")
    config = read_config(folder / "config.yaml")
    commands = [
        f"acn compress --config {folder / 'config.yaml'} --output NEW_FOLDER",
        f"acn probe {folder}",
        f"acn measure {folder / 'small'}",
    ]
    write_html(folder / "report.html", report, as_values(config), commands)
    print_table(report)
    said = "\n".join([*theory_lines(report), verdict(report)])
    print(f"\n{said}\n\nThe page: {folder / 'report.html'}")
    if report["checks"]["onnx_max_abs_difference"] is None:
        words = f"acn export {folder / 'small'} --output {folder / 'small.onnx'}"
        print(f"No small.onnx: `{words}` says why, e.g. that the extra 'onnx' is missing.")
