"""The report of one run: report.json with its checks, the page, the table, the verdict."""

from typing import TYPE_CHECKING

from autocompress.lazy import attach_imports

if TYPE_CHECKING:
    from autocompress.report.against_theory import theory_lines
    from autocompress.report.conclusion import verdict
    from autocompress.report.html import render_html, write_html
    from autocompress.report.schema import Report, load_report, validate
    from autocompress.report.tables import before_after, report_table, search_cost
else:
    __getattr__, __dir__ = attach_imports(__name__, __file__)

__all__ = [
    "Report",
    "before_after",
    "load_report",
    "report_table",
    "render_html",
    "search_cost",
    "theory_lines",
    "validate",
    "verdict",
    "write_html",
]
