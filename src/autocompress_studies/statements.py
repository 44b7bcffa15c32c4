"""Statements about paired differences, tested together."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from types import MappingProxyType
from typing import TypeVar

from torch import Tensor

from autocompress.io.bits import unpack_bits
from autocompress.statistics import (
    LEVEL,
    Estimate,
    Outcome,
    Shared,
    holm,
    judge,
    least_within,
    paired,
    paired_examples,
)
from autocompress_studies.results import Results
from autocompress_studies.work import TOLERANCE

__all__ = ["Finding", "Statement", "accuracy", "as_good", "compresses", "fewer_layers"]
__all__ += ["layers_saved", "loses_less", "lower_loss", "more", "more_accurate"]
__all__ += ["more_on_average", "needed", "overall", "points", "tested"]

K = TypeVar("K", bound=Hashable)


@dataclass(frozen=True)
class Statement:
    """The statement that a paired difference is above ``least``.

    Args:
        words: The statement as it reads if it holds.
        estimate: The difference.
        least: Value that it must exceed, in the estimate's own unit.
        unit: Unit that value and interval are shown in, ``scale`` times the estimate's own.
        scale: For example 100, from fractions to points.
        of_paper: Whether the paper states it. Questions that the paper leaves open do not count
            for the verdict on the claim.
    """

    words: str
    estimate: Estimate
    least: float = 0.0
    unit: str = "points"
    scale: float = 1.0
    of_paper: bool = True


@dataclass(frozen=True)
class Finding:
    """A statement, tested.

    Args:
        statement: The statement in words.
        rule: Condition under which it holds, in words.
        least: Value that the difference must exceed, in ``unit``.
        outcome: ``holds``, ``does not hold`` or ``undecided``, after the correction.
        value, low, high: The paired difference and its 95 % interval, in ``unit``.
        unit: ``points``, ``layers``, ...
        seeds: Number of pairs.
        of_paper: False for a question that the paper leaves open.
        p, p_holm: Two-sided p-value of the hypothesis that the difference equals ``least``, alone
            and adjusted for all statements of the study; None where one seed leaves it open.
        converged: Whether the residual network that it is about has converged, as far as is known.
    """

    statement: str
    rule: str
    least: float
    outcome: Outcome
    value: float
    low: float | None
    high: float | None
    unit: str
    seeds: int
    of_paper: bool = True
    p: float | None = None
    p_holm: float | None = None
    converged: bool = True

    @property
    def alone(self) -> Outcome:
        """Return the outcome that the interval alone, without correction, would give."""
        if self.low is None or self.high is None:
            return "undecided"
        return judge(Estimate(self.value, self.low, self.high, self.seeds), self.least)

    @property
    def words(self) -> tuple[str, str, str]:
        """Return the difference, its interval and the outcome as tables show them."""
        interval = "one seed: none" if self.low is None else f"{self.low:+.2f} to {self.high:+.2f}"
        alone = "" if self.alone == self.outcome else f" (alone: {self.alone})"
        return f"{self.value:+.2f} {self.unit}", interval, f"{self.outcome}{alone}"


def tested(statements: Iterable[Statement]) -> list[Finding]:
    """Test the statements of one study together.

    A statement is decided if its 95 % interval lies on one side of the value that the difference
    must exceed *and* its p-value, adjusted by Holm for the number of statements, is at most 5 %.

    Example:
        >>> one = Statement("A beats B", paired([0.2, 0.21, 0.22], [0.1, 0.1, 0.1]), scale=100)
        >>> tested([one])[0].outcome, tested([one] * 40)[0].outcome
        ('holds', 'undecided')
    """
    family = list(statements)
    values = [each.estimate.p_value(each.least) for each in family]
    return [
        _finding(each, p, adjusted)
        for each, p, adjusted in zip(family, values, holm(values), strict=True)
    ]


def _finding(statement: Statement, p: float | None, adjusted: float | None) -> Finding:
    estimate, scale, unit = statement.estimate, statement.scale, statement.unit
    low, high = (None if v is None else scale * v for v in (estimate.low, estimate.high))
    sure = adjusted is not None and adjusted <= LEVEL
    return Finding(
        statement.words,
        f"holds if the whole 95 % interval of the difference lies above {scale * statement.least:g}"
        f" {unit} and the p-value, adjusted by Holm, is at most {LEVEL:g}",
        scale * statement.least,
        judge(estimate, statement.least) if sure else "undecided",
        scale * estimate.value,
        low,
        high,
        unit,
        estimate.seeds,
        statement.of_paper,
        None if p is None else float(f"{p:.3g}"),
        None if adjusted is None else float(f"{adjusted:.3g}"),
    )


def overall(findings: Sequence[Finding]) -> Outcome:
    """Return the verdict on a claim: all statements of the paper must hold; one refuted refutes.

    Statements on networks that have not converged refute nothing, and leave the claim undecided.

    Example:
        >>> overall([])
        'undecided'
    """
    of_paper = [f for f in findings if f.of_paper]
    outcomes = {f.outcome if f.converged else "undecided" for f in of_paper}
    if "does not hold" in outcomes:
        return "does not hold"
    return "holds" if outcomes == {"holds"} else "undecided"


# -- comparisons of networks that `examine` has measured -------------------------------------------


def needed(means: Tensor) -> Tensor:
    """Return the depth that the tolerance rule chooses, from scores by depth (R, L + 1): (R,).

    Example:
        >>> import torch
        >>> needed(torch.tensor([[0.1, 0.9, 0.8, 0.902], [0.1, 0.2, 0.3, 0.4]]))
        tensor([1., 3.], dtype=torch.float64)
    """
    short = means < least_within(means[:, -1:], TOLERANCE)
    return short.double().cumprod(1).sum(1)


def layers_saved(results: Results[K], ours: K, theirs: K, *, shared: Shared = "pairs") -> Estimate:
    """Return how many layers fewer ``ours`` needs than ``theirs``, by the rule on validation data.

    The interval resamples the validation examples and applies the rule to each resample; ``shared``
    says which of them are the same, see :func:`paired_examples`.
    """
    more, fewer = (
        [unpack_bits(hits["validation"]) for hits in results.column(key, "hits")]
        for key in (theirs, ours)
    )
    return paired_examples(more, fewer, needed, shared=shared)


def accuracy(
    results: Results[K], ours: K, theirs: K, *, ours_cut: bool = False, theirs_cut: bool = False
) -> Estimate:
    """Return the test accuracy of ``ours`` less that of ``theirs``, a fraction.

    Args:
        results: Results of a study with these arms.
        ours: Key of an arm.
        theirs: Key of another.
        ours_cut: Whether to take ``ours`` at the depth that validation chose rather than in full.
        theirs_cut: Whether to take ``theirs`` at that depth.
    """
    mine, other = (
        [unpack_bits(hits["cut" if cut else "full"]) for hits in results.column(key, "hits")]
        for key, cut in ((ours, ours_cut), (theirs, theirs_cut))
    )
    return paired_examples(mine, other)


def fewer_layers(
    words: str,
    results: Results[K],
    ours: K,
    theirs: K,
    *,
    shared: Shared = "pairs",
    of_paper: bool = True,
) -> Statement:
    """State that ``ours`` needs fewer layers than ``theirs``."""
    saved = layers_saved(results, ours, theirs, shared=shared)
    return Statement(words, saved, unit="layers", of_paper=of_paper)


def as_good(
    words: str,
    results: Results[K],
    ours: K,
    theirs: K,
    margin: float,
    *,
    of_paper: bool = True,
) -> Statement:
    """State that ``ours``, cut, scores at most ``margin`` (a fraction) below ``theirs``, whole."""
    difference = accuracy(results, ours, theirs, ours_cut=True)
    return points(words, difference, margin=margin, of_paper=of_paper)


def compresses(
    task: str,
    results: Results[K],
    ours: K,
    residual: K,
    margin: float,
    *,
    net: str = "ACN",
    named: str = "the residual network with all its layers",
    rivals: Mapping[str, K] = MappingProxyType({}),
    of_paper: bool = True,
) -> Iterator[Statement]:
    """State that a network needs fewer layers than the residual one, and cut is as good.

    Args:
        task: First words of the statements.
        results: Results of a study with these arms.
        ours: Key of the network.
        residual: Key of the residual network.
        margin: Accuracies (fractions) that differ by less count as equal.
        net: The network in words.
        named: The residual network in words.
        rivals: Keys of others, by their words, than which it is as good; not of the paper.
        of_paper: Whether the paper states the first two.
    """
    words = f"{task}: the {net} needs fewer layers than the residual network"
    yield fewer_layers(words, results, ours, residual, of_paper=of_paper)
    for other, key in {named: residual, **rivals}.items():
        words, stated = f"{task}: the cut {net} is as good as {other}", of_paper and key == residual
        yield as_good(words, results, ours, key, margin, of_paper=stated)


def more_accurate(
    words: str, results: Results[K], ours: K, theirs: K, *, of_paper: bool = True
) -> Statement:
    """State that ``ours`` scores above ``theirs``, both whole."""
    return points(words, accuracy(results, ours, theirs), of_paper=of_paper)


def more_on_average(
    words: str, seen: Sequence[Results[K]], ours: K, theirs: K, *, of_paper: bool = True
) -> Statement:
    """State that ``ours`` scores above ``theirs``, the mean over several kinds of test data."""
    of_each = ([results.last(key) for results in seen] for key in (ours, theirs))
    means = ([fmean(scores) for scores in zip(*each, strict=True)] for each in of_each)
    return more(words, *means, of_paper=of_paper)


def loses_less(
    words: str,
    clean: Results[K],
    seen: Results[K],
    ours: K,
    theirs: K,
    *,
    of_paper: bool = True,
) -> Statement:
    """State that ``ours`` loses less than ``theirs`` from clean test data to others, both whole."""
    pairs = (zip(clean.last(key), seen.last(key), strict=True) for key in (theirs, ours))
    lost = ([before - after for before, after in pair] for pair in pairs)
    return more(words, *lost, of_paper=of_paper)


def lower_loss(
    words: str, results: Results[K], ours: K, theirs: K, *, of_paper: bool = True
) -> Statement:
    """State that ``ours`` has the lower test loss, both whole."""
    losses = (results.last(key, "test_loss") for key in (theirs, ours))
    return Statement(words, paired(*losses), unit="nats", of_paper=of_paper)


def points(
    words: str, estimate: Estimate, *, margin: float = 0.0, of_paper: bool = True
) -> Statement:
    """State that a difference of fractions is above ``-margin``, and show it in points."""
    return Statement(words, estimate, 0.0 - margin, "points", 100, of_paper)


def more(
    words: str,
    ours: Sequence[float],
    theirs: Sequence[float],
    *,
    margin: float = 0.0,
    of_paper: bool = True,
) -> Statement:
    """State that fractions, one for each seed, are larger, or at most ``margin`` smaller."""
    return points(words, paired(ours, theirs), margin=margin, of_paper=of_paper)
