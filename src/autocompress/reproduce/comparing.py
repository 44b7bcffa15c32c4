"""Comparisons that several claims make of networks that :func:`examine` has looked at."""

from __future__ import annotations

import statistics

from torch import Tensor

from autocompress.reproduce.claim import Results
from autocompress.reproduce.work import TOLERANCE, unpack
from autocompress.statistics import Estimate, Shared, paired_examples

__all__ = ["accuracy", "layers_saved", "mean_curve", "needed"]


def needed(means: Tensor) -> Tensor:
    """The depth that the tolerance rule chooses, from scores by depth (R, L + 1): (R,).

    Example:
        >>> import torch
        >>> needed(torch.tensor([[0.1, 0.9, 0.8, 0.902], [0.1, 0.2, 0.3, 0.4]]))
        tensor([1., 3.], dtype=torch.float64)
    """
    short = means < means[:, -1:] - TOLERANCE - 1e-9
    return short.double().cumprod(1).sum(1)


def layers_saved(results: Results, ours: str, theirs: str, *, shared: Shared = "pairs") -> Estimate:
    """How many layers fewer ``ours`` needs than ``theirs``, by the rule on validation data.

    The interval resamples the validation examples and applies the rule anew; ``shared`` says which
    of them are the same, see :func:`paired_examples`.
    """
    more, fewer = (
        [unpack(hits["validation"]) for hits in results.column(arm, "hits")]
        for arm in (theirs, ours)
    )
    return paired_examples(more, fewer, needed, shared=shared)


def accuracy(
    results: Results, ours: str, theirs: str, *, ours_cut: bool = True, theirs_cut: bool = True
) -> Estimate:
    """Test accuracy of ``ours`` less that of ``theirs``, a fraction.

    Args:
        results: of a claim whose arms these are.
        ours: an arm.
        theirs: another.
        ours_cut: at the depth that validation chose; False: at full depth.
        theirs_cut: the same of the other.
    """
    mine, other = (
        [unpack(hits["cut" if cut else "full"]) for hits in results.column(arm, "hits")]
        for arm, cut in ((ours, ours_cut), (theirs, theirs_cut))
    )
    return paired_examples(mine, other)


def mean_curve(results: Results, arm: str, split: str = "test") -> list[float]:
    """Score by depth, mean over seeds, in per cent."""
    runs = results.column(arm, split)
    return [100 * statistics.fmean(at) for at in zip(*runs, strict=True)]
