"""Parts of a task whose needed depth is known."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Part"]


@dataclass(frozen=True)
class Part:
    """A part of a task, and the depth that theory names for it.

    Args:
        name: Of the part, e.g. ``k = 4``.
        depth: Layers that suffice.
    """

    name: str
    depth: int
