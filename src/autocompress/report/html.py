"""report.html: one page that stands alone, with the verdict first and the evidence below."""

from __future__ import annotations

import html
import os
from collections.abc import Mapping, Sequence
from typing import Any

from autocompress.io import atomic_file
from autocompress.report import sections
from autocompress.report.conclusion import verdict
from autocompress.report.schema import Report
from autocompress.report.style import CSS

__all__ = ["render_html", "write_html"]


def render_html(
    report: Report, run_config: Mapping[str, Any] | None, commands: Sequence[str]
) -> str:
    """The page as text: no script, nothing from the network, pictures inline.

    Args:
        report: the run.
        run_config: its resolved config (RUN/config.yaml as a mapping), for the cost of a search
            (``fit.epochs``) and to be shown; None leaves both out and says so.
        commands: what repeats the run, a line each.
    """
    kept, deepest = report["selected"], report["model"]["depth"]
    title = html.escape(f"{report['task']['dataset']}: {kept} of {deepest} layers kept")
    parts = [
        sections.tiles(report, run_config),
        sections.before_after_section(report),
        sections.figures_section(report),
        sections.search_section(report, run_config),
        sections.depths_section(report),
        sections.theory_section(report),
        sections.method_section(report),
        sections.run_section(report),
        sections.repeat_section(commands, run_config),
    ]
    body = "\n".join(part for part in parts if part)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{CSS}</style>
</head>
<body>
<main>
<header>
<p class="eyebrow">{sections.eyebrow(report)}</p>
<h1>{sections.headline(verdict(report))}</h1>
</header>
{body}
<footer>Written by <code>acn report</code> from report.json, schema {report["schema"]}.</footer>
</main>
</body>
</html>
"""


def write_html(
    path: str | os.PathLike[str],
    report: Report,
    run_config: Mapping[str, Any] | None,
    commands: Sequence[str],
) -> None:
    """Write the page, all of it or nothing. Arguments as in :func:`render_html`.

    Raises:
        OutputError: the file cannot be written.
    """
    page = render_html(report, run_config, commands)
    with atomic_file(path) as temporary:
        temporary.write_text(page, encoding="utf-8")
