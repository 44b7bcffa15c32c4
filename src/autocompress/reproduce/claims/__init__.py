"""One module per claim; importing this makes them known, in the order of the pages."""

from autocompress.reproduce.claims import (  # isort: skip
    gradients,
    depth,
    difficulty,
    connectivity,
    noise,
    low_data,
    transfer,
    forgetting,
    pruning,
    early_exit,
    language,
    summary,
)

__all__ = [
    "connectivity",
    "depth",
    "difficulty",
    "early_exit",
    "forgetting",
    "gradients",
    "language",
    "low_data",
    "noise",
    "pruning",
    "summary",
    "transfer",
]
