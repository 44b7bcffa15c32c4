"""The bootstrap over examples: means of resampled rows, many resamples at a time.

A resample of n examples draws n of them with replacement. Its mean depends only on how often each
*distinct* row was drawn, so the counts of distinct rows are drawn at once, from a multinomial.
Scores of a classifier have few distinct rows (a network of L layers is usually right from some
depth on), so this takes a hundredth of the time of drawing example by example. The means have the
same distribution either way.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from autocompress.errors import ConfigError

__all__ = ["RESAMPLES", "least_means", "resampled_means", "resampled_together"]

#: Number of resamples for an interval.
RESAMPLES = 1000

#: Largest number of counts in memory at a time.
_COUNTS = 2**22


def resampled_means(values: Tensor, seed: int = 0, resamples: int = RESAMPLES) -> Tensor:
    """Return the means of resampled examples.

    Args:
        values: A row for each example, (n, ...); booleans count as 0 and 1.
        seed: Seed of the draws, which leave torch's and numpy's own generators alone.
        resamples: Number R of resamples.

    Returns:
        The means (R, ...), float64.

    Example:
        >>> means = resampled_means(torch.tensor([[True, False], [True, True]]))
        >>> means.shape, float(means[:, 0].min())
        (torch.Size([1000, 2]), 1.0)
    """
    return resampled_together([values], np.random.RandomState(seed), resamples)[0]


def resampled_together(
    sides: Sequence[Tensor], random: np.random.RandomState, resamples: int = RESAMPLES
) -> list[Tensor]:
    """Return the means of several scores of the same examples, resampled together.

    Args:
        sides: Scores, each (n, ...).
        random: Generator of the draws.
        resamples: Number R of resamples.

    Returns:
        For each side the means (R, ...), float64; row r of all of them is the same resample.

    Raises:
        ConfigError: The sides have different numbers of examples.
    """
    sizes = {len(side) for side in sides}
    if len(sizes) > 1:
        raise ConfigError(f"{sorted(sizes)} examples: compared scores must be of the same examples")
    n = sizes.pop()
    flat = [side.detach().cpu().reshape(n, -1) for side in sides]
    rows, counts = _distinct(torch.cat(flat, dim=1))
    means = _means(rows.double(), counts.numpy(), n, random, resamples)
    parts = torch.split(means, [part.shape[1] for part in flat], dim=1)
    return [m.reshape(resamples, *side.shape[1:]) for m, side in zip(parts, sides, strict=True)]


def least_means(values: Tensor, confidence: float, worst: float, seed: int = 0) -> Tensor:
    """Return lower bounds of the true means, which hold with a confidence for any number n.

    A bootstrap of few examples cannot show what none of them shows: if nothing differs, its
    interval is a point. Here one more example has the worst value, and examples have random weights
    in place of counts (Gaffke, 2005; Learned-Miller and Thomas, 2019). For shares, it is the bound
    of Clopper and Pearson: if no example of n is lost, 1 - (1 - confidence) ** (1 / n) may be.

    Args:
        values: A row for each example, (n, k); booleans count as 0 and 1.
        confidence: Probability with which each bound must hold.
        worst: The lowest value that an example can have.
        seed: Seed of the draws, which leave torch's and numpy's own generators alone.

    Returns:
        The bounds (k,), float64.

    Example:
        >>> 0.94 < float(least_means(torch.ones(59, 1), 0.95, worst=0.0)) < 0.96
        True
    """
    found, counts = _distinct(values.detach().cpu())
    rows = torch.cat([found.double(), torch.full((1, values.shape[1]), worst).double()])
    shapes, random = np.append(counts.numpy(), 1), np.random.RandomState(seed)
    draws = max(RESAMPLES, min(20 * RESAMPLES, _COUNTS // max(rows.shape)))
    means = []
    size = max(1, _COUNTS // len(rows))
    for start in range(0, draws, size):
        drawn = random.standard_gamma(shapes, size=(min(size, draws - start), len(rows)))
        weights = torch.from_numpy(drawn)
        means.append(weights @ rows / weights.sum(1, keepdim=True))
    return torch.quantile(torch.cat(means), 1 - confidence, dim=0)


def _distinct(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Return the distinct rows (d, k) in lexicographic order, and how often each occurs."""
    bits = rows.shape[1]
    if rows.dtype != torch.bool or bits > 62:
        found, counts = torch.unique(rows, dim=0, return_counts=True)
        return found, counts
    places = torch.arange(bits - 1, -1, -1)  # a row as a number in binary sorts much faster
    codes = torch.zeros(len(rows), dtype=torch.int64)
    for column, place in zip(rows.T, places.tolist(), strict=True):
        codes += column.long() << place
    found, counts = torch.unique(codes, return_counts=True)
    return (found[:, None] >> places & 1).bool(), counts


def _means(
    rows: Tensor, counts: np.ndarray, n: int, random: np.random.RandomState, resamples: int
) -> Tensor:
    """Draw how often each distinct row occurs in each resample, and average the rows."""
    found = []
    size = max(1, _COUNTS // len(rows))  # so that a long text does not exhaust the memory
    for start in range(0, resamples, size):
        number = min(size, resamples - start)
        if 2 * len(rows) <= n:
            drawn = random.multinomial(n, counts / n, size=number)
        else:  # if nearly all rows are distinct (losses), counting draws is faster
            drawn = np.stack([_counted(counts, n, random) for _ in range(number)])
        found.append(torch.from_numpy(drawn).double() @ rows / n)
    return torch.cat(found)


def _counted(counts: np.ndarray, n: int, random: np.random.RandomState) -> np.ndarray:
    """Draw n examples one by one and count the distinct rows among them."""
    ends = np.cumsum(counts)
    places = random.randint(n, size=n)
    which = places if len(ends) == n else np.searchsorted(ends, places, side="right")
    return np.bincount(which, minlength=len(ends))
