"""Choose a depth by a stated rule, with the uncertainty due to the validation set's size."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor

from autocompress.errors import ConfigError, DepthError
from autocompress.printing import constant_answer, figures
from autocompress.statistics import first_within, least_means, least_within, resampled_means

__all__ = [
    "TIMED_BATCH",
    "SelectConfig",
    "Selection",
    "budget_rule",
    "check_budget",
    "confident_rule",
    "doubts",
    "error_of",
    "knee_rule",
    "layers_rule",
    "nats_rule",
    "not_clearly_better",
    "tolerance_rule",
]

#: Batch size of the times that a budget of milliseconds is compared with.
TIMED_BATCH = 256

#: Maps the scores of depths 0..L (one row, (L + 1,)) to a depth.
Rule = Callable[[Sequence[float]], int]

#: Maps a depth and its score to the standard error of that score.
Error = Callable[[int, float], float]


@dataclass(frozen=True, kw_only=True)
class SelectConfig:
    """One rule by which to choose the depth to keep, on validation data.

    Args:
        tolerance: Accepted loss as a fraction: the shallowest depth within it of full depth's
            score is chosen. 0.005 is half a percentage point, and the default rule.
        confidence: Confidence with which the tolerance must hold for examples of this kind, e.g.
            0.95. It takes log(1 - confidence) / log(1 - tolerance) validation examples, about 600
            with 0.95 and 0.005, before a depth passes that answers all of them like full depth.
        nats: Accepted increase of the mean loss: the shallowest depth within it of full depth's
            loss is chosen. For language models.
        parameters: Budget of parameters: of the depths within it and within one standard error of
            the best of them, the deepest is chosen.
        flops: Budget of FLOPs per example; otherwise like ``parameters``.
        milliseconds: Budget of time for a batch of 256; otherwise like ``parameters``.
        knee: Whether to choose the depth farthest above the line from depth 0 to full depth.
        layers: Number of layers to keep, whatever they score.

    Raises:
        ConfigError: A value is out of range, or more than one rule is given.
    """

    tolerance: float | None = None
    confidence: float | None = None
    nats: float | None = None
    parameters: float | None = None
    flops: float | None = None
    milliseconds: float | None = None
    knee: bool = False
    layers: int | None = None
    #: The rules, of which one is given, each with the options that go with it.
    rules: ClassVar[tuple[tuple[str, ...], ...]] = (
        ("tolerance", "confidence"),
        *((budget,) for budget in ("nats", "parameters", "flops", "milliseconds")),
        ("layers",),
        ("knee",),
    )

    def __post_init__(self) -> None:
        names = [rule for rule, *_ in self.rules if rule != "knee"]
        asked = [name for name in names if getattr(self, name) is not None]
        asked += ["knee"] if self.knee else []
        if len(asked) > 1:
            raise ConfigError(
                f"select takes one rule ({', '.join(names)} or knee); given: {', '.join(asked)}"
            )
        if self.tolerance is not None and not 0 <= self.tolerance < 1:
            raise ConfigError(
                f"select.tolerance {self.tolerance} must be a fraction in [0, 1), e.g. 0.005"
            )
        if self.nats is not None and not self.nats >= 0:
            raise ConfigError(f"select.nats {self.nats} must be at least 0, e.g. 0.02")
        for name in ("parameters", "flops", "milliseconds"):
            budget = getattr(self, name)
            if budget is not None and not budget > 0:
                raise ConfigError(f"select.{name} {budget:g} must be a budget above 0")
        if self.confidence is not None and not 0.5 <= self.confidence < 1:
            raise ConfigError(f"select.confidence {self.confidence} must be in [0.5, 1), e.g. 0.95")
        if self.confidence is not None and asked not in ([], ["tolerance"]):
            raise ConfigError("select.confidence goes with the tolerance rule")

    @property
    def slack(self) -> float | None:
        """Return the tolerance, 0.005 if no rule is given; None for another rule."""
        rules = (self.nats, self.parameters, self.flops, self.milliseconds, self.layers)
        if self.knee or any(rule is not None for rule in rules):
            return None
        return 0.005 if self.tolerance is None else self.tolerance


@dataclass(frozen=True)
class Selection:
    """A chosen depth, usable wherever an int is (``ac.cut(net, selection)``).

    Attributes:
        depth: The chosen depth.
        rule: The rule in words.
        score: Validation score at this depth, as a fraction.
        full_score: Validation score at full depth.
        difference_interval: 95 % bootstrap interval of score - full_score (paired: both depths
            are scored on the same resampled examples).
        depth_interval: 95 % bootstrap interval of the depth that the rule would choose.
        loss: Mean validation cross-entropy at this depth, in nats; None if unknown.
        full_loss: Mean validation cross-entropy at full depth.
        metric: Name of the score.
        unit: Unit of the loss.
        warnings: Reasons to distrust this choice, as sentences.
    """

    depth: int
    rule: str
    score: float
    full_score: float
    difference_interval: tuple[float, float]
    depth_interval: tuple[int, int]
    loss: float | None = None
    full_loss: float | None = None
    metric: str = "accuracy"
    unit: str = "nats"
    warnings: tuple[str, ...] = ()

    def __index__(self) -> int:
        return self.depth

    def __str__(self) -> str:
        low, high = (100 * v for v in self.difference_interval)
        losses = ""
        if self.loss is not None and self.full_loss is not None:
            losses = f"loss {self.loss:.3f} {self.unit}, {self.loss - self.full_loss:+.3f}; "
        of = "" if self.metric == "accuracy" else f" {self.metric}"
        said = "".join(f". Warning: {warning}" for warning in self.warnings)
        return (
            f"depth {self.depth} ({self.rule}): {100 * self.score:.2f} %{of} on validation, "
            f"{100 * (self.score - self.full_score):+.2f} points against full depth "
            f"[95 % interval {low:+.2f} to {high:+.2f}]; {losses}"
            f"resampled, the rule gives depths {self.depth_interval[0]}..{self.depth_interval[1]}"
            f"{said}"
        )


def choose(
    hits: Tensor, rule: Rule, words: str, seed: int = 0, by: Tensor | None = None
) -> Selection:
    """Choose a depth by ``rule``, and repeat the choice on 1,000 bootstrap resamples.

    Args:
        hits: Scores (examples, L + 1) of example n at depth k.
        rule: Function from scores to a depth.
        words: The rule in words.
        seed: Seed of the resampling, which has its own generator.
        by: Values (examples, L + 1) whose means the rule reads in place of the hits' means; higher
            is better.
    """
    scores = hits.double().mean(0)
    judged = scores if by is None else by.double().mean(0)
    depth = rule(judged.tolist())
    resampled = resampled_means(hits, seed)
    rejudged = resampled if by is None else resampled_means(by, seed)
    difference = resampled[:, depth] - resampled[:, -1]
    depths = torch.tensor([rule(row) for row in rejudged.tolist()], dtype=torch.float64)
    levels = torch.tensor([0.025, 0.975], dtype=torch.float64)
    low, high = torch.quantile(difference, levels).tolist()
    fewest, most = torch.quantile(depths, levels, interpolation="nearest").tolist()
    return Selection(
        depth=depth,
        rule=words,
        score=float(scores[depth]),
        full_score=float(scores[-1]),
        difference_interval=(low, high),
        depth_interval=(int(fewest), int(most)),
    )


def doubts(
    hits: Tensor,
    constant: float | None,
    metric: str,
    tolerance: float | None,
    confidence: float | None = None,
) -> tuple[str, ...]:
    """Return reasons to distrust scores, or a choice based on them, as sentences for warnings.

    Args:
        hits: Scores (examples, L + 1).
        constant: Score of the best answer that ignores the input; None if unknown.
        metric: Name of the score.
        tolerance: Tolerance of the rule; None if it has none.
        confidence: Confidence with which it must hold; None if it need not.

    Example:
        >>> doubts(torch.tensor([[True, True], [False, False]]), 0.5, "accuracy", None)[0][:39]
        'no depth of this network is better than'
    """
    found = []
    if constant is not None and not_clearly_better(hits, constant):
        scores = hits.double().mean(0)
        better = "clearly better" if float(scores.max()) > constant else "better"
        found.append(
            f"no depth of this network is {better} than {constant_answer(metric)}: full depth "
            f"scores {100 * float(scores[-1]):.2f} %, that answer {100 * constant:.2f} %, so no "
            "choice of a depth means anything yet"
        )
    if tolerance is not None:
        few = _too_few(len(hits), tolerance, confidence)
        found += [few] if few else []
    return tuple(found)


def _too_few(examples: int, tolerance: float, confidence: float | None) -> str:
    """Return a warning of a set that is too small for the rule; empty if it is large enough."""
    needed, certainty, why = 1 / tolerance if tolerance else 0.0, "", ""
    if confidence is None:
        why = f"one of them is {100 / examples:.2f} points"
    else:
        needed = math.log(1 - confidence) / math.log1p(-tolerance) if tolerance else math.inf
        certainty = f" with {100 * confidence:g} % confidence"
        why = "even the same answers as at full depth do not show that a depth is within it"
    if examples * (1 + 1e-9) >= needed:
        return ""
    more = "" if needed == math.inf else f"at least {_whole(needed)} examples, "
    return (
        f"{examples} validation examples are too few for a tolerance of {100 * tolerance:g} "
        f"points{certainty}: {why}, so take {more}a wider tolerance or a budget"
    )


def not_clearly_better(hits: Tensor, constant: float) -> bool:
    """Return whether no depth is better than an answer that ignores the input.

    Full depth must be better by one standard error, the best depth (the luckiest of many) by two.

    Args:
        hits: Scores (examples, L + 1).
        constant: Score of that answer.
    """
    scores, error = hits.double().mean(0), error_of(hits)
    best = int(scores.argmax())
    full = float(scores[-1]) <= constant + error(hits.shape[1] - 1, float(scores[-1])) + 1e-9
    return full and float(scores[best]) <= constant + 2 * error(best, float(scores[best])) + 1e-9


def error_of(hits: Tensor) -> Error:
    """Return the function from a depth and its score to the score's standard error.

    Example:
        >>> round(error_of(torch.ones(100, 2).bool())(1, 0.9), 4)
        0.03
    """
    examples = len(hits)
    if hits.dtype == torch.bool:  # this formula holds for a resample's score as well
        return lambda depth, score: (score * (1 - score) / examples) ** 0.5
    spreads = (hits.double().std(0, correction=0) / examples**0.5).tolist()
    return lambda depth, score: float(spreads[depth])


def tolerance_rule(tolerance: float) -> tuple[Rule, str]:
    """Return the rule: the shallowest depth with a score within ``tolerance`` of full depth's."""
    if not 0 <= tolerance < 1:
        raise ConfigError(f"tolerance {tolerance} must be a fraction in [0, 1), e.g. 0.005")

    return partial(first_within, slack=tolerance), (
        f"the shallowest depth whose validation score is within {100 * tolerance:g} points of "
        "full depth"
    )


