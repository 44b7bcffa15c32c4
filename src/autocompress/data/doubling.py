"""``doubling``: follow a random cycle k steps ahead, a task whose required depth is known.

A sequence is a random cycle f over n positions: the token at position i encodes f(i) and which
power k is asked for. The label of position i is f^k(i). Attention at position i can read what is at
position f(i), so a layer can turn f^j into f^2j (pointer doubling). It can also look backwards, for
the position whose token is i, and combine both, so that d layers suffice up to k = (3^d + 1) / 2:
0 layers for k = 1, 1 for 2, 2 up to 5, 3 up to 14. That fewer do not suffice is a conjecture
(Sanford et al., 2024), with which networks trained here agree.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from autocompress.data.config import DataConfig
from autocompress.data.generated import register_generated
from autocompress.data.registry import TEST_SEED
from autocompress.data.sequences import Drawn, FreshSource, SequenceSource, SequenceSplits
from autocompress.data.splits import Part
from autocompress.errors import ConfigError

__all__ = ["Doubling", "cycles", "depth_for", "power"]

#: Number of sequences of the fixed sets for each power.
_VALIDATION, _TEST = 256, 1024


@register_generated("doubling")
@dataclass(frozen=True, kw_only=True)
class Doubling:
    """Options of the data set ``doubling``.

    Args:
        positions: Number n of positions in the cycle; a prime number of at least 2 k + 1 for each
            power k.
        powers: Powers k that are asked for, equally often.
        examples: Number of sequences in an epoch; each epoch has new ones.

    Raises:
        ConfigError: A power has a shortcut.
    """

    model: ClassVar[str] = "encoder"  #: the model that has a head for every token

    positions: int = 11
    powers: tuple[int, ...] = (1, 2, 4)
    examples: int = 6400

    def __post_init__(self) -> None:
        if not self.powers or min(self.powers) < 1 or len(set(self.powers)) < len(self.powers):
            raise ConfigError(
                f"data.powers {list(self.powers)} must be different whole numbers from 1 on, e.g. "
                "[1, 2, 4]"
            )
        least, n = 2 * max(self.powers) + 1, self.positions
        if not least <= n <= 4096 or not _is_prime(n):
            better = next(p for p in range(max(least, min(n, 4000)), 10**9) if _is_prime(p))
            raise ConfigError(
                f"data.positions {n} must be a prime number from {least} to 4096, e.g. {better}: "
                f"the largest power k is {max(self.powers)}, and with fewer than 2 k + 1 positions "
                "going n - k steps back is a shortcut; if n is not prime, some powers fall into "
                "shorter cycles"
            )
        if self.examples < len(self.powers):
            raise ConfigError(
                f"data.examples {self.examples} must be at least one for each of the "
                f"{len(self.powers)} powers"
            )

    def draw(self, size: int, generator: torch.Generator) -> Drawn:
        """Draw ``size`` cycles, with each power asked for equally often.

        Token ``1 + j n + f(i)`` asks for the power of index j, so that token 0 never occurs.
        """
        f = cycles(size, self.positions, generator)
        parts, labels = torch.arange(size) % len(self.powers), torch.empty_like(f)
        for number, k in enumerate(self.powers):
            labels[parts == number] = power(f[parts == number], k)
        return Drawn(1 + self.positions * parts[:, None] + f, labels, parts)

    def splits(self, config: DataConfig) -> SequenceSplits:
        """Return the set: new sequences for each epoch, fixed ones for validation and test.

        Args:
            config: Config with the set's name and the seed for what training draws.
        """
        train = FreshSource(self.draw, self.examples, config.seed)
        validation, test = self._fixed(_VALIDATION, TEST_SEED + 1), self._fixed(_TEST, TEST_SEED)
        description = {
            "counts": {"train": len(train), "validation": len(validation), "test": len(test)},
            "classes": self.positions,
            "origin": {
                "train": "drawn anew for each epoch, by fit.seed, data.seed and the epoch",
                "validation": "drawn by a fixed seed",
                "test": "drawn by another fixed seed",
            },
            "remarks": self._remarks(),
        }
        return SequenceSplits(
            train=train,
            validation=validation,
            test=test,
            classes=[str(i) for i in range(self.positions)],
            name=config.name,
            description=description,
            task="token-classification",
            vocabulary=1 + self.positions * len(self.powers),
            length=self.positions,
            parts=tuple(Part(f"k = {k}", depth_for(k)) for k in self.powers),
        )

    def _fixed(self, each: int, seed: int) -> SequenceSource:
        """Return the same sequences every time, ``each`` of them for each power."""
        generator = torch.Generator().manual_seed(seed)
        return SequenceSource(self.draw(each * len(self.powers), generator))

    def _remarks(self) -> list[str]:
        there = math.factorial(self.positions - 1)
        if there >= 10**6:
            return []
        return [
            f"there are only {there:,} cycles of {self.positions} positions, so test sequences "
            "also come up in training"
        ]


def cycles(count: int, positions: int, generator: torch.Generator) -> Tensor:
    """Draw cycles through all positions: f(i) for each i, int64 (count, positions).

    Example:
        >>> f = cycles(1, 5, torch.Generator().manual_seed(0))
        >>> power(f, 5).tolist(), 0 in (power(f, 4) - torch.arange(5)).tolist()[0]
        ([[0, 1, 2, 3, 4]], False)
    """
    tour = torch.rand(count, positions, generator=generator).argsort(1)
    return torch.empty_like(tour).scatter_(1, tour, tour.roll(-1, 1))


def power(f: Tensor, k: int) -> Tensor:
    """Return f^k(i) for each i, int64 (count, positions) like ``f``.

    >>> power(torch.tensor([[1, 2, 0]]), 2).tolist()
    [[2, 0, 1]]
    """
    result = torch.arange(f.shape[1]).expand_as(f)
    while k:
        if k % 2:
            result = f.gather(1, result)
        f, k = f.gather(1, f), k // 2
    return result


def depth_for(k: int) -> int:
    """Return the number of layers that suffice for f^k, with look-ups forwards and backwards.

    A position that knows its a-th successor can find the position whose b-th successor that is, and
    read the c-th successor there: f^(a - b + c). If the known powers are -r to r + 1, they become
    -(3r + 1) to 3r + 2, which begins with r = 0.

    >>> [depth_for(k) for k in (1, 2, 3, 4, 5, 6, 8, 14, 15)]
    [0, 1, 2, 2, 2, 3, 3, 3, 4]
    """
    layers, reach = 0, 1
    while reach < k:
        layers, reach = layers + 1, 3 * reach - 1
    return layers


def _is_prime(n: int) -> bool:
    return n > 1 and all(n % d for d in range(2, math.isqrt(n) + 1))
