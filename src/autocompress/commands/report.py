"""``acn report``: print the report of a run and write its page again."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from autocompress.commands.common import Answer, Common, place
from autocompress.pipeline import read_config
from autocompress.pipeline.running import write_page
from autocompress.report import Report, load_report, report_table, theory_lines, verdict

__all__ = ["Options", "run", "told"]


@dataclass(frozen=True, kw_only=True)
class Options(Common):
    """Options of ``acn report``."""

    run: str = place("Run folder of `acn compress`.")


def run(args: Options) -> Answer:
    """Write the page of a run again; the answer is its report."""
    folder = Path(args.run)
    report = load_report(folder / "report.json")
    write_page(folder, report, read_config(folder / "config.yaml"))
    return Answer(told(folder, report), report)


def told(folder: Path, report: Report) -> str:
    """Return the report of ``folder`` as text."""
    said = "\n".join([*theory_lines(report), verdict(report)])
    parts = [f"{report_table(report)}\n", f"{said}\n", f"The page: {folder / 'report.html'}"]
    if report["checks"]["onnx_max_abs_difference"] is None:
        words = f"acn export {folder / 'small'} --output {folder / 'small.onnx'}"
        parts.append(f"No small.onnx: `{words}` says why, e.g. that the extra 'onnx' is missing.")
    return "\n".join(parts)
