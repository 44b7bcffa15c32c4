"""Resampling, paired intervals, and the correction for testing many statements."""

from typing import TYPE_CHECKING

from autocompress.lazy import attach_imports

if TYPE_CHECKING:
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
else:
    __getattr__, __dir__ = attach_imports(__name__, __file__)

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
