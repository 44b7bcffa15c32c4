"""Resampling, paired intervals, and the correction for testing many statements."""

from autocompress.statistics.bootstrap import RESAMPLES, resampled_means, resampled_together
from autocompress.statistics.intervals import (
    Estimate,
    Outcome,
    Shared,
    judge,
    paired,
    paired_examples,
)
from autocompress.statistics.multiplicity import LEVEL, holm

__all__ = [
    "LEVEL",
    "RESAMPLES",
    "Estimate",
    "Outcome",
    "Shared",
    "holm",
    "judge",
    "paired",
    "paired_examples",
    "resampled_means",
    "resampled_together",
]
