"""docs/evidence.md and the tables of other pages, from the committed results of `acn reproduce`.

python benchmarks/evidence.py              writes the pages
python benchmarks/evidence.py OUT ...      first takes the results of these studies
"""

from __future__ import annotations

import sys
from pathlib import Path

from autocompress.io import atomic_file
from autocompress_studies.page import committed, evidence_page, holm_changes, take

__all__ = ["PAGE", "RESULTS", "page"]

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "reproduce"
PAGE = ROOT / "docs" / "evidence.md"


def page() -> str:
    """Return docs/evidence.md as it has to be."""
    folder = "benchmarks/results/reproduce"
    return evidence_page(committed(RESULTS), folder, f"../{folder}", "../shared/data")


def main() -> None:
    """Take results, draw their figures, and write the pages."""
    take([Path(study) for study in sys.argv[1:]], RESULTS)
    records = committed(RESULTS)
    for record in records:
        record.draw(RESULTS / f"{record.name}.svg")
    with atomic_file(PAGE) as new:
        new.write_text(page())
    print("undecided after Holm's correction, and decided without:")
    print(*holm_changes(records), sep="\n")


if __name__ == "__main__":
    main()
