"""Runs that are too short do not judge a claim."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from autocompress.statistics import paired
from autocompress_studies import statements
from autocompress_studies.convergence import controls, convergence_words
from autocompress_studies.results import Results
from autocompress_studies.statements import Statement, overall


def results(curves: dict[str, list[list[float]]]) -> Results[str]:
    """One arm for each name, with the validation scores of each seed by epoch."""
    scores: dict[tuple[str, int], dict[str, Any]] = {
        (name, seed): {"by_epoch": curve} if curve else {}
        for name, seeds in curves.items()
        for seed, curve in enumerate(seeds)
    }
    return Results([0, 1], scores)


def test_each_task_has_its_first_residual_arm_as_control() -> None:
    flat, rising = [0.5, 0.9, 0.9, 0.903], [0.5, 0.6, 0.7, 0.8]
    found = list(
        controls(
            results(
                {
                    "digits, ACN, plain": [rising, rising],
                    "digits, residual, plain": [flat, flat],
                    "digits, residual, branches": [rising, rising],
                    "photos, residual": [flat, rising],  # the mean of seeds counts
                    "words, residual": [[], []],  # nothing is recorded
                    "names, residual": [[0.1, 0.9], [0.1, 0.9]],  # too few to tell
                }
            )
        )
    )
    assert [(each.arm, each.task, each.converged) for each in found] == [
        ("digits, residual, plain", "digits", True),
        ("photos, residual", "photos", False),
    ]
    assert found[1].gain == pytest.approx((0.003 + 0.1) / 2)
    assert found[1].decides("photos: the ACN is better")
    assert not found[1].decides("digits: the ACN is better")
    assert not found[1].decides("photos-large: the ACN is better")
    said = convergence_words(found)
    assert "digits, residual, plain +0.3 points (converged)" in said
    assert "photos, residual +5.2 points (not converged)" in said


def test_one_control_without_a_task_decides_on_all() -> None:
    (found,) = controls(results({"ACN": [[0.1] * 4] * 2, "residual": [[0.1, 0.2, 0.3, 0.4]] * 2}))
    assert found.decides("anything")
    assert not found.converged


@pytest.mark.parametrize(("score", "count"), [(0.997, 1), (0.99, 0)])
def test_a_control_that_cannot_gain_more_has_converged(score: float, count: int) -> None:
    runs = {("k, residual", seed): {"validation": [0.1, score]} for seed in (0, 1)}
    found = list(controls(Results([0, 1], runs)))
    assert [each.converged for each in found] == [True] * count
    said = convergence_words(found)
    assert ("at most 0.3 points" in said) == bool(count)
    assert "last quarter" not in said  # no epoch is recorded


def test_no_record_is_said() -> None:
    assert convergence_words([]).endswith("was not recorded.")


def test_statements_on_short_runs_do_not_count() -> None:
    above, below = paired([0.9, 0.91, 0.92], [0.1] * 3), paired([0.1] * 3, [0.9, 0.91, 0.92])
    good, bad = statements.tested([Statement("A", above), Statement("B", below)])
    assert (good.outcome, bad.outcome) == ("holds", "does not hold")
    assert overall([good]) == "holds"
    assert overall([good, bad]) == "does not hold"
    short = replace(bad, converged=False)
    assert overall([good, short]) == "undecided"
    assert overall([bad, replace(good, converged=False)]) == "does not hold"
    assert overall([replace(good, converged=False)]) == "undecided"
    assert overall([good, replace(short, of_paper=False)]) == "holds"  # a question of ours
