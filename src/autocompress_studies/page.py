"""Write docs/evidence.md, which shows every committed result as it came out."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from autocompress.errors import ConfigError
from autocompress.io import atomic_file
from autocompress.printing import markdown
from autocompress.statistics import Outcome
from autocompress_studies.convergence import convergence_words
from autocompress_studies.record import Record, findings_table, load_results, verdict_words
from autocompress_studies.statements import Finding
from autocompress_studies.study import PRESETS, list_studies

__all__ = ["between", "committed", "evidence_page", "headlines", "holm_changes", "marked"]
__all__ += ["results_folder", "take"]

_HEAD = """# Evidence

This page tests each claim of the paper with `acn reproduce`; [reproduce.md](reproduce.md) explains
how. The page is generated from the raw results in [{folder}]({link}): no measured number in it is
typed by hand, and results that contradict the paper are shown like those that agree with it.

Please keep the scale in mind. The `cpu` preset uses real data, but its networks are far smaller
than the paper's, its data are small sets or subsets, and most studies train for far fewer epochs:
what one core can do in minutes or in a few hours (the column "core-minutes"). Its CIFAR-10 consists
of JPEG copies (quality 75), so these accuracies should not be compared with published ones. A claim
that does not hold here may hold at the paper's scale, and vice versa. The `paper` preset is for
readers who have the GPUs; we have not run it. Two studies, `ruler` and `levels`, are questions of
ours on tasks whose needed depth is known.
"""

_RULES = """
How to read the statements: networks are compared seed by seed (same subset, same order, same test
images). The 95 % interval covers both Student's t over the seeds and a bootstrap of seeds and
examples. A study tests up to a hundred statements, so its p-values are adjusted by Holm's
procedure: the probability that any decision of a study is wrong is at most 5 %. A statement *holds*
if its whole interval lies above what the difference must exceed and its adjusted p-value is at most
0.05. It *does not hold* if the whole interval lies at or below that value and the adjusted p-value
is at most 0.05. Otherwise it is *undecided*. If the interval alone, without the correction, would
have decided, the table says so. A claim holds if all of its statements hold, and it does not hold
if any of them does not.

