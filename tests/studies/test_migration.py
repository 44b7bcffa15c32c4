"""Committed results changed their format, and no value."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results" / "reproduce"

#: Of the scores of every arm and seed, as they were in the files of the format before;
#: ``connectivity``, ``depth``, ``difficulty``, ``early-exit``, ``forgetting``, ``gradients``,
#: ``language``, ``low-data``, ``noise``, ``pruning``, and ``summary``, which depends on them, were
#: measured again with other settings.
BEFORE = {
    "blocks": "6b1534978f75bbae9a5dff2bdc9b4a6e",
    "compression": "fb7e8492feaf9e17a9698c2bd024d775",
    "encoders": "163a625fa887ce4d5bb0d5c3ad7ea0a7",
}


#: Arms that are called otherwise today.
RENAMED = {"ACN, the digits recipe": "ACN, the demo's recipe"}


@pytest.mark.parametrize("name", BEFORE)
def test_the_scores_are_those_of_before(name: str) -> None:
    content = json.loads((RESULTS / f"{name}-cpu.json").read_text())
    assert content["schema"] == 2
    rows = sorted(
        (
            [RENAMED.get(job["arm"], job["arm"]), job["seed"], job["scores"]]
            for job in content["jobs"]
        ),
        key=lambda row: (row[0], row[1]),
    )
    text = json.dumps(rows, sort_keys=True)
    assert hashlib.sha256(text.encode()).hexdigest()[:32] == BEFORE[name]
