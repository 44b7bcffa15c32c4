"""Parts of a task whose required depth is known."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Part"]


@dataclass(frozen=True)
class Part:
    """A part of a task, with the depth that theory requires for it.

    Args:
        name: Name of the part, e.g. ``k = 4``.
        depth: Number of layers that suffice.
    """

    name: str
    depth: int
