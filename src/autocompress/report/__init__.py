"""The report of one run: report.json with its checks, the page, the table, the verdict."""

from autocompress.report.against_theory import theory_lines
from autocompress.report.conclusion import verdict
from autocompress.report.html import render_html, write_html
from autocompress.report.schema import Report, load_report, validate
from autocompress.report.tables import before_after, print_table, search_cost

__all__ = [
    "Report",
    "before_after",
    "load_report",
    "print_table",
    "render_html",
    "search_cost",
    "theory_lines",
    "validate",
    "verdict",
    "write_html",
]
