"""The verdict: what a run has shown, in one short sentence, and the findings behind it."""

from __future__ import annotations

import math
from typing import Literal

from autocompress.printing import constant_answer, layer_words
from autocompress.report.schema import R_SQUARED, BaselineScores, Measured, Report, shallow_origin
from autocompress.report.units import per_cent, point_words

__all__ = [
    "findings",
    "headline",
    "is_tie",
    "no_better_than_constant",
    "standard_error",
    "standard_error_of",
    "still_learning",
    "verdict",
]

Split = Literal["test", "validation"]


def standard_error(score: float, examples: int) -> float:
    """Return the binomial standard error of an accuracy measured on ``examples`` examples.

    >>> round(standard_error(0.9, 100), 3)
    0.03
    """
    return math.sqrt(score * (1 - score) / examples) if examples else math.inf


def standard_error_of(report: Report, score: float, split: Split = "test") -> float | None:
    """Return one standard error of a score on the test (or validation) data of a run.

    For R^2 it is estimated from the 95 % interval of the score at full depth; None if there is
    none.
    """
    if report["task"]["metric"] != R_SQUARED:
        return standard_error(score, report["task"]["test" if split == "test" else "validation"])
    point = report["depths"][-1]
    interval = point.get("interval") if split == "test" else point.get("validation_interval")
    return (interval[1] - interval[0]) / (2 * 1.96) if interval else None


def is_tie(report: Report, one: float, other: float, split: Split = "test") -> bool:
    """Return whether two scores differ by less than one standard error (of their mean)."""
    difference, error = abs(one - other), standard_error_of(report, (one + other) / 2, split)
    return difference == 0 or (error is not None and difference < error)


def headline(report: Report) -> str:
    """Return the verdict in one short sentence; :func:`findings` has the rest.

    A shallow network that won is named first, because it makes the cut needless.
    """
    kept, deepest, score = report["selected"], _depth(report), report["small"]["test"]
    if no_better_than_constant(report):
        return f"{_no_better(report)}."
    if kept == deepest:
        if still_learning(report):
            return (
                f"Nothing could be cut yet: the network still used all {layer_words(deepest)}, "
                "and was still learning."
            )
        return f"Nothing could be cut: all {layer_words(deepest)} are needed."
    lead = f"{kept} of {layer_words(deepest)}"
    if score is None:
        return f"{lead} are kept; no test score was measured."
    lead += f" {'scores' if kept == 1 else 'score'} {per_cent(score)} on test"
    full = report["full"]["test"]
    if ahead := _lead_of_shallow(report):
        more = f"{point_words(ahead)} more"
        return f"{lead}; a shallow network {shallow_origin(report)} scores {more}."
    if full is None:
        return f"{lead}."
    if is_tie(report, score, full):
        return f"{lead}, a tie with all {deepest}."
    side = "above" if score > full else "below"
    return f"{lead}, {point_words(score - full)} {side} all {deepest}."


def verdict(report: Report) -> str:
    """Return the headline, and below it a line for each of the :func:`findings`."""
    return "\n".join([headline(report), *(f"- {text}" for text in findings(report))])


def findings(report: Report) -> list[str]:
    """Return as sentences what was cut, and how the rest scores on test against its rivals.

    A difference below one standard error of the test set is called a tie. It is said when the
    shallow network won (on test, or on validation only), when the residual baseline can be cut as
    far, when nothing could be cut, and when a rival or a score is missing. If the network is not
    clearly better than always giving the most frequent answer, the first sentence says so. Warnings
    of the selection come last.
    """
    lead, compared, rest = _statements(report)
    said = [lead, *([f"its test score is {compared}"] if compared else []), *rest]
    return [f"{text[0].upper()}{text[1:].removesuffix('.')}." for text in said if text]


def _statements(report: Report) -> tuple[str, str, list[str]]:
    """Return what was cut, the comparison of its score, and the other statements."""
    score = report["small"]["test"]
    lead, compared, tied, rest = _lead(report), "", False, []
    if score is None:
        lead += ", and no test score was measured, so nothing is shown about its accuracy"
    else:
        compared, tied = _comparisons(report, score)
        verb = "scores" if report["selected"] == 1 else "score"
        joined = f", which {verb}" if no_better_than_constant(report) else " and scores"
        lead += f"{joined} {per_cent(score)} on test"
    if report["baseline"] is not None:
        rest.append(_control(report["selected"], report["model"]["depth"], report["baseline"]))
    rest += [*_ahead_on_validation(report), *_missing(report)]
    error = None if score is None else standard_error_of(report, score)
    if tied and error is not None:
        rest.append(
            f"a tie is a difference below one standard error of {report['task']['test']:,} test "
            f"examples (about {point_words(error)})"
        )
    if still_learning(report):
        rest.append(
            f"the best validation score still rose by {point_words(report.get('late_gain') or 0)} "
            "in the last quarter of the epochs; a network that is still learning uses most of its "
            "layers, so it may need fewer after a longer training"
        )
    nothing = no_better_than_constant(report)
    others = [w for w in report.get("warnings", []) if not (nothing and _is_doubt(w))]
    return lead, compared, [*rest, *others]


def no_better_than_constant(report: Report) -> bool:
    """Return whether no depth is better, on validation, than an answer that ignores the input.

    Full depth must be better by one standard error, the best depth by two.
    """
    constant = report.get("constant")
    scores = [s for point in report["depths"] if (s := point["validation"]) is not None]
    if constant is None or not scores:
        return False
    full, best = scores[-1], max(scores)
    errors = [standard_error_of(report, score, "validation") or 0.0 for score in (full, best)]
    return full <= constant + errors[0] + 1e-9 and best <= constant + 2 * errors[1] + 1e-9


