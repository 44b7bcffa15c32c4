"""One module for each study; a module ``X`` holds its study as ``STUDY``, and joins by that."""

from __future__ import annotations

from pathlib import Path

__all__ = ["STUDIES"]

#: The order of the pages; studies that are not named here come last.
_ORDER = (
    *("gradients", "depth", "difficulty", "connectivity", "noise", "low-data", "transfer"),
    *("forgetting", "pruning", "early-exit", "language", "summary", "ruler", "levels"),
    *("compression", "blocks", "pretrained", "encoders"),
)

_FOUND = {
    path.stem.replace("_", "-")
    for path in Path(__file__).parent.glob("[!_]*.py")
    if "\nSTUDY = " in path.read_text(encoding="utf-8")
}

STUDIES = (*(name for name in _ORDER if name in _FOUND), *sorted(_FOUND - set(_ORDER)))
