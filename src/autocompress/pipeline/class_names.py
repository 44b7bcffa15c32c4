"""Compare class names of a network and of data, so that a label counts as the class it names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from autocompress.data import Labelled, Splits
from autocompress.data.listing import some
from autocompress.errors import ConfigError

__all__ = ["check_order", "in_order_of"]


def in_order_of(data: Splits, names: Sequence[str] | None, where: str) -> Splits:
    """Return the data with their labels as a network numbers its classes, which may be more.

    Names that are only numbers, 0 to n - 1, name nothing: such labels stay as they are. Where no
    exact match is possible, names are compared without regard to case.

    Args:
        data: The data.
        names: Class names of the network; None if it has no record of them.
        where: The network, for the message.

    Raises:
        ConfigError: The data have a class that the network does not name.

    Example:
        >>> from autocompress.data import load_data
        >>> data = load_data("digits", classes=(5, 3))
        >>> data.test.labels[:4].tolist()
        [0, 1, 0, 0]
        >>> known = [str(number) for number in range(10)]
        >>> in_order_of(data, known, "NET").test.labels[:4].tolist()
        [5, 3, 5, 5]
    """
    own = list(data.classes)
    known = [] if names is None else list(names)
    if not own or not known or own == known[: len(own)]:
        return data
    sources = {split: getattr(data, split) for split in data.sizes}
    can = all(isinstance(source, Labelled) for source in sources.values())
    found = _places(own, known)
    if not can or found is None:
        if _are_numbers(own) or _are_numbers(known):
            return data
        raise ConfigError(
            f"the classes of {data.name} are {some(own)}; {where} knows {some(known)}, so their "
            "labels would count as other classes: give the same class the same name in the data, "
            "or, if the names alone differ, record those of the data in the network "
            "(net.class_names = [...], then ac.save)"
        )
    places = torch.tensor(found)
    moved = {split: source.relabelled(places[source.labels]) for split, source in sources.items()}
    return replace(data, **moved, classes=known).explained()


def _places(own: Sequence[str], known: Sequence[str]) -> list[int] | None:
    """Return the place of each own name among the known ones; None if one has none of its own."""
    for form in (str, str.casefold):
        mine, theirs = [*map(form, own)], [*map(form, known)]
        unlike = len({*mine}) == len(mine) and len({*theirs}) == len(theirs)
        if unlike and {*mine} <= {*theirs}:
            return [theirs.index(name) for name in mine]
    return None


def check_order(data: Splits, names: Sequence[str] | None, where: str) -> None:
    """Raise ConfigError if a network that training starts from has the same classes, reordered."""
    own = list(data.classes)
    if names is not None and own != list(names) and sorted(own) == sorted(names):
        raise ConfigError(
            f"the classes of {where} are {some(names)}, and those of {data.name} are {some(own)}: "
            "start from a network that has them in the same order"
        )


def _are_numbers(names: Sequence[str]) -> bool:
    return list(names) == [str(number) for number in range(len(names))]
