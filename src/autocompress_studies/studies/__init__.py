"""One module for each study; a module ``X`` holds its study as ``STUDY``.

A new study is a module here and its name in :data:`STUDIES`, which is the order of the pages.
"""

from __future__ import annotations

__all__ = ["STUDIES"]

STUDIES = (
    "gradients",
    "depth",
    "difficulty",
    "connectivity",
    "noise",
    "low-data",
    "transfer",
    "forgetting",
    "pruning",
    "early-exit",
    "language",
    "summary",
    "compression",
    "blocks",
    "pretrained",
    "encoders",
)
