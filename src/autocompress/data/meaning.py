"""``Meaning``: what examples and their labels are, which a network keeps to answer in words."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from autocompress.savable import Savable

__all__ = ["Meaning", "explain"]

S = TypeVar("S")


@dataclass(frozen=True)
class Meaning:
    """What the examples of a data set are.

    Sources of :func:`autocompress.load_data` carry it as ``meaning``. Training tells the network,
    and saving writes it to config.json.

    Args:
        task: what is learned, in the words of :class:`autocompress.data.DataConfig`.
        classes: names of the labels, by number; empty where labels are tokens.
        resized: pictures were resized to the size that the network takes.
        tokenizer: text of the tokenizer.json that made tokens of texts.
        texts: how many texts make an example: 2 for pairs.
    """

    task: str
    classes: tuple[str, ...] = ()
    resized: bool = False
    tokenizer: str | None = None
    texts: int = 1

    def tell(self, net: Savable) -> None:
        """Record on ``net`` what its inputs and outputs mean.

        Names are recorded only if the network has an output for each of them; a tokenizer that it
        has already is kept.

        Example:
            >>> import autocompress as ac
            >>> net = ac.models.MLP(depth=1, width=4, classes=2, image_size=2, channels=1)
            >>> Meaning("image", ("cat", "dog")).tell(net)
            >>> net.class_names
            ['cat', 'dog']
        """
        net.task = self.task
        if self.classes and getattr(net, "classes", None) == len(self.classes):
            net.class_names = list(self.classes)
        if net.tokenizer is None:
            net.tokenizer = self.tokenizer
        if self.texts != 1:
            net.preprocess = {**(net.preprocess or {}), "texts": self.texts}


def explain(source: S, meaning: Meaning | None) -> S:
    """Return ``source``, which carries ``meaning`` from now on, if it can carry anything."""
    with suppress(AttributeError):  # someone else's source, with slots
        cast(Any, source).meaning = meaning
    return source
