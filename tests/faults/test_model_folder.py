"""Mutated files of saved networks and finished runs end with status 0 or 2 and one message.

The long form, each kind in a process of its own: ``python tests/faults/mutate.py --kind config``.
"""

from __future__ import annotations

import random
import tempfile
import warnings
from pathlib import Path
from types import ModuleType

import pytest

from faults import kind_config, kind_metrics, kind_report, kind_tokenizer, mutate
from faults.watch import watched

#: How many of each kind: reading one takes from 0.05 to 1 s.
TRIALS = {kind_config: 20, kind_tokenizer: 60, kind_metrics: 6, kind_report: 6}


@pytest.mark.parametrize("kind", TRIALS, ids=lambda kind: kind.__name__)
def test_a_mutated_file_gets_a_message(kind: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    for seed in range(TRIALS[kind]):
        with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            words = kind.trial(random.Random(f"short {seed}"), Path(folder))
            monkeypatch.chdir(folder)
            outcome = watched(words)
            monkeypatch.undo()
        assert outcome.fault is None, (seed, words, outcome.said)


def test_what_is_mutated_is_read_as_it_was(tmp_path: Path) -> None:
    """A kind whose originals were refused would find nothing."""
    for kind in TRIALS:
        kept = [random.Random(seed) for seed in range(160)]  # few of a report are harmless
        ended = []
        for number, rng in enumerate(kept):
            folder = tmp_path / f"{kind.__name__}-{number}"
            folder.mkdir()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                ended.append(watched(kind.trial(rng, folder)).status)
            if 0 in ended and 2 in ended:
                break
        assert {0, 2} <= set(ended), kind.__name__


def test_the_long_form_knows_them() -> None:
    assert {"config", "tokenizer", "metrics", "report"} <= set(mutate.KINDS)
