"""``acn report``: print the report of a run and write its page again; several runs on one page."""

from __future__ import annotations

import os
import webbrowser
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from autocompress.commands.common import Answer, Common, place, target
from autocompress.errors import ConfigError
from autocompress.pipeline import read_config
from autocompress.pipeline.differing import differences
from autocompress.pipeline.running import write_page
from autocompress.printing import command_line
from autocompress.report import Report, load_report, report_table, theory_lines, verdict
from autocompress.report.conclusion import headline
from autocompress.report.together import NamedRun, write_together

__all__ = ["Options", "run", "told"]


@dataclass(frozen=True, kw_only=True)
class Options(Common):
    """Options of ``acn report``.

    Args:
        output: Page of several runs to write; the next free runs/report-N/report.html unless given.
        open: Whether to open the page in the browser.
    """

    runs: tuple[str, ...] = place("Run folders of `acn compress`; several are put on one page.")
    output: str | None = None
    open: bool = False


def run(args: Options) -> Answer:
    """Write the page of one run again, or a page of several; the answer is what they report."""
    folders = [Path(name) for name in args.runs]
    if len(folders) == 1:
        if args.output is not None:
            raise ConfigError(
                f"--output names the page of several runs; that of one is {folders[0]}/report.html"
            )
        page, answer = _one(folders[0])
    else:
        page, answer = _several(folders, args.output)
    if args.open and not webbrowser.open(page.resolve().as_uri()):
        return Answer(f"{answer.text}\nNo browser was found to open it.", answer.value)
    return answer


def _one(folder: Path) -> tuple[Path, Answer]:
    report = load_report(folder / "report.json")
    write_page(folder, report, read_config(folder / "config.yaml"))
    return folder / "report.html", Answer(told(folder, report), report)


def _several(folders: list[Path], output: str | None) -> tuple[Path, Answer]:
    """Write the page of several runs."""
    reports = [load_report(folder / "report.json") for folder in folders]
    settings = differences(folders)
    page = target(output, "report", "report.html")
    page.parent.mkdir(parents=True, exist_ok=True)
    links = [os.path.relpath(folder / "report.html", page.parent) for folder in folders]
    write_together(
        page,
        [
            NamedRun(str(folder), report, quote(Path(link).as_posix()))
            for folder, report, link in zip(folders, reports, links, strict=True)
        ],
        settings,
    )
    said = [
        f"{folder}: {headline(report)}" for folder, report in zip(folders, reports, strict=True)
    ]
    found = {"page": str(page), "runs": dict(zip(map(str, folders), reports, strict=True))}
    return page, Answer("\n".join([*said, f"The page: {page}"]), found)


def told(folder: Path, report: Report) -> str:
    """Return the report of ``folder`` as text."""
    said = "\n".join([*theory_lines(report), verdict(report)])
    parts = [f"{report_table(report)}\n", f"{said}\n", f"The page: {folder / 'report.html'}"]
    if report["checks"]["onnx_max_abs_difference"] is None:
        words = command_line("export", folder / "small", "--output", folder / "small.onnx")
        parts.append(f"No small.onnx: `{words}` says why, e.g. that the extra 'onnx' is missing.")
    return "\n".join(parts)
