"""report.html: one self-contained page, with the verdict first and the evidence below."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from autocompress.io import atomic_file
from autocompress.report.files import RunFiles
from autocompress.report.schema import Report
from autocompress.report.sections import context
from autocompress.report.units import typeset

__all__ = ["filled", "render_html", "write_html"]


def render_html(
    report: Report,
    run_config: Mapping[str, Any] | None,
    commands: Sequence[str],
    *,
    run: str = "RUN",
    files: RunFiles | None = None,
) -> str:
    """Return the page as text: one file, nothing from the network, charts and script inline.

    It can be read without its script, which lets the reader move to another depth.

    Args:
        report: Report of the run.
        run_config: Resolved config of the run (RUN/config.yaml as a mapping), for display and for
            the cost of a search (``fit.epochs``); None omits both and says so.
        commands: Commands that repeat the run, one per line.
        run: Folder of the run, as the commands on the page name it.
        files: Other files of the run: its learning curves, gradients and exits.
    """
    shown = context(report, run_config, commands, run, RunFiles() if files is None else files)
    return filled("page.html", shown)


def filled(template: str, values: Mapping[str, Any]) -> str:
    """Return a template of this package with ``values``, all of them escaped.

    Args:
        template: Name of the template.
        values: Its variables. What is marked safe there is drawn by this package.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    loader = PackageLoader("autocompress.report")
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined)
    environment.filters["typeset"] = typeset
    return environment.get_template(template).render(values)


def write_html(
    path: str | os.PathLike[str],
    report: Report,
    run_config: Mapping[str, Any] | None,
    commands: Sequence[str],
    *,
    run: str = "RUN",
    files: RunFiles | None = None,
) -> None:
    """Write the page, completely or not at all; arguments as in :func:`render_html`.

    Raises:
        OutputError: The file cannot be written.
    """
    page = render_html(report, run_config, commands, run=run, files=files)
    with atomic_file(path) as temporary:
        temporary.write_text(page, encoding="utf-8", errors="replace")
