"""The answer of a predictor to an input, and its text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

__all__ = ["Guess", "Prediction", "Predictions", "one_line"]

#: Characters of a name or a text that are shown in a line.
_SHOWN = 60


class Guess(NamedTuple):
    """A class with its probability.

    Attributes:
        name: Name of the class; its number if the network records no names.
        probability: Probability in 0..1.
    """

    name: str
    probability: float


@dataclass(frozen=True)
class Prediction:
    """The answer to one input.

    Attributes:
        input: The file's path, the text, or the number of a picture or tensor in the batch.
        label: The likeliest class. None if no label of a multi-label network is above the
            threshold, for a regression, and where there is an error.
        probability: Its probability in 0..1; None where ``label`` is None.
        top: The likeliest classes, best first. Of a multi-label network all labels above
            the threshold.
        values: The predicted numbers of a regression; empty otherwise.
        depth: The depth at which the example left a network with early exit; None otherwise.
        note: Change of the input, e.g. that a long text was cut; None if there was none.
        error: Reason why there is no answer; None if there is one.

    Example:
        >>> print(Prediction("cat.png", "cat", 0.931, (Guess("cat", 0.931), Guess("dog", 0.069))))
        cat.png: cat 93.1 %, dog 6.9 %
    """

    input: str
    label: str | None = None
    probability: float | None = None
    top: tuple[Guess, ...] = ()
    values: tuple[float, ...] = ()
    depth: int | None = None
    note: str | None = None
    error: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the prediction as a JSON object; ``top`` is a list of ``[name, probability]``."""
        return {
            "input": self.input,
            "label": self.label,
            "probability": self.probability,
            "top": [list(guess) for guess in self.top],
            "values": list(self.values),
            "depth": self.depth,
            "note": self.note,
            "error": self.error,
        }

    def __str__(self) -> str:
        return f"{one_line(self.input)}: {self._answer()}"

    def _answer(self) -> str:
        if self.error is not None:
            return f"no answer: {one_line(self.error, 400)}"
        if self.values:
            said = ", ".join(f"{value:.6g}" for value in self.values)
        else:
            said = ", ".join(f"{one_line(g.name)} {100 * g.probability:.1f} %" for g in self.top)
        at = "" if self.depth is None else f" (depth {self.depth})"
        return f"{said or 'no label is above the threshold'}{at}"


class Predictions(list[Prediction]):
    """Predictions in the order of the inputs; printed, one line each."""

    def __init__(self, predictions: Sequence[Prediction] = ()) -> None:
        super().__init__(predictions)

    def __str__(self) -> str:
        return "\n".join(map(str, self))


def one_line(text: str, length: int = _SHOWN) -> str:
    r"""Return text that fits into one line of a terminal and cannot steer it.

    Args:
        text: Any text, e.g. a class name from a stranger's file.
        length: Largest number of characters; the middle of a longer text is left out.

    Example:
        >>> one_line("a\x1b[2Jb\nc")
        'a?[2Jb c'
    """
    text = "".join(c if c.isprintable() else "?" for c in " ".join(text.split()))
    if len(text) <= length:
        return text
    half = (length - 3) // 2
    return f"{text[:half]}...{text[-half:]}"
