"""Compare the kept depth with theory: lines for the terminal, a section for the page."""

from __future__ import annotations

from autocompress.report.schema import Report, TaskPart
from autocompress.report.units import MISSING, per_cent

__all__ = ["theory_lines", "theory_rows"]


def theory_lines(report: Report) -> list[str]:
    """Return a line for each part of the task whose required depth is known.

    Example:
        >>> part = {"name": "k = 4", "theory": 2, "kept": 3, "validation": [0.1, 0.9, 0.98, 1.0]}
        >>> theory_lines({"parts": [{**part, "control_kept": 8}]})
        ['k = 4: theory 2, kept 3 (100.0 %), residual baseline 8']
    """
    return [_line(part) for part in report.get("parts", [])]


def _line(part: TaskPart) -> str:
    full = per_cent(part["validation"][-1])
    kept = "not learned" if part["kept"] is None else f"kept {part['kept']}"
    said = f"{part['name']}: theory {part['theory']}, {kept} ({full})"
    if "control_kept" in part:
        control = part["control_kept"]
        said += f", residual baseline {'not learned' if control is None else control}"
    return said


def theory_rows(report: Report) -> tuple[list[str], list[list[str]]]:
    """Return the headings and rows of a table: theory, kept, and the score at every depth."""
    parts = report.get("parts", [])
    deepest = max((len(part["validation"]) - 1 for part in parts), default=0)
    control = any("control_kept" in part for part in parts)
    heads = ["part", "theory", "kept", *(["control"] if control else [])]
    heads += [f"depth {depth}" for depth in range(deepest + 1)]
    rows = []
    for part in parts:
        cells = [part["name"], str(part["theory"]), _kept(part["kept"])]
        cells += [_kept(part.get("control_kept"))] if control else []
        rows.append(cells + [f"{100 * score:.1f}" for score in part["validation"]])
    return heads, rows


def _kept(depth: int | None) -> str:
    return MISSING if depth is None else str(depth)
