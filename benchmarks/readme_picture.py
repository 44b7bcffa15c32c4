"""Draw the depth curve in README.md from the committed report of a run.

python benchmarks/readme_picture.py
"""

from __future__ import annotations

import re
from pathlib import Path

from autocompress.io import atomic_file
from autocompress.report import Report, load_report
from autocompress.report.breakdown import legend
from autocompress.report.curves import depth_curve

__all__ = ["PICTURE", "REPORT", "picture"]

ROOT = Path(__file__).parents[1]
REPORT = ROOT / "benchmarks" / "results" / "runs" / "digits-seed0.json"
PICTURE = ROOT / "docs" / "pictures" / "digits.svg"


#: The style sheet of the page, in the few rules that the chart needs as a file of its own.
STYLE = """
text { font: 12px sans-serif; fill: #566270 } .said { fill: #1c2530; font-weight: 600 }
.grid { stroke: #dfe3e8; fill: none } .axis { stroke: #566270; fill: none }
.line { fill: none; stroke-width: 2.2 }
.line.validation { stroke-width: 1.4; stroke-dasharray: 3 4 }
.network { --c: #0072b2 } .baseline { --c: #d55e00 } .shallow { --c: #008f68 }
.line { stroke: var(--c) } .dot { fill: var(--c); stroke: #fff }
.band { fill: #0072b2; fill-opacity: .14 }
.rule { stroke: #1c2530; stroke-dasharray: 4 4; opacity: .45; fill: none }
.cursor, .spot { display: none }
"""


def picture() -> str:
    """Return the depth curve of the report page as an SVG file that needs no page around it."""
    report = load_report(REPORT)
    svg = re.sub(r"<rect class=\"spot\".*?</rect>", "", depth_curve(report), flags=re.S)
    opening, rest = svg.split(">", 1)
    opening = opening.replace("0 0 480 300", "0 -44 480 344")
    namespace = ' xmlns="http://www.w3.org/2000/svg" width="720" height="516"'
    paper = '<rect y="-44" width="100%" height="100%" fill="#ffffff"/>'
    return f"{opening}{namespace}>\n<style>{STYLE}</style>{paper}{_keys(report)}{rest}\n"


def _keys(report: Report) -> str:
    """Return the legend as two rows above the chart."""
    said = []
    entries = [entry for entry in legend(report) if entry[0] != "band"]
    for n, (kind, words) in enumerate(entries):
        across, down = 44 + 190 * (n % 2), -30 + 18 * (n // 2)
        look = "network validation" if kind == "validation" else kind
        said.append(
            f'<path class="line {look}" d="M{across} {down}h16"/>'
            f'<text x="{across + 22}" y="{down + 4}">{words}</text>'
        )
    return "".join(said)


if __name__ == "__main__":
    with atomic_file(PICTURE) as new:
        new.write_text(picture())
