"""Paired differences with their 95 % intervals, and conclusions from them.

Two networks are compared seed by seed: same seed, same subset of the data, same test examples. Two
things are uncertain, and each has an interval:

- *which seeds were drawn*: Student's t interval of the mean of the paired differences;
- *which examples were drawn*: a bootstrap that draws seeds and examples, with the same examples for
  all networks that were scored on them.

A bootstrap of three seeds alone would be too narrow, and the t interval ignores the test set, so
the interval spans both where both are available. With one seed there is no interval.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from autocompress.errors import ConfigError
from autocompress.statistics.bootstrap import RESAMPLES, resampled_together
from autocompress.statistics.within import ROUNDING

__all__ = ["Estimate", "Outcome", "Shared", "judge", "paired", "paired_examples"]

Outcome = Literal["holds", "does not hold", "undecided"]

#: Sides that share their examples: all seeds and both sides (a test set), both sides of each seed
#: (validation, drawn anew by each seed), or none.
Shared = Literal["all", "pairs", "none"]


@dataclass(frozen=True)
class Estimate:
    """A mean difference.

    Attributes:
        value: The mean.
        low, high: Bounds of the 95 % interval; None if there is only one seed.
        seeds: Number of pairs.
        differences: Difference of each pair.
        resampled: Mean differences of bootstrap resamples (R,); None if there are no examples.
    """

    value: float
    low: float | None
    high: float | None
    seeds: int
    differences: tuple[float, ...] = field(default=(), repr=False, compare=False)
    resampled: Tensor | None = field(default=None, repr=False, compare=False)

    def p_value(self, least: float) -> float | None:
        """Return the two-sided p-value of the hypothesis that the difference is ``least``.

        It is the largest of the p-values of the t test over seeds and, if there are examples, of
        the bootstrap: by the share of resamples on the other side of ``least``, and by their
        standard deviation, since a thousand resamples cannot show a probability below 0.001.
        Equal differences without examples, such as 2 layers with each seed, have no spread for a t
        test; they are given the sign test's p-value, 2 ** (1 - seeds). Differences that only
        rounding tells apart are equal: 0.3 - 0.2 is not 0.5 - 0.4 in binary.

        Returns:
            The p-value, or None if there is only one seed.

        Example:
            >>> round(paired([2.0, 4.0, 9.0], [1.0, 2.0, 3.0]).p_value(0.0), 3)
            0.188
        """
        if len(self.differences) < 2:
            return None
        from scipy.special import ndtr, stdtr  # scipy.stats takes a second to import

        def tail(distance: float, error: float, law: Callable[[float], float]) -> float:
            return float(distance == 0) if error == 0 else 2 * float(law(-abs(distance) / error))

        distance = 0.0 if _close(self.value, least) else self.value - least
        equal = _equal(self.differences)
        if equal and distance and self.resampled is None:
            return 2.0 ** (1 - self.seeds)
        error = 0.0 if equal else statistics.stdev(self.differences) / math.sqrt(self.seeds)
        found = [tail(distance, error, partial(stdtr, self.seeds - 1))]
        if self.resampled is not None:
            beyond = [float((self.resampled <= least).double().mean())]
            beyond.append(float((self.resampled >= least).double().mean()))
            found.append(min(1.0, 2 * min(beyond)))
            found.append(tail(distance, float(self.resampled.std()), ndtr))
        return max(found)


def paired(ours: Sequence[float], theirs: Sequence[float]) -> Estimate:
    """Return the mean of ``ours - theirs``, pair by pair, with Student's t interval.

    Args:
        ours: One number for each seed.
        theirs: One number for each seed, in the same order.

    Raises:
        ConfigError: The sides have different numbers of seeds, or none, or a number is not finite.

    Example:
        >>> paired([1.0, 2.0, 3.0], [0.0, 0.0, 0.0])
        Estimate(value=2.0, low=-0.484138, high=4.484138, seeds=3)
    """
    _check(ours, theirs)
    differences = tuple(float(a - b) for a, b in zip(ours, theirs, strict=True))
    for pair, difference in enumerate(differences):
        if not math.isfinite(difference):
            raise ConfigError(
                f"pair {pair + 1} compares {ours[pair]} with {theirs[pair]}; expected finite "
                "numbers: leave a seed that diverged out on both sides, and say so"
            )
    mean, seeds = statistics.fmean(differences), len(differences)
    if seeds == 1:
        return Estimate(mean, None, None, 1, differences)
    if _equal(differences):
        return Estimate(mean, round(mean, 6), round(mean, 6), seeds, differences)
    from scipy.special import stdtrit

    half = float(stdtrit(seeds - 1, 0.975)) * statistics.stdev(differences) / math.sqrt(seeds)
    return Estimate(mean, round(mean - half, 6), round(mean + half, 6), seeds, differences)


def paired_examples(
    ours: Sequence[Tensor],
    theirs: Sequence[Tensor],
    statistic: Callable[[Tensor], Tensor] | None = None,
    *,
    shared: Shared = "all",
) -> Estimate:
    """Return a mean difference computed from examples, with an interval that spans both sources.

    Args:
        ours: Scores (examples, ...) for each seed.
        theirs: Scores (examples, ...) for each seed, in the same order.
        statistic: Function from resampled means (R, ...) to one number for each resample (R,);
            None takes the means (R,) themselves.
        shared: Sides that share their examples, which are drawn together.

    Raises:
        ConfigError: The sides have different numbers of seeds, or of shared examples, or a score is
            not finite.
    """
    _check(ours, theirs)
    of = statistic or (lambda means: means)
    sides = [*ours, *theirs]
    values = [float(of(x.double().mean(0, keepdim=True))) for x in sides]
    seeds = len(ours)
    estimate = paired(values[:seeds], values[seeds:])
    if estimate.low is None or estimate.high is None:
        return estimate
    random = np.random.RandomState(0)  # its stream is frozen
    means = {
        place: of(resampled)
        for group in _groups(seeds, shared)
        for place, resampled in zip(
            group, resampled_together([sides[k] for k in group], random), strict=True
        )
    }
    differences = torch.stack([means[k] - means[seeds + k] for k in range(seeds)])  # (seeds, R)
    drawn = torch.from_numpy(random.randint(seeds, size=(seeds, RESAMPLES)))
    spread = differences.gather(0, drawn).mean(0)
    low, high = torch.quantile(spread, torch.tensor([0.025, 0.975], dtype=torch.float64)).tolist()
    return Estimate(
        estimate.value,
        round(min(low, estimate.low), 6),
        round(max(high, estimate.high), 6),
        seeds,
        estimate.differences,
        spread,
    )


def judge(estimate: Estimate, least: float) -> Outcome:
    """Decide whether the difference is above ``least``, by the position of its interval.

    Returns:
        ``holds`` if the whole interval lies above, ``does not hold`` if no part of it does,
        otherwise ``undecided``.

    Example:
        >>> judge(Estimate(2.0, 1.0, 3.0, 3), least=0.0), judge(Estimate(2.0, 1.0, 3.0, 3), 2.0)
        ('holds', 'undecided')
    """
    if estimate.low is None or estimate.high is None:
        return "undecided"
    if estimate.low > least:
        return "holds"
    return "does not hold" if estimate.high <= least else "undecided"


def _close(a: float, b: float) -> bool:
    return math.isclose(a, b, rel_tol=ROUNDING, abs_tol=ROUNDING)


def _equal(differences: Sequence[float]) -> bool:
    return _close(min(differences), max(differences))


def _groups(seeds: int, shared: Shared) -> list[list[int]]:
    """Return groups of sides (ours by seed, then theirs by seed) that share their examples."""
    if shared == "all":
        return [list(range(2 * seeds))]
    if shared == "pairs":
        return [[k, seeds + k] for k in range(seeds)]
    return [[k] for k in range(2 * seeds)]


def _check(ours: Sequence[object], theirs: Sequence[object]) -> None:
    if len(ours) != len(theirs) or not ours:
        raise ConfigError(
            f"{len(ours)} seeds against {len(theirs)}: pairs need the same seeds on both sides, "
            "at least one"
        )
