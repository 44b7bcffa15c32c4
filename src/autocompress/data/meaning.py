"""``Meaning``: a description of examples and labels, kept by a network to answer in words."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, TypeVar, cast

from autocompress.savable import Savable

__all__ = ["Meaning", "explain"]

S = TypeVar("S")


@dataclass(frozen=True)
class Meaning:
    """A description of a data set's examples and labels.

    Sources of :func:`autocompress.load_data` carry it as ``meaning``. Training tells the network,
    and saving writes it to config.json.

    Args:
        task: Task of the data, as in :class:`autocompress.data.DataConfig`.
        classes: Names of the labels by number; empty if labels are tokens.
        resized: Whether images were resized to the size that the network takes.
        tokenizer: Text of the tokenizer.json that made the tokens.
        texts: Number of texts in an example: 2 for pairs.
    """

    task: str
    classes: tuple[str, ...] = ()
    resized: bool = False
    tokenizer: str | None = None
    texts: int = 1

    def of(self, classes: Sequence[int]) -> Meaning:
        """Return what examples of only these classes are, relabelled in this order."""
        return replace(self, classes=tuple(self.classes[label] for label in classes))

    def tell(self, net: Savable) -> None:
        """Record the meaning of its inputs and outputs on ``net``.

        Names are recorded only if the network has an output for each of them; an existing tokenizer
        is kept.

        Example:
            >>> import autocompress as ac
            >>> net = ac.models.MLP(depth=1, width=4, classes=2, image_size=2, channels=1)
            >>> Meaning("image", ("cat", "dog")).tell(net)
            >>> net.class_names
            ['cat', 'dog']
        """
        net.task = self.task
        outputs = getattr(net, "classes", None)  # None for a user's own class
        if self.classes and outputs in (None, len(self.classes)):
            net.class_names = list(self.classes)
        if net.tokenizer is None:
            net.tokenizer = self.tokenizer
        if self.texts != 1:
            net.preprocess = {**(net.preprocess or {}), "texts": self.texts}


def explain(source: S, meaning: Meaning | None) -> S:
    """Attach ``meaning`` to ``source`` if it accepts attributes, and return it."""
    with suppress(AttributeError):  # a foreign source with slots
        cast(Any, source).meaning = meaning
    return source
