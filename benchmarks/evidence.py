"""docs/evidence.md, from the committed results of `acn reproduce`.

python benchmarks/evidence.py              writes the page
python benchmarks/evidence.py OUT ...      first takes the results of these studies
"""

from __future__ import annotations

import sys
from pathlib import Path

from autocompress.io import atomic_file
from autocompress.reproduce.evidence import committed, evidence_page, take

__all__ = ["PAGE", "RESULTS", "page"]

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "reproduce"
PAGE = ROOT / "docs" / "evidence.md"


def page() -> str:
    """The page as it has to be."""
    return evidence_page(committed(RESULTS), "../benchmarks/results/reproduce")


if __name__ == "__main__":
    take([Path(study) for study in sys.argv[1:]], RESULTS)
    with atomic_file(PAGE) as new:
        new.write_text(page())