def still_learning(report: Report) -> bool:
    """Return whether the network's validation score was still rising when its training ended.

    The last quarter of the epochs must have added more than half a point to the best score, and
    more than one standard error of the score before.
    """
    gain, score = report.get("late_gain"), report["full"]["validation"]
    if gain is None or score is None:
        return False
    before = score if report["task"]["metric"] == R_SQUARED else max(0.0, score - gain)
    return gain > max(0.005, standard_error_of(report, before, "validation") or 0.0)


def _no_better(report: Report) -> str:
    """Return that no depth beats an answer that ignores the input; a lead within errors is told."""
    scores = [s for point in report["depths"] if (s := point["validation"]) is not None]
    better = "clearly better" if max(scores) > (report.get("constant") or 0.0) else "better"
    return f"No depth is {better} than {constant_answer(report['task']['metric'])}"


def _is_doubt(warning: str) -> bool:
    """Return whether a warning says what :func:`_no_better` says, also in earlier reports."""
    return warning.startswith("no depth of this network is") or "learned nothing" in warning


def _lead(report: Report) -> str:
    kept, deepest = report["selected"], report["model"]["depth"]
    if no_better_than_constant(report):
        full, constant = report["full"]["validation"], report.get("constant")
        return (
            f"{_no_better(report)}: all {layer_words(deepest)} score {per_cent(full or 0.0)} on "
            f"validation, that answer {per_cent(constant or 0.0)}; so it means nothing yet that "
            f"the rule leaves {layer_words(kept)}"
        )
    if kept == deepest:
        return f"Nothing could be cut: by its rule the network needs all {layer_words(deepest)}"
    share = 100 * (deepest - kept) / deepest
    return f"The network keeps {kept} of {layer_words(deepest)} ({share:.0f} % cut)"


def _comparisons(report: Report, score: float) -> tuple[str, bool]:
    """Return the score against all rivals that have one, and whether any of them is a tie."""
    rivals: list[tuple[str, Measured | None]] = [
        ("its own full depth", report["full"] if report["selected"] < _depth(report) else None),
        ("the residual baseline at full depth", report["baseline"]),
    ]
    shallow = report["shallow"]
    if shallow is not None:
        came = shallow_origin(report).replace("from", "trained from")
        words = f"a residual network of {layer_words(shallow['depth'])} {came}"
        rivals.append((words, shallow))
    scores = [(name, rival["test"]) for name, rival in rivals if rival is not None]
    known = [(name, other) for name, other in scores if other is not None]
    phrases = [_against(report, score, other, name) for name, other in known]
    phrases += [f"not comparable with {name} (no test score)" for name, s in scores if s is None]
    text = _listed(phrases) if phrases else ""
    if _lead_of_shallow(report):
        text += ", so the shallow network won"
    return text, any(is_tie(report, score, other) for _, other in known)


def _against(report: Report, score: float, other: float, name: str) -> str:
    if is_tie(report, score, other):
        return f"a tie with {name} ({per_cent(other)})"
    side = "above" if score > other else "below"
    return f"{point_words(score - other)} {side} {name} ({per_cent(other)})"


def _control(kept: int, deepest: int, control: BaselineScores) -> str:
    """Return how far the residual baseline can be cut by the same rule."""
    own, of = control["selected"], control["depth"]
    if own == of:
        also = " as well" if kept == deepest else ""
        return f"the residual baseline needs all of its {layer_words(of)}{also}"
    number = "fewer" if own < kept else "as many" if own == kept else "more"
    return (
        f"the residual baseline, cut by the same rule, keeps {number} ({own} of {layer_words(of)}) "
        f"and scores {per_cent(control['depths'][own]['test'])}"
    )


def _ahead_on_validation(report: Report) -> list[str]:
    """Return by how much the shallow network is ahead on validation data, if not on test data.

    The depth kept was selected on the validation data, so they favour it: a rival that is ahead on
    them all the same is one to look at, also where the test data are too few to decide.
    """
    ahead = _lead_of_shallow(report, "validation")
    if not ahead or _lead_of_shallow(report):
        return []
    return [
        f"on validation data the shallow network {shallow_origin(report)} is {point_words(ahead)} "
        "ahead, which is more than one standard error"
    ]


def _lead_of_shallow(report: Report, split: Split = "test") -> float | None:
    """Return the lead of the shallow network over the cut one; None if it has none, or a tie."""
    shallow = report["shallow"]
    ours, theirs = report["small"][split], None if shallow is None else shallow[split]
    if ours is None or theirs is None or theirs <= ours or is_tie(report, ours, theirs, split):
        return None
    return theirs - ours


def _missing(report: Report) -> list[str]:
    names = {
        "baseline": "residual baseline",
        "shallow": f"shallow network {shallow_origin(report)}",
    }
    missing = [f"no {words}" for key, words in names.items() if report.get(key) is None]
    if not missing:
        return []
    were = "were" if len(missing) > 1 else "was"
    return [f"{_listed(missing)} {were} trained to compare with"]


def _depth(report: Report) -> int:
    return report["model"]["depth"]


def _listed(words: list[str]) -> str:
    return ", ".join(words[:-1]) + " and " + words[-1] if len(words) > 1 else words[0]
