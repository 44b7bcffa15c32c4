"""``hierarchy``: the Random Hierarchy Model (Cagnetta et al., 2024, arXiv 2307.02129).

A class is a symbol at the highest of L levels. Each symbol of a level can be written as m different
pairs of symbols of the level below (its synonyms), which are drawn at random and belong to no other
symbol. A sequence is one way of writing a class at the lowest level, with 2^L tokens. Learning
the levels one after another takes about P* = v m^L examples, where v is the number of symbols;
learning without them takes exponentially more.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from autocompress.data.config import DataConfig
from autocompress.data.describe import by_class
from autocompress.data.generated import register_generated
from autocompress.data.registry import TEST_SEED
from autocompress.data.sequences import Drawn, SequenceSource, SequenceSplits
from autocompress.data.splits import Part
from autocompress.errors import ConfigError

__all__ = ["Grammar", "Hierarchy"]

_VALIDATION, _TEST = 4_000, 20_000


@register_generated("hierarchy")
@dataclass(frozen=True, kw_only=True)
class Hierarchy:
    """Options of the data set ``hierarchy``.

    Args:
        levels: Number of levels L; a sequence has 2^L tokens.
        multiple: Number of training examples, as a multiple of P* = symbols x synonyms^L.
        symbols: Number v of symbols at each level, and of classes.
        synonyms: Number m of pairs that stand for one symbol; at most v, as there are v^2 pairs.

    Raises:
        ConfigError: The rules cannot be unambiguous, or there are fewer sequences than requested.
    """

    levels: int = 3
    multiple: float = 4.0
    symbols: int = 8
    synonyms: int = 4

    def __post_init__(self) -> None:
        if not 2 <= self.symbols <= 1024:
            raise ConfigError(f"data.symbols {self.symbols} must be from 2 to 1024")
        if not 1 <= self.synonyms <= self.symbols:
            raise ConfigError(
                f"data.synonyms {self.synonyms} must be from 1 to {self.symbols}: {self.symbols} "
                f"symbols make {self.symbols**2} pairs, and no pair may stand for two symbols"
            )
        if not 1 <= self.levels <= 8:
            raise ConfigError(f"data.levels {self.levels} must be from 1 to 8")
        if not math.isfinite(self.multiple):
            raise ConfigError(f"data.multiple {self.multiple} must be a finite number")
        if not 0 < self.train <= 10**7:
            raise ConfigError(
                f"data.multiple {self.multiple:g} asks for {self.train:,} training examples; "
                "expected from 1 to 10,000,000"
            )
        wanted = self.train + _VALIDATION + _TEST
        if 2 * wanted > self.sequences:
            raise ConfigError(
                f"{self.levels} levels of {self.symbols} symbols with {self.synonyms} synonyms "
                f"make {self.sequences:,} different sequences, too few for {self.train:,} to train "
                f"on, {_VALIDATION:,} for validation and {_TEST:,} for test that all differ: raise "
                "data.levels, or lower data.multiple"
            )

    @property
    def unit(self) -> int:
        """Return P* = v m^L, up to a factor the number of examples that a deep network needs."""
        return self.symbols * int(self.synonyms**self.levels)

    @property
    def train(self) -> int:
        """Return the number of training examples."""
        return round(self.multiple * self.unit)

    @property
    def sequences(self) -> int:
        """Return the number of different sequences: v m^(2^L - 1)."""
        return self.symbols * int(self.synonyms ** (2**self.levels - 1))

    def splits(self, config: DataConfig) -> SequenceSplits:
        """Return sequences of one hierarchy, none of which is in two splits.

        Tokens are ``1 + symbol``, so that token 0 never occurs.

        Args:
            config: Config with the set's name and the seed that draws the rules.
        """
        drawer = _Drawer(Grammar(self, torch.Generator().manual_seed(config.seed)))
        # test first, so that it is the same for any amount of training data
        test = drawer.draw(_TEST, TEST_SEED)
        validation = drawer.draw(_VALIDATION, TEST_SEED + 1)
        train = drawer.draw(self.train, TEST_SEED + 2)
        classes = [str(i) for i in range(self.symbols)]
        sets = {"train": train, "validation": validation, "test": test}
        description = {
            "counts": {split: len(source) for split, source in sets.items()},
            "classes": self.symbols,
            "examples": by_class(sets, classes),
            "origin": {
                "train": f"{self.multiple:g} x P* = {self.multiple:g} x {self.unit:,}; rules by "
                f"seed {config.seed}",
                "validation": "drawn by a fixed seed, no sequence of train or test",
                "test": "drawn by another fixed seed",
            },
            "remarks": [],
        }
        return SequenceSplits(
            train=train,
            validation=validation,
            test=test,
            classes=classes,
            name=config.name,
            description=description,
            task="sequence-classification",
            vocabulary=1 + self.symbols,
            length=2**self.levels,
            parts=(Part(f"L = {self.levels}", self.levels),),
        )


class Grammar:
    """The rules of one hierarchy.

    Args:
        options: Sizes of the hierarchy.
        generator: Generator that draws the rules.

    Attributes:
        rules: For each level from the highest, (v, m, 2): the pairs that each symbol can become.
    """

    def __init__(self, options: Hierarchy, generator: torch.Generator) -> None:
        self.options = options
        v, m = options.symbols, options.synonyms
        self.rules = []
        for _ in range(options.levels):
            pairs = torch.randperm(v * v, generator=generator)[: v * m].view(v, m)
            self.rules.append(torch.stack([pairs // v, pairs % v], -1))

    def write(self, classes: Tensor, choices: Tensor) -> Tensor:
        """Write classes at the lowest level.

        Args:
            classes: Classes, int64 (n,).
            choices: Index of each symbol's synonym, from the highest level on, (n, 2^L - 1).

        Returns:
            Symbols 0..v-1, int64 (n, 2^L).
        """
        symbols, used = classes[:, None], 0
        for rule in self.rules:
            here = choices[:, used : used + symbols.shape[1]].long()
            used += symbols.shape[1]
            symbols = rule[symbols, here].flatten(1)
        return symbols

    def read(self, symbols: Tensor) -> Tensor:
        """Return the classes (n,) of sequences (n, 2^L); -1 where no rule applies."""
        v = self.options.symbols
        for rule in reversed(self.rules):
            back = torch.full((v * v + 1,), -1)
            back[(rule[..., 0] * v + rule[..., 1]).flatten()] = torch.arange(v).repeat_interleave(
                rule.shape[1]
            )
            left, right = symbols[:, 0::2], symbols[:, 1::2]
            known = (left >= 0) & (right >= 0)
            symbols = back[torch.where(known, left * v + right, v * v)]
        return symbols[:, 0]


class _Drawer:
    """A sampler of distinct sequences, also from those of earlier draws, with balanced classes."""

    def __init__(self, grammar: Grammar) -> None:
        self.grammar, self.seen = grammar, set[bytes]()

    def draw(self, size: int, seed: int) -> SequenceSource:
        options, generator = self.grammar.options, torch.Generator().manual_seed(seed)
        classes = torch.arange(size) % options.symbols
        nodes = 2**options.levels - 1
        choices = torch.empty(size, nodes, dtype=torch.int16)
        todo = torch.arange(size)
        while len(todo):
            shape = (len(todo), nodes)
            choices[todo] = torch.randint(options.synonyms, shape, generator=generator).short()
            keys = torch.cat([classes[todo, None].short(), choices[todo]], 1).numpy()
            new = [self._is_new(key.tobytes()) for key in keys]
            todo = todo[~torch.tensor(new)]
        ids = 1 + self.grammar.write(classes, choices)
        return SequenceSource(Drawn(ids, classes, torch.zeros_like(classes)))

    def _is_new(self, key: bytes) -> bool:
        if key in self.seen:
            return False
        self.seen.add(key)
        return True
