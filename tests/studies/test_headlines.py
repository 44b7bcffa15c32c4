"""The statements of each study that summaries show."""

from __future__ import annotations

from dataclasses import replace

import pytest

from autocompress.errors import ConfigError
from autocompress_studies.page import committed, headlines, results_folder
from autocompress_studies.record import load_results


def test_summaries_show_the_statements_that_a_study_names() -> None:
    record = load_results(results_folder() / "depth-cpu.json")
    rows = headlines([record], "evidence.md").splitlines()[2:]
    assert [row.split(" | ")[1] for row in rows] == list(record.study.headlines)
    first = record.findings[0]
    assert f"| {first.value:+.2f} {first.unit} | {first.low:+.2f} to {first.high:+.2f} |" in rows[0]


def test_words_that_no_statement_has_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    record = load_results(results_folder() / "depth-cpu.json")
    monkeypatch.setattr(record, "study", replace(record.study, headlines=("the ACN is blue",)))
    with pytest.raises(ConfigError, match="depth has no statement 'the ACN is blue'"):
        headlines([record], "evidence.md")


def test_every_claim_has_statements_in_the_summary() -> None:
    """But for the study ``summary``, which repeats those of the others."""
    claims = [r for r in committed(results_folder()) if r.study.statements is not None]
    assert [r.study.name for r in claims if not r.study.headlines] == ["summary"]
