"""hierarchy: its rules are unambiguous, labels are balanced, and splits share nothing."""

from __future__ import annotations

import pytest
import torch

import autocompress as ac
from autocompress.data.hierarchy import Grammar, Hierarchy
from autocompress.errors import ConfigError


def load(seed: int = 0, **options: object) -> ac.Splits:
    return ac.load_data(ac.DataConfig(name="hierarchy", seed=seed, options=options))


@pytest.mark.parametrize(("levels", "symbols", "synonyms"), [(1, 3, 3), (3, 8, 4), (4, 5, 2)])
def test_rules_invert_uniquely(levels: int, symbols: int, synonyms: int) -> None:
    options = Hierarchy.__new__(Hierarchy)  # small ones have too few sequences for a data set
    for name, value in (("levels", levels), ("symbols", symbols), ("synonyms", synonyms)):
        object.__setattr__(options, name, value)
    grammar = Grammar(options, torch.Generator().manual_seed(levels))
    assert len(grammar.rules) == levels
    for rule in grammar.rules:
        pairs = [tuple(pair) for pair in rule.view(-1, 2).tolist()]
        assert rule.shape == (symbols, synonyms, 2)
        assert len(set(pairs)) == symbols * synonyms  # no pair stands for two symbols
        assert 0 <= int(rule.min()) <= int(rule.max()) < symbols
    classes = torch.arange(200) % symbols
    choices = torch.randint(synonyms, (200, 2**levels - 1))
    written = grammar.write(classes, choices)
    assert written.shape == (200, 2**levels)
    assert (grammar.read(written) == classes).all()


def test_written_by_hand() -> None:
    grammar = Grammar(Hierarchy(levels=3), torch.Generator().manual_seed(0))
    choices = torch.tensor([[1, 0, 3, 2, 2, 1, 0]])
    first, second, third = grammar.rules
    top = first[5, 1]
    middle = [*second[top[0], 0], *second[top[1], 3]]
    low = [third[int(s), c].tolist() for s, c in zip(middle, (2, 2, 1, 0), strict=True)]
    assert grammar.write(torch.tensor([5]), choices).tolist() == [[s for pair in low for s in pair]]


def test_what_no_rule_makes_has_no_class() -> None:
    grammar = Grammar(Hierarchy(levels=3), torch.Generator().manual_seed(0))
    lowest = {tuple(pair) for pair in grammar.rules[-1].view(-1, 2).tolist()}
    alien = next([a, b] for a in range(8) for b in range(8) if (a, b) not in lowest)
    assert grammar.read(torch.tensor([alien * 4])).tolist() == [-1]


@pytest.mark.parametrize(("levels", "unit"), [(3, 512), (4, 2048)])
def test_sizes_labels_and_splits(levels: int, unit: int) -> None:
    data = load(levels=levels, multiple=1.5)
    assert data.sizes == {"train": round(1.5 * unit), "validation": 4000, "test": 20000}
    assert data.arguments == {"vocabulary": 9, "length": 2**levels, "classes": 8}
    assert [(part.name, part.depth) for part in data.parts] == [(f"L = {levels}", levels)]
    seen: set[tuple[int, ...]] = set()
    grammar = Grammar(Hierarchy(levels=levels), torch.Generator().manual_seed(0))
    for source in (data.train, data.validation, data.test):
        counts = torch.bincount(source.labels, minlength=8)
        assert int(counts.max()) - int(counts.min()) <= 1
        assert (grammar.read(source.drawn.ids - 1) == source.labels).all()
        assert 1 <= int(source.drawn.ids.min()) <= int(source.drawn.ids.max()) == 8
        rows = {tuple(row) for row in source.drawn.ids.tolist()}
        assert len(rows) == len(source)
        assert not rows & seen
        seen |= rows


def test_the_seed_draws_the_rules_and_more_training_leaves_the_test_set() -> None:
    small, large, other = load(), load(multiple=8), load(seed=1)
    assert (small.test.drawn.ids == large.test.drawn.ids).all()
    assert (small.validation.drawn.ids == large.validation.drawn.ids).all()
    assert not (small.test.drawn.ids == other.test.drawn.ids).all()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"levels": 2}, "512 different sequences, too few"),
        ({"levels": 3, "multiple": 100}, "lower data.multiple"),
        ({"symbols": 4, "synonyms": 5}, "no pair may stand for two"),
        ({"symbols": 1}, "from 2"),
        ({"levels": 0}, "from 1 to 8"),
        ({"multiple": 0}, "asks for 0"),
        ({"multiple": float("nan")}, "finite"),
        ({"levels": 3.0}, "whole number"),
    ],
)
def test_options_that_make_no_task_are_refused(options: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        load(**options)


@pytest.mark.parametrize("model", ["mlp", "mixer", "encoder"])
def test_networks_learn_from_it(model: str) -> None:
    data = load(multiple=1)
    net = ac.models.build(model, depth=2, width=16, **data.arguments)
    assert net.example(3).shape == (3, 8)
    run = ac.fit(
        net, data.train, config=ac.FitConfig(epochs=6, lr=0.01, warmup_epochs=0), progress=False
    )
    assert run.history[-1]["loss"] < run.history[0]["loss"]
    with pytest.raises(ac.errors.ShapeError):
        net(torch.zeros(2, 9, dtype=torch.long))
