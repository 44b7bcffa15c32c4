"""Mutated recipes and command lines end with status 0 or 2 and one message.

The long form, in a process of its own: ``python tests/faults/mutate.py --minutes 10 --kind yaml``.
"""

from __future__ import annotations

import random
import tempfile
import warnings
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from faults import kind_options, kind_words, kind_yaml, mutate
from faults.networks import warm_up
from faults.watch import Outcome, watched


@pytest.fixture(scope="module", autouse=True)
def _warm() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warm_up()


SHORT = settings(
    max_examples=70,
    derandomize=True,
    database=None,
    deadline=None,  # the outcome has the seconds of the command alone
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


@pytest.mark.parametrize("kind", [kind_yaml, kind_words], ids=["yaml", "words"])
@SHORT
@given(rng=st.randoms(use_true_random=False))
def test_a_mutated_input_gets_a_message(
    kind: ModuleType, monkeypatch: pytest.MonkeyPatch, rng: random.Random
) -> None:
    _try(kind, monkeypatch, rng)


@settings(SHORT, max_examples=25)  # each loads data and builds a network
@given(rng=st.randoms(use_true_random=False))
def test_an_odd_option_gets_a_message(monkeypatch: pytest.MonkeyPatch, rng: random.Random) -> None:
    _try(kind_options, monkeypatch, rng)


def _try(kind: ModuleType, monkeypatch: pytest.MonkeyPatch, rng: random.Random) -> None:
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        monkeypatch.chdir(folder)  # a mutated --output is relative
        words = kind.trial(rng, Path(folder))
        outcome = watched(words)
        monkeypatch.undo()
    assert outcome.fault is None, (words, outcome.said)


@pytest.mark.parametrize(
    ("status", "said", "seconds", "fault"),
    [
        (0, "", 1.0, None),
        (2, "acn: error: x", 1.0, None),
        (2, "x", 1.0, "no message of ours"),
        (0, "Traceback (most recent call last)", 1.0, "no message of ours"),
        (1, "acn: error: x", 1.0, "status 1"),
        (None, "Traceback", 1.0, "exception"),
        (2, "acn: error: x", 11.0, "longer than 10 s"),
    ],
)
def test_what_counts_as_a_fault(
    status: object, said: str, seconds: float, fault: str | None
) -> None:
    assert Outcome(status, said, seconds, 300.0).fault == fault


def test_an_exception_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(words: list[str]) -> int:
        raise RecursionError

    monkeypatch.setattr("faults.watch.main", broken)
    assert watched(["probe"]).fault == "exception"


def test_the_long_form_knows_the_kinds() -> None:
    assert {"yaml", "words", "options"} <= set(mutate.KINDS)
