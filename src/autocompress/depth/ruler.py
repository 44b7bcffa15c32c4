"""Compare the kept depth with theory, for each part of a task whose required depth is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from autocompress.data import Part
from autocompress.depth.probing import DepthCurve
from autocompress.depth.select import tolerance_rule
from autocompress.training.inputs import Data

__all__ = ["PartCurve", "curves_by_part"]


@dataclass(frozen=True)
class PartCurve:
    """The score of every depth on one part of a task.

    Attributes:
        part: The part: its name, and the depth that theory requires.
        scores: Scores at depths 0..L, as fractions.
        kept: Shallowest depth within half a percentage point of full depth, on this part alone;
            None if full depth has not learned it, being less than half-way from the best answer
            that ignores the input to no error.
    """

    part: Part
    scores: list[float]
    kept: int | None

    def to_json(self) -> dict[str, Any]:
        """Return this curve as an object of report.json."""
        scores = [round(score, 6) for score in self.scores]
        return {
            "name": self.part.name,
            "theory": self.part.depth,
            "kept": self.kept,
            "validation": scores,
        }

    def __str__(self) -> str:
        by_depth = " ".join(f"{100 * score:.0f}" for score in self.scores)
        kept = "not learned" if self.kept is None else f"kept {self.kept}"
        return f"{self.part.name}: theory {self.part.depth}, {kept}; % at depth 0..: {by_depth}"


def curves_by_part(curve: DepthCurve, data: Data, parts: Sequence[Part]) -> list[PartCurve]:
    """Return the curve of each part.

    Args:
        curve: Probe of ``data``.
        data: The examples; their ``parts`` give the part of each scored example.
        parts: Parts of the task (``Splits.parts``); empty for a set without known parts.

    Example:
        >>> import autocompress as ac
        >>> data = ac.load_data(ac.DataConfig(name="doubling"))
        >>> net = ac.models.Encoder(depth=2, width=8, heads=1, **data.arguments)
        >>> found = curves_by_part(ac.probe(net, data.validation), data.validation, data.parts)
        >>> [each.part.name for each in found]
        ['k = 1', 'k = 2', 'k = 4']
    """
    numbers = getattr(data, "parts", None)
    if not parts or not isinstance(numbers, torch.Tensor):
        return []
    found = []
    within, _ = tolerance_rule(0.005)
    for number, part in enumerate(parts):
        own = replace(curve, hits=curve.hits[numbers == number], nats=None)
        learned = curve.constant is None or own.scores[-1] >= (1 + curve.constant) / 2
        kept = within(own.scores)
        found.append(PartCurve(part, own.scores, kept if learned else None))
    return found
