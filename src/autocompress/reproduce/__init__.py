"""The paper's claims, tested: each with rivals, seeds, intervals and a verdict."""

import autocompress.reproduce.claims  # noqa: F401  (its modules register themselves)
from autocompress.reproduce.claim import (
    PRESETS,
    Arm,
    Claim,
    Finding,
    Results,
    Table,
    find_claim,
    finding,
    list_claims,
    overall,
    register_claim,
)
from autocompress.reproduce.command import list_table, reproduce
from autocompress.reproduce.output import Record, load_results
from autocompress.reproduce.runner import CLUSTERS, run_study
from autocompress.reproduce.study import Job, Study
from autocompress.reproduce.work import Work, examine

__all__ = [
    "Arm",
    "CLUSTERS",
    "Claim",
    "Finding",
    "Job",
    "PRESETS",
    "Record",
    "Results",
    "Study",
    "Table",
    "Work",
    "examine",
    "find_claim",
    "finding",
    "list_claims",
    "list_table",
    "load_results",
    "overall",
    "register_claim",
    "reproduce",
    "run_study",
]
