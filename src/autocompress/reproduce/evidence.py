"""docs/evidence.md: every committed result, as it came out."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from autocompress.io import atomic_file
from autocompress.reproduce.claim import PRESETS, Table, list_claims, overall
from autocompress.reproduce.output import Record, findings_table, load_results, verdict_words

__all__ = ["committed", "evidence_page", "take"]

_HEAD = """# Evidence

Each claim of the paper, tested by `acn reproduce` ([reproduce.md](reproduce.md) says how). This
page is generated from the raw results in
[benchmarks/results/reproduce](../benchmarks/results/reproduce) by `python benchmarks/evidence.py`.
Nothing in it is typed, and what did not come out as the paper says stands as it came out.

Read it with its scale in mind. The `cpu` preset is real data, but networks thirty times smaller
than the paper's and more, subsets of the data and a tenth of the epochs or less: what one core
does in minutes. Its CIFAR-10 is a copy of JPEG images (quality 75), so do not set these accuracies
beside published ones. A claim that does not hold here may hold at the paper's scale, and the other
way round. The `paper` preset is there for whoever has the GPUs; it was not run.
"""

_RULES = """
How to read the statements: networks are compared seed by seed (same subset, same order, same test
images). The 95 % interval spans Student's t over the seeds and a bootstrap of seeds and examples. A
statement *holds* if the whole interval lies above what the difference must exceed, *does not hold*
if the whole of it lies at or below, and is *undecided* otherwise. A claim holds if all its
statements do, and does not if one of them does not. Depths are chosen on validation data: the
shallowest within half a point of full depth.
"""


def committed(folder: Path) -> list[Record]:
    """The results in ``folder`` (CLAIM-PRESET.json), in the order of the claims."""
    kinds = [f"{preset}{also}" for preset in PRESETS for also in ("", "-faithful")]
    paths = [folder / f"{name}-{kind}.json" for name in list_claims() for kind in kinds]
    return [load_results(path) for path in paths if path.is_file()]


def evidence_page(records: Sequence[Record], pictures: str) -> str:
    """The page as Markdown.

    Args:
        records: see :func:`committed`.
        pictures: where CLAIM-PRESET.svg lie, as seen from the page.
    """
    rows = [
        (
            f"[{record.claim.name}](#{record.claim.name})",
            record.claim.shows,
            record.content["preset"],
            str(len(record.results.seeds)),
            f"{record.content['core_seconds'] / 60:.0f}",
            overall(record.findings),
        )
        for record in records
    ]
    headings = ("claim", "tests", "preset", "seeds", "core-minutes", "outcome")
    parts = [_HEAD, Table(headings, rows).markdown(), _RULES]
    return "\n".join([*parts, *(_section(record, pictures) for record in records)])


def take(studies: Sequence[Path], folder: Path) -> list[Path]:
    """Copy results.json and figure.svg of finished studies to ``folder``; what was written."""
    written = []
    for study in studies:
        record = load_results(study / "results.json")
        for file, suffix in (("results.json", "json"), ("figure.svg", "svg")):
            with atomic_file(folder / f"{record.name}.{suffix}") as new:
                shutil.copyfile(study / file, new)
            written.append(folder / f"{record.name}.{suffix}")
    return written


def _section(record: Record, pictures: str) -> str:
    content, claim = record.content, record.claim
    options = [f"--preset {content['preset']}", f"--seeds {len(record.results.seeds)}"]
    options += [*(["--data ../shared/data"] if content["data"] else [])]
    options += [*(["--faithful"] if content["faithful"] else []), f"--out runs/{record.name}"]
    where, seeds = content["environment"], ", ".join(map(str, record.results.seeds))
    return f"""
## {claim.name}

{claim.shows[0].upper()}{claim.shows[1:]}.

The paper: {claim.paper}

Here, with seeds {seeds} (torch {where["torch"]}, {where["device"]}):

{claim.describe(record.settings)}

{record.table.markdown()}

![{claim.shows}]({pictures}/{record.name}.svg)

{findings_table(record.findings).markdown()}

{verdict_words(record)}

```
acn reproduce {claim.name} {" ".join(options)}
```
"""
