"""What a study leaves: results.json, a table, a figure, a verdict."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from autocompress.errors import CheckpointError
from autocompress.io import atomic_file, write_json
from autocompress.reproduce.check import check
from autocompress.reproduce.claim import Claim, Finding, Results, Table, find_claim, overall
from autocompress.reproduce.study import Study

__all__ = ["Record", "findings_table", "load_results", "verdict_words", "write_results"]


class Record:
    """A results.json, read.

    Attributes:
        content: the whole of it.
        claim: which it is of.
        settings: those of its preset, as the library has them now.
        results: the raw scores.
        findings: the tested statements, computed from the raw scores.
    """

    def __init__(self, content: Mapping[str, Any]) -> None:
        self.content = content
        self.claim: Claim[Any] = find_claim(content["claim"])
        study = Study(
            content["claim"], content["preset"], Path(), faithful=bool(content["faithful"])
        )
        self.settings = study.settings
        self.results = Results(
            list(content["seeds"]), {(j["arm"], j["seed"]): j["scores"] for j in content["jobs"]}
        )
        self.findings = self.claim.verdict(self.settings, self.results)

    @property
    def name(self) -> str:
        """What files with these results are called: CLAIM-PRESET or CLAIM-PRESET-faithful."""
        faithful = "-faithful" if self.content["faithful"] else ""
        return f"{self.claim.name}-{self.content['preset']}{faithful}"

    @property
    def table(self) -> Table:
        """The claim's table."""
        return self.claim.table(self.settings, self.results)

    def __str__(self) -> str:
        return "\n\n".join(
            (
                self.table.markdown(),
                findings_table(self.findings).markdown(),
                verdict_words(self),
            )
        )

    def check(self, committed: str | Path) -> str:
        """Compare with the committed results of the same claim and preset.

        Args:
            committed: that results.json, or the folder of CLAIM-PRESET.json files.

        Returns:
            What was compared.

        Raises:
            ReproductionError: they differ. CheckpointError: there are none.
        """
        path = Path(committed)
        if path.is_dir():
            path = path / f"{self.name}.json"
        held = load_results(path).content
        return check(self.content, held, self.claim.tolerance, self.settings)

    def draw(self, path: Path) -> None:
        """The claim's figure, in the format of the file's suffix."""
        from matplotlib import rc_context
        from matplotlib.figure import Figure

        style: Any = {
            "svg.hashsalt": "autocompress",
            "font.size": 9,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "legend.frameon": False,
        }
        with rc_context(style), atomic_file(path) as new:
            figure = Figure(figsize=(8.4, 3.8), layout="constrained")
            self.claim.draw(figure, self.settings, self.results)
            metadata = {"Date": None} if path.suffix == ".svg" else None
            figure.savefig(new, metadata=metadata, dpi=150)


def write_results(study: Study) -> Record:
    """Write results.json, table.md, figure.svg and figure.png; all jobs must be finished."""
    jobs = [job.result() for job in study.jobs()]
    kept = ("arm", "seed", "scores", "seconds", "core_seconds")
    content = {
        "schema": 1,
        **study.identity(),
        "seeds": list(study.seeds),
        "jobs": [{key: job[key] for key in kept} for job in jobs],
        "core_seconds": round(sum(job["core_seconds"] for job in jobs), 1),
        "environment": jobs[0]["environment"],
    }
    record = Record(content)
    content["verdict"] = overall(record.findings)
    content["findings"] = [asdict(f) for f in record.findings]
    write_json(study.folder / "results.json", content)
    with atomic_file(study.folder / "table.md") as new:
        new.write_text(f"{record}\n")
    for suffix in ("svg", "png"):
        record.draw(study.folder / f"figure.{suffix}")
    return record


def load_results(path: Path) -> Record:
    """Read a results.json.

    Raises:
        CheckpointError: it is missing, or none.
    """
    try:
        return Record(json.loads(path.read_text()))
    except (OSError, ValueError, KeyError) as error:
        raise CheckpointError(f"{path} holds no results of `acn reproduce`: {error}") from error


def findings_table(findings: list[Finding]) -> Table:
    """What was tested, the difference with its interval, and the outcome."""
    rows = [
        (
            f.statement if f.of_paper else f"{f.statement} *",
            f"{f.value:+.2f} {f.unit}",
            "one seed: none" if f.low is None else f"{f.low:+.2f} to {f.high:+.2f}",
            f"{f.least:g} {f.unit}",
            f.outcome,
        )
        for f in findings
    ]
    return Table(("statement", "difference", "95 % interval", "must exceed", "outcome"), rows)


def verdict_words(record: Record) -> str:
    """The verdict in a sentence, and what the star means."""
    words = f"Verdict on the claim at this scale: **{overall(record.findings)}**."
    if any(not f.of_paper for f in record.findings):
        words += " Statements with a star are questions of ours that the paper leaves open."
    return words