def nats_rule(nats: float) -> tuple[Rule, str]:
    """Return the rule: the shallowest depth with a loss at most ``nats`` above full depth's.

    It reads negated losses, since a higher score is better.
    """
    if not nats >= 0:
        raise ConfigError(f"nats {nats} must be at least 0, e.g. 0.02")

    return partial(first_within, slack=nats), (
        f"the shallowest depth whose validation loss is within {nats:g} nats of full depth"
    )


def confident_rule(hits: Tensor, tolerance: float, confidence: float) -> tuple[Rule, str]:
    """Return the rule: the shallowest depth within ``tolerance``, beyond sampling noise.

    The difference from full depth is bounded as if there were one more example, which this depth
    loses (:func:`autocompress.statistics.least_means`), so a depth that loses more than the
    tolerance passes in at most a share 1 - ``confidence`` of all validation sets, whatever their
    size.
    """
    allowed, _ = tolerance_rule(tolerance)
    if not 0.5 <= confidence < 1:
        raise ConfigError(f"confidence {confidence} must be in [0.5, 1), e.g. 0.95")
    differences = hits.double() - hits[:, -1:].double()
    worst = min(-1.0, float(differences.min()))  # shares of R^2 have no lowest value
    bounds = least_means(differences, confidence, worst).tolist()
    sure = [*(bound >= least_within(0.0, tolerance) for bound in bounds[:-1]), True]

    def rule(scores: Sequence[float]) -> int:
        shallowest = allowed(scores)
        return next(k for k, passed in enumerate(sure) if passed and k >= shallowest)

    return rule, (
        f"the shallowest depth whose validation score is within {100 * tolerance:g} points of "
        f"full depth with {100 * confidence:g} % confidence"
    )