A run that is too short cannot judge a claim, as every layer is still needed in it. The residual
control of a task has *converged* if the last quarter of its epochs raised its best validation score
by at most half a point, the tolerance by which depths are compared (mean of the seeds). Statements
on tasks whose control has not converged are shown and do not count for the verdict, which is then
*undecided: not converged* unless others refute the claim. As the learning rate falls towards the
end of a run, the rule is strict. Depths are selected on validation data: the shallowest depth
within half a point of full depth.
"""

#: Outcomes of statements, by the headings under which they are counted.
_OUTCOMES: dict[str, Outcome] = {
    "hold": "holds",
    "undecided": "undecided",
    "do not hold": "does not hold",
}


def results_folder() -> Path:
    """Return the folder of committed results of the checkout that this package is imported from.

    Raises:
        ConfigError: The package was installed without the repository, which holds them.
    """
    folder = Path(__file__).resolve().parents[2] / "benchmarks" / "results" / "reproduce"
    if not folder.is_dir():
        raise ConfigError(
            "this installation holds no committed results, only a checkout of the repository does: "
            "name a results.json, or a folder of STUDY-PRESET.json files"
        )
    return folder


def committed(folder: Path) -> list[Record]:
    """Return the results in ``folder`` (STUDY-PRESET.json), in the order of the studies."""
    kinds = [f"{preset}{also}" for preset in PRESETS for also in ("", "-faithful")]
    paths = [folder / f"{name}-{kind}.json" for name in list_studies() for kind in kinds]
    return [load_results(path) for path in paths if path.is_file()]


def evidence_page(records: Sequence[Record], folder: str, link: str, data: str) -> str:
    """Return the page of all studies that test statements, as Markdown.

    Args:
        records: Results, see :func:`committed`.
        folder: Name of the folder of the results and their figures on the page.
        link: Relative path from the page to that folder.
        data: Value of ``--data`` in the commands that the page shows.
    """
    claims = [record for record in records if record.study.statements is not None]
    rows = [
        (
            f"[{record.study.name}](#{record.study.name})",
            record.study.shows,
            record.content["preset"],
            str(len(record.results.seeds)),
            f"{record.content['core_seconds'] / 60:.0f}",
            *_counts(record),
            record.said,
        )
        for record in claims
    ]
    headings = ("claim", "tests", "preset", "seeds", "core-minutes", *_OUTCOMES, "outcome")
    head = _HEAD.format(folder=folder, link=link)
    parts = [head, markdown(headings, rows), _RULES]
    return "\n".join([*parts, *(_section(record, link, data) for record in claims)])


def headlines(records: Sequence[Record], page: str) -> str:
    """Return a table of the statements that answer the question of each study, as Markdown.

    Args:
        records: Results, see :func:`committed`.
        page: Relative path to the page of all statements.

    Raises:
        ConfigError: A study has no statement of the words that it names.
    """
    rows = [
        (f"[{record.study.name}]({page}#{record.study.name})", words, *_found(record, words).words)
        for record in records
        for words in record.study.headlines
    ]
    return markdown(("study", "statement", "difference", "95 % interval", "outcome"), rows)


def _found(record: Record, words: str) -> Finding:
    """Return the tested statement of these words."""
    for finding in record.findings:
        if finding.statement == words:
            return finding
    raise ConfigError(f"the study {record.study.name} has no statement {words!r}")


def _counts(record: Record) -> list[str]:
    """Return how many statements of a study hold, are open and do not hold."""
    outcomes = [finding.outcome for finding in record.findings]
    return [str(outcomes.count(outcome)) for outcome in _OUTCOMES.values()]


def marked(page: str, record: Record) -> str:
    """Return a page of docs/ with the tables of a study between their marks."""
    for mark, table in record.study.marks.items():
        page = between(page, mark, table(record.settings, record.results))
    return page


def between(page: str, mark: str, text: str) -> str:
    """Return the page with ``text`` between ``<!-- mark -->`` and ``<!-- /mark -->``."""
    before, rest = page.split(f"<!-- {mark} -->\n")
    _, after = rest.split(f"<!-- /{mark} -->")
    return f"{before}<!-- {mark} -->\n{text}\n<!-- /{mark} -->{after}"


def holm_changes(records: Sequence[Record]) -> Iterator[str]:
    """Name the statements that an interval alone would decide, and the correction leaves open."""
    for record in records:
        for f in record.findings:
            if f.alone != f.outcome:
                yield f"{record.name}: {f.statement}: {f.alone} -> {f.outcome} (p {f.p_holm:.2g})"


def take(studies: Sequence[Path], folder: Path) -> list[Path]:
    """Copy results.json and figure.svg of finished studies to ``folder``; return the new files."""
    written = []
    for study in studies:
        record = load_results(study / "results.json")
        for file, suffix in (("results.json", "json"), ("figure.svg", "svg")):
            with atomic_file(folder / f"{record.name}.{suffix}") as new:
                shutil.copyfile(study / file, new)
            written.append(folder / f"{record.name}.{suffix}")
    return written


def _section(record: Record, pictures: str, data: str) -> str:
    content, claim = record.content, record.study
    options = [f"--preset {content['preset']}", f"--seeds {len(record.results.seeds)}"]
    options += [*([f"--data {data}"] if content["data"] else [])]
    options += [*(["--faithful"] if content["faithful"] else []), f"--output runs/{record.name}"]
    gone = record.withdrawn
    note = f"**Withdrawn:** {gone['why']}\n\n" if gone else ""
    where, seeds = content["environment"], ", ".join(map(str, record.results.seeds))
    return f"""
## {claim.name}

{claim.shows[0].upper()}{claim.shows[1:]}.

The paper: {claim.paper}

Here, with seeds {seeds} (torch {where["torch"]}, {where["device"]}):

{claim.describe(record.settings)}

{note}{record.table}

![{claim.shows}]({pictures}/{record.name}.svg)

{findings_table(record.findings)}

{convergence_words(record.controls)}

{verdict_words(record)}

```
acn reproduce {claim.name} {" ".join(options)}
```
"""
