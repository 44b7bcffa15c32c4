"""Paired differences with their 95 % intervals, and what follows from them.

Two networks are compared seed by seed: same seed, same subset of the data, same test examples. Two
things are uncertain, and each has an interval:

- *which seeds were drawn*: Student's t interval of the mean of the paired differences;
- *which examples were drawn*: a bootstrap that draws seeds and examples, the same examples for all
  networks that were scored on them.

The bootstrap of three seeds alone would be too narrow, and t knows nothing of the test set, so
where both can be had the interval spans both. With one seed there is none.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from autocompress.errors import ConfigError

__all__ = ["Estimate", "Outcome", "Shared", "judge", "paired", "paired_examples", "students_t"]

Outcome = Literal["holds", "does not hold", "undecided"]

#: Whose examples are the same: those of all seeds and both sides (a test set), those of both sides
#: of each seed (validation, carved anew by each seed), or none.
Shared = Literal["all", "pairs", "none"]

_RESAMPLES = 1000


@dataclass(frozen=True)
class Estimate:
    """A mean difference.

    Attributes:
        value: the mean.
        low, high: 95 % interval; None where one seed leaves it open.
        seeds: how many pairs it is of.
    """

    value: float
    low: float | None
    high: float | None
    seeds: int


def paired(ours: Sequence[float], theirs: Sequence[float]) -> Estimate:
    """The mean of ``ours - theirs``, pair by pair, with Student's t interval.

    Args:
        ours: one number for each seed.
        theirs: the same, in the same order.

    Raises:
        ConfigError: not the same number of seeds, or none.

    Example:
        >>> paired([1.0, 2.0, 3.0], [0.0, 0.0, 0.0])
        Estimate(value=2.0, low=-0.484338, high=4.484338, seeds=3)
    """
    _check(ours, theirs)
    differences = [a - b for a, b in zip(ours, theirs, strict=True)]
    mean = statistics.fmean(differences)
    if len(differences) == 1:
        return Estimate(mean, None, None, 1)
    error = statistics.stdev(differences) / math.sqrt(len(differences))
    reach = students_t(len(differences) - 1) * error
    return Estimate(mean, round(mean - reach, 6), round(mean + reach, 6), len(differences))


def paired_examples(
    ours: Sequence[Tensor],
    theirs: Sequence[Tensor],
    statistic: Callable[[Tensor], Tensor] | None = None,
    *,
    shared: Shared = "all",
) -> Estimate:
    """The same for what is computed from examples: its interval spans t's and the bootstrap's.

    Args:
        ours: for each seed, (examples, ...).
        theirs: the same.
        statistic: from resampled means (R, ...) to one number for each resample (R,); None for
            the means (R,) themselves.
        shared: whose examples are the same, and so are drawn together.

    Raises:
        ConfigError: not the same number of seeds, or of examples that are shared.
    """
    _check(ours, theirs)
    of = statistic or (lambda means: means)
    sides = [*ours, *theirs]
    values = [float(of(x.double().mean(0, keepdim=True))) for x in sides]
    seeds = len(ours)
    estimate = paired(values[:seeds], values[seeds:])
    if estimate.low is None or estimate.high is None:
        return estimate
    random = np.random.RandomState(0)  # its stream is frozen for good
    means = {
        place: of(resampled)
        for group in _groups(seeds, shared)
        for place, resampled in zip(
            group, _resampled([sides[k] for k in group], random), strict=True
        )
    }
    differences = torch.stack([means[k] - means[seeds + k] for k in range(seeds)])  # (seeds, R)
    drawn = torch.from_numpy(random.randint(seeds, size=(seeds, _RESAMPLES)))
    spread = differences.gather(0, drawn).mean(0)
    low, high = torch.quantile(spread, torch.tensor([0.025, 0.975], dtype=torch.float64)).tolist()
    return Estimate(
        estimate.value,
        round(min(low, estimate.low), 6),
        round(max(high, estimate.high), 6),
        estimate.seeds,
    )


def judge(estimate: Estimate, least: float) -> Outcome:
    """Whether the difference is above ``least``: the interval lies above it, below it, or neither.

    Example:
        >>> judge(Estimate(2.0, 1.0, 3.0, 3), least=0.0), judge(Estimate(2.0, 1.0, 3.0, 3), 2.0)
        ('holds', 'undecided')
    """
    if estimate.low is None or estimate.high is None:
        return "undecided"
    if estimate.low > least:
        return "holds"
    return "does not hold" if estimate.high <= least else "undecided"


def students_t(freedom: int) -> float:
    """The 97.5 % quantile of Student's t.

    Example:
        >>> students_t(2), students_t(10**6)
        (4.303, 1.96)
    """
    from scipy.stats import t  # of scikit-learn's requirements; slow to import

    return round(float(t.ppf(0.975, freedom)), 3)


def _groups(seeds: int, shared: Shared) -> list[list[int]]:
    """Which of the sides (ours by seed, then theirs by seed) have the same examples."""
    if shared == "all":
        return [list(range(2 * seeds))]
    if shared == "pairs":
        return [[k, seeds + k] for k in range(seeds)]
    return [[k] for k in range(2 * seeds)]


def _resampled(sides: Sequence[Tensor], random: np.random.RandomState) -> list[Tensor]:
    """The means over resampled examples, the same ones for all: each (n, ...) to (R, ...)."""
    sizes = {len(side) for side in sides}
    if len(sizes) > 1:
        raise ConfigError(f"{sizes} examples: what is compared must be of the same ones")
    n = sizes.pop()
    flat = [side.reshape(n, -1) for side in sides]
    # Of equal rows only the number matters: hits have few kinds, and one draw counts them all.
    kinds, counts = torch.unique(torch.cat(flat, dim=1), dim=0, return_counts=True)
    drawn = random.multinomial(n, (counts.double() / n).numpy(), size=_RESAMPLES)
    means = torch.from_numpy(drawn).double() @ kinds.double() / n
    parts = means.split([part.shape[1] for part in flat], dim=1)
    return [m.reshape(_RESAMPLES, *side.shape[1:]) for m, side in zip(parts, sides, strict=True)]


def _check(ours: Sequence[object], theirs: Sequence[object]) -> None:
    if len(ours) != len(theirs) or not ours:
        raise ConfigError(
            f"{len(ours)} seeds against {len(theirs)}: pairs need the same seeds on both sides, "
            "one at least"
        )
