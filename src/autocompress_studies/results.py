"""The arms of a study, and their scores."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

__all__ = ["Arm", "Results", "Runs", "name_of"]

K = TypeVar("K", bound=Hashable)

#: The scores of one arm, seed by seed.
Runs = list[Mapping[str, Any]]


@dataclass(frozen=True)
class Arm(Generic[K]):
    """One network or measurement, repeated for each seed.

    Args:
        key: A string, or a NamedTuple whose fields ``run`` reads; see :func:`name_of`.
        after: Keys of arms of the same seed whose scores, or trained networks, this one needs.
        seeds: The largest number of seeds it is run with; None runs it with all.
    """

    key: K
    after: tuple[K, ...] = ()
    seeds: int | None = None

    @property
    def name(self) -> str:
        """Return its name in files and tables."""
        return name_of(self.key)


def name_of(key: object) -> str:
    """Return the name of a key in files and tables.

    Example:
        >>> name_of("ACN"), name_of(("Mixer", "ACN", 3))
        ('ACN', 'Mixer, ACN, 3')
    """
    if isinstance(key, tuple) and type(key).__str__ is object.__str__:
        return ", ".join(map(str, key))
    return str(key)


@dataclass(frozen=True)
class Results(Generic[K]):
    """The scores of every arm and seed of one study.

    Attributes:
        seeds: All seeds, in order.
        scores: Results of the study's ``run`` by (key, seed).
    """

    seeds: list[int]
    scores: Mapping[tuple[K, int], Mapping[str, Any]]

    @property
    def keys(self) -> list[K]:
        """Return the keys of all arms that have scores, in order."""
        return list(dict.fromkeys(key for key, _ in self.scores))

    def of(self, key: K) -> Runs:
        """Return the scores of one arm, seed by seed; empty where it was not run."""
        return [self.scores[key, seed] for seed in self.seeds if (key, seed) in self.scores]

    def column(self, key: K, name: str) -> list[Any]:
        """Return one score of one arm, seed by seed."""
        return [scores[name] for scores in self.of(key)]

    def last(self, key: K, name: str = "test") -> list[float]:
        """Return the score of all layers of one arm, seed by seed, from its scores by depth."""
        return [scores[name][-1] for scores in self.of(key)]

    def on(self, part: str, name: str) -> Results[K]:
        """Return the results with the scores on other test data, e.g. noisy images, in their place.

        Args:
            part: Name of the score that has them, made by :func:`on_test`, by name.
            name: Name of the data.
        """
        return self.each(lambda run: {**run, **run[part][name], "hits": run[part][name]})

    def each(self, change: Callable[[Mapping[str, Any]], Mapping[str, Any]]) -> Results[K]:
        """Return the results with the scores of every run changed.

        For example, scores on other test data take the place of those that tables, figures and
        statements read.
        """
        return Results(self.seeds, {at: change(scores) for at, scores in self.scores.items()})
