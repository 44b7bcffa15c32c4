"""Generate pages and pictures of docs/ from the committed results of `acn reproduce`.

python benchmarks/evidence.py              writes the pages
python benchmarks/evidence.py OUT ...      first commits the results in these folders
"""

from __future__ import annotations

import sys
from pathlib import Path

from autocompress.io import atomic_file
from autocompress_studies.page import (
    between,
    committed,
    evidence_page,
    headlines,
    holm_changes,
    marked,
    take,
)
from autocompress_studies.record import load_results

__all__ = ["PAGES", "pages"]

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "reproduce"
DOCS = ROOT / "docs"

#: Pages that show the tables of a study between their marks.
PAGES = {
    "blocks": "blocks.md",
    "compression": "compression.md",
    "encoders": "language.md",
    "levels": "ruler.md",
    "one-schedule": "compression.md",
    "pretrained": "pretrained.md",
    "ruler": "ruler.md",
    "ways": "choosing.md",
}


def pages() -> dict[Path, str]:
    """Return the content of all pages with results, by path."""
    folder = "benchmarks/results/reproduce"
    records = committed(RESULTS)
    evidence = evidence_page(records, folder, f"../{folder}", "../shared/data")
    results = DOCS / "results.md"
    summary = between(results.read_text(), "headlines", headlines(records, "evidence.md"))
    return {DOCS / "evidence.md": evidence, results: summary, **tables()}


def tables() -> dict[Path, str]:
    """Return the content of the pages that show tables between marks."""
    texts: dict[Path, str] = {}
    for study, page in PAGES.items():  # a page may show several studies
        path = DOCS / page
        text = texts[path] if path in texts else path.read_text()
        texts[path] = marked(text, load_results(RESULTS / f"{study}-cpu.json"))
    return texts


def main() -> None:
    """Take results, draw their figures, and write the pages."""
    take([Path(study) for study in sys.argv[1:]], RESULTS)
    records = committed(RESULTS)
    for record in records:
        pictures = DOCS / "pictures" / record.study.name
        own = record.study.name in ("blocks", "compression", "ways")
        record.draw(pictures.with_suffix(".svg") if own else RESULTS / f"{record.name}.svg")
    for path, text in pages().items():
        with atomic_file(path) as new:
            new.write_text(text)
    print("statements that would be decided without Holm's correction:")
    print(*holm_changes(records), sep="\n")


if __name__ == "__main__":
    main()
