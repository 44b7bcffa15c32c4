"""Resampling, paired intervals, corrections for many statements, late gains, tolerances."""

from typing import TYPE_CHECKING

from autocompress.lazy import attach_imports

if TYPE_CHECKING:
    from autocompress.statistics.bootstrap import (
        RESAMPLES,
        least_means,
        resampled_means,
        resampled_together,
    )
    from autocompress.statistics.intervals import (
        Estimate,
        Outcome,
        Shared,
        judge,
        paired,
        paired_examples,
    )
    from autocompress.statistics.late import LAST, late_gain
    from autocompress.statistics.multiplicity import LEVEL, holm
    from autocompress.statistics.within import first_within, least_within
else:
    __getattr__, __dir__ = attach_imports(__name__, __file__)

__all__ = [
    "LAST",
    "LEVEL",
    "RESAMPLES",
    "Estimate",
    "Outcome",
    "Shared",
    "first_within",
    "holm",
    "judge",
    "late_gain",
    "least_means",
    "least_within",
    "paired",
    "paired_examples",
    "resampled_means",
    "resampled_together",
]