def budget_rule(costs: Sequence[float], budget: float, unit: str, error: Error) -> tuple[Rule, str]:
    """Return the rule: the deepest affordable depth within a standard error of the best one.

    A user who names a budget is willing to spend it, and among depths that the examples cannot
    distinguish the deepest is the safest.
    """
    check_budget(costs, budget, unit)
    affordable = [k for k, cost in enumerate(costs) if cost <= budget]

    def rule(scores: Sequence[float]) -> int:
        best = max(affordable, key=lambda k: scores[k])
        least = scores[best] - error(best, scores[best])
        return max(k for k in affordable if scores[k] >= least)

    return rule, (
        f"the deepest of at most {figures(budget)} {unit} whose validation score is within one "
        "standard error of the best of them"
    )


def check_budget(costs: Sequence[float], budget: float, unit: str) -> None:
    """Raise ConfigError if no depth costs at most ``budget``; ``costs`` are those of all depths."""
    if min(costs) > budget:
        raise ConfigError(
            f"no depth costs at most {figures(budget)} {unit}; depth 0 costs "
            f"{figures(costs[0])}, full depth {figures(costs[-1])}"
        )


def layers_rule(layers: int, depth: int) -> tuple[Rule, str]:
    """Return the rule that chooses the requested number of layers."""
    if not 0 <= layers <= depth:
        raise DepthError(layers, depth)
    return lambda scores: layers, "the requested number of layers"


def knee_rule() -> tuple[Rule, str]:
    """Return the rule: the depth farthest above the chord from depth 0 to L (Kneedle, 2011)."""

    def rule(scores: Sequence[float]) -> int:
        last = len(scores) - 1
        if last == 0:
            return 0
        rise = scores[-1] - scores[0]
        above = [s - scores[0] - rise * k / last for k, s in enumerate(scores)]
        return max(range(len(scores)), key=lambda k: (round(above[k], 12), -k))

    return rule, "the knee: the depth farthest above the straight line from depth 0 to full depth"


def _whole(number: float) -> str:
    """Return the next whole number of examples, in figures."""
    return f"{math.ceil(number - 1e-9):,}" if number < 1e12 else f"{number:.0e}"
