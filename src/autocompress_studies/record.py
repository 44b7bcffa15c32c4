"""The output of a study: results.json, a table, a figure, a verdict."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from autocompress.errors import CheckpointError, ReproductionError
from autocompress.io import atomic_file, write_json
from autocompress.printing import markdown
from autocompress.statistics import Outcome
from autocompress_studies.check import check
from autocompress_studies.convergence import Control, controls
from autocompress_studies.figures import figure_in
from autocompress_studies.jobs import StudyRun
from autocompress_studies.results import Results
from autocompress_studies.statements import Finding, overall
from autocompress_studies.study import Study, find_study

__all__ = ["CORRECTION", "Record", "file_of", "findings_table", "load_committed", "load_results"]
__all__ += ["verdict_words", "write_results"]

#: Version of results.json: 2 has p-values and outcomes after Holm's correction.
_SCHEMA = 2

CORRECTION = "Holm, over all statements of the study"


class Record:
    """The content of a results.json.

    Attributes:
        content: The whole of it.
        study: The study that it is of.
        settings: Those of its preset, as the library has them now.
        results: The raw scores.
    """

    def __init__(self, content: Mapping[str, Any]) -> None:
        self.content = content
        self.study: Study[Any, Any] = find_study(content["claim"])
        self.settings = self.study.settings(content["preset"], bool(content["faithful"]))
        keys = {arm.name: arm.key for arm in self.study.arms(self.settings)}
        self.results: Results[Any] = Results(
            list(content["seeds"]),
            {(keys[job["arm"]], job["seed"]): job["scores"] for job in content["jobs"]},
        )

    @cached_property
    def family(self) -> list[Finding]:
        """Return all tested statements, computed from the raw scores, withdrawn ones too."""
        short = [each for each in self.controls if not each.converged]
        return [
            replace(each, converged=not any(c.decides(each.statement) for c in short))
            for each in self.study.findings(self.settings, self.results)
        ]

    @cached_property
    def controls(self) -> list[Control]:
        """Return the residual control of each task, as far as its epochs are recorded."""
        return list(controls(self.results))

    @cached_property
    def findings(self) -> list[Finding]:
        """Return the tested statements that are not withdrawn, corrected for the whole family."""
        gone = tuple(self.withdrawn.get("rows", ()))
        return [each for each in self.family if not each.statement.startswith(gone)]

    @property
    def verdict(self) -> Outcome:
        """Return the outcome of all statements; while some are withdrawn, the claim cannot hold."""
        outcome = overall(self.findings)
        return "undecided" if self.withdrawn and outcome == "holds" else outcome

    @property
    def said(self) -> str:
        """Return the verdict in words: an open one says whether too short runs are the reason."""
        short = any(f.of_paper and not f.converged for f in self.findings)
        return (
            f"{self.verdict}: not converged"
            if short and self.verdict == "undecided"
            else self.verdict
        )

    @property
    def withdrawn(self) -> Mapping[str, Any]:
        """Return which rows are withdrawn, by the beginnings of their names, and why."""
        return self.content.get("withdrawn") or {}

    @property
    def name(self) -> str:
        """Return what files with these results are called: STUDY-PRESET, or with -faithful."""
        return file_of(self.study.name, self.content["preset"], bool(self.content["faithful"]))

    @property
    def table(self) -> str:
        """Return the study's table."""
        return self.study.table(self.settings, self.results)

    def __str__(self) -> str:
        said = [findings_table(self.findings), verdict_words(self)] if self.findings else []
        return "\n\n".join([self.table, *said])

    def check(self, committed: str | Path) -> str:
        """Compare with the committed results of the same study and preset.

        Args:
            committed: The committed results.json, or the folder of STUDY-PRESET.json files.

        Returns:
            What was compared.

        Raises:
            ReproductionError: They differ, or are withdrawn. CheckpointError: There are none.
        """
        held = load_committed(committed, self.name).content
        if "withdrawn" in held:
            raise ReproductionError(f"committed results are withdrawn: {held['withdrawn']['why']}")
        return check(self.content, held, self.study.tolerance, self.settings)

    def draw(self, path: Path) -> None:
        """Write the study's figure, in the format of the file's suffix."""
        with figure_in(path) as figure:
            self.study.draw(figure, self.settings, self.results)


def write_results(run: StudyRun) -> Record:
    """Write results.json, table.md, figure.svg and figure.png; all jobs must be finished."""
    jobs = [job.result() for job in run.jobs()]
    kept = ("arm", "seed", "scores", "seconds", "core_seconds")
    content = {
        "schema": _SCHEMA,
        **run.identity(),
        "seeds": list(run.seeds),
        "jobs": [{key: job[key] for key in kept} for job in jobs],
        "core_seconds": round(sum(job["core_seconds"] for job in jobs), 1),
        "environment": jobs[0]["environment"],
    }
    record = Record(content | {"schema": _SCHEMA})
    record = Record({**content, **judged(record)})
    write_json(run.folder / "results.json", dict(record.content))
    with atomic_file(run.folder / "table.md") as new:
        new.write_text(f"{record}\n")
    for suffix in ("svg", "png"):
        record.draw(run.folder / f"figure.{suffix}")
    return record


def judged(record: Record) -> dict[str, Any]:
    """Return what a results.json says beside the raw scores: verdict and statements."""
    if record.study.statements is None:
        return {}
    return {
        "verdict": record.verdict,
        "correction": CORRECTION,
        "findings": [asdict(f) for f in record.findings],
    }


def load_results(path: Path) -> Record:
    """Read a results.json.

    Raises:
        CheckpointError: It is missing, or holds no results.
    """
    try:
        return Record(json.loads(path.read_text()))
    except (OSError, ValueError, KeyError) as error:
        raise CheckpointError(f"{path} holds no results of `acn reproduce`: {error}") from error


def file_of(study: str, preset: str, faithful: bool) -> str:
    """Return what files with the results of a study are called: STUDY-PRESET, or with -faithful."""
    return f"{study}-{preset}{'-faithful' if faithful else ''}"


def load_committed(committed: str | Path, name: str) -> Record:
    """Read the committed results.json, or that of this name in a folder of them.

    Raises:
        CheckpointError: There are none.
    """
    path = Path(committed)
    return load_results(path / f"{name}.json" if path.is_dir() else path)


def findings_table(findings: list[Finding]) -> str:
    """Return what was tested, the difference with its interval, and the outcome, as Markdown."""
    rows = []
    for f in findings:
        difference, interval, outcome = f.words
        name = f.statement if f.of_paper else f"{f.statement} *"
        must = f"{f.least:g} {f.unit}"
        rows.append((name, difference, interval, must, _p(f.p), _p(f.p_holm), outcome))
    headings = ("statement", "difference", "95 % interval", "must exceed", "p", "p, Holm")
    return markdown((*headings, "outcome"), rows)


def _p(value: float | None) -> str:
    if value is None:
        return ""
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def verdict_words(record: Record) -> str:
    """Return the verdict in a sentence, and what the star means."""
    findings, count = record.findings, len(record.family)
    words = (
        f"Verdict on the claim at this scale: **{record.said}**, after Holm's correction for "
        f"{count} statement{'s' if count != 1 else ''}."
    )
    if any(not f.of_paper for f in findings):
        words += " A star marks questions of ours, which the paper leaves open."
    return words
