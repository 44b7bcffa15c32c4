"""The depth curve in README.md, from the committed report of a run.

python benchmarks/readme_picture.py
"""

from __future__ import annotations

import re
from pathlib import Path

from autocompress.io import atomic_file
from autocompress.report import load_report
from autocompress.report.figures import depth_figure

__all__ = ["PICTURE", "REPORT", "picture"]

ROOT = Path(__file__).parents[1]
REPORT = ROOT / "benchmarks" / "results" / "runs" / "digits-seed0.json"
PICTURE = ROOT / "docs" / "pictures" / "digits.svg"


def picture() -> str:
    """Return the depth figure of the report page as an SVG file that needs no page around it."""
    svg = depth_figure(load_report(REPORT))
    # A page gives the colours and the font by CSS variables, and a file of its own has no page.
    svg = re.sub(r"var\(--\w+, (#\w+)\)", r"\1", svg).replace("var(--font)", "sans-serif")
    opening, rest = svg.split(">", 1)
    namespace = ' xmlns="http://www.w3.org/2000/svg" width="620" height="520"'
    paper = '<rect width="100%" height="100%" fill="#ffffff"/>'
    return f"{opening}{namespace}>\n{paper}{rest}\n"


if __name__ == "__main__":
    with atomic_file(PICTURE) as new:
        new.write_text(picture())
