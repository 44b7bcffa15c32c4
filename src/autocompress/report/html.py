"""report.html: one self-contained page, with the verdict first and the evidence below."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from autocompress.io import atomic_file
from autocompress.report.schema import Report
from autocompress.report.sections import context
from autocompress.report.units import MISSING

__all__ = ["render_html", "write_html"]


def render_html(
    report: Report, run_config: Mapping[str, Any] | None, commands: Sequence[str]
) -> str:
    """Return the page as text: no script, nothing from the network, figures inline.

    Args:
        report: Report of the run.
        run_config: Resolved config of the run (RUN/config.yaml as a mapping), for display and for
            the cost of a search (``fit.epochs``); None omits both and says so.
        commands: Commands that repeat the run, one per line.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    loader = PackageLoader("autocompress.report")
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined)
    environment.filters["typeset"] = typeset
    return environment.get_template("page.html").render(context(report, run_config, commands))


def typeset(text: str) -> str:
    r"""Return the text with typographic signs for ASCII: minus, multiplication sign, dash.

    >>> ascii(typeset("-1.5 pt"))
    "'\\u22121.5 pt'"
    """
    if text == MISSING:
        return "\N{EN DASH}"
    if text.endswith("x") and text[:-1].replace(".", "").isdigit():
        return f"{text[:-1]}\N{MULTIPLICATION SIGN}"
    return f"\N{MINUS SIGN}{text[1:]}" if text.startswith("-") else text


def write_html(
    path: str | os.PathLike[str],
    report: Report,
    run_config: Mapping[str, Any] | None,
    commands: Sequence[str],
) -> None:
    """Write the page, completely or not at all; arguments as in :func:`render_html`.

    Raises:
        OutputError: The file cannot be written.
    """
    page = render_html(report, run_config, commands)
    with atomic_file(path) as temporary:
        temporary.write_text(page, encoding="utf-8")
