"""Every form in which data come means the same, or is refused by name before the first step."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    IterableDataset,
    SequentialSampler,
    TensorDataset,
)

import autocompress as ac
from autocompress.errors import ConfigError, DataError, ShapeError
from autocompress.training.forms import peek

N, K = 24, 4
X = torch.randn(N, 1, 2, 2, generator=torch.Generator().manual_seed(0))
Y = torch.arange(N) * 7 % K
CONFIG = ac.FitConfig(epochs=2, batch_size=8, lr=1e-2)


def mlp() -> ac.Network:
    torch.manual_seed(1)
    return ac.models.MLP(depth=2, width=8, classes=K, image_size=2, channels=1)


def results(data: Any, make: Callable[[], ac.Network] = mlp) -> tuple[list[float], list[float]]:
    """Scores of a new network, and the losses of its training."""
    scores = ac.probe(make(), data, batch_size=10).scores
    run = ac.fit(make(), data, data, CONFIG, progress=False)
    return scores, [record["loss"] for record in run.history]


LABELS: dict[str, Tensor] = {
    **{str(d)[6:]: Y.to(d) for d in (torch.int8, torch.int16, torch.int32, torch.uint8)},
    "column": Y[:, None],
    "int32 column": Y[:, None].int(),
    "one-hot": torch.nn.functional.one_hot(Y, K),
    "one-hot floats": torch.nn.functional.one_hot(Y, K).double(),
    "one-hot bools": torch.nn.functional.one_hot(Y, K).bool(),
}


@pytest.mark.parametrize("labels", LABELS.values(), ids=list(LABELS))
def test_labels_of_any_type_are_the_same_labels(labels: Tensor) -> None:
    assert results(TensorDataset(X, labels)) == results(TensorDataset(X, Y))


def test_bools_are_two_classes() -> None:
    assert results(TensorDataset(X, Y > 1)) == results(TensorDataset(X, (Y > 1).long()))


def test_numpys_doubles_are_inputs() -> None:
    data = [(x.double().numpy(), np.int32(y)) for x, y in zip(X, Y, strict=True)]
    assert results(data) == results(TensorDataset(X, Y))


@pytest.mark.parametrize("key", ["labels", "label", "label_ids"])
def test_mappings_hold_their_labels(key: str) -> None:
    rows = [{"x": x, key: int(y), "text": "a", "id": None} for x, y in zip(X, Y, strict=True)]
    assert results(rows) == results(TensorDataset(X, Y))


class Stream(IterableDataset[Any]):
    def __iter__(self) -> Iterator[Any]:
        yield from zip(X, Y, strict=True)


def test_a_stream_is_probed_and_refused_for_training() -> None:
    expected = ac.probe(mlp(), TensorDataset(X, Y)).scores
    assert ac.probe(mlp(), Stream(), batch_size=7).scores == expected
    assert ac.probe(mlp(), DataLoader(Stream(), 9)).scores == expected
    assert ac.exit_curve(mlp(), Stream()).at(0.0).score == expected[-1]
    for data in (Stream(), DataLoader(Stream(), 8)):
        with pytest.raises(DataError, match="have no length"):
            ac.fit(mlp(), data, config=CONFIG, progress=False)


def test_the_look_at_the_first_examples_draws_nothing() -> None:
    """A loader's own generator stands, when the first epoch begins, where it stood before."""
    generator = torch.Generator().manual_seed(5)
    loader = DataLoader(TensorDataset(X, Y), 8, shuffle=True, generator=generator)
    before, state = generator.get_state(), torch.get_rng_state()
    peek(loader, "training")
    assert torch.equal(generator.get_state(), before)
    assert torch.equal(torch.get_rng_state(), state)


def test_a_set_asked_for_many_examples_at_once_trains_as_with_a_loader_of_batches() -> None:
    order = BatchSampler(SequentialSampler(range(N)), 8, drop_last=False)
    whole: Any = DataLoader(TensorDataset(X, Y), batch_size=None, sampler=order)
    assert results(whole) == results(DataLoader(TensorDataset(X, Y), 8))


class Keyed(Dataset[Any]):
    """Asked by name, through a sampler."""

    def __len__(self) -> int:
        return N

    def __getitem__(self, key: str) -> Any:
        index = int(key.removeprefix("row-")) if isinstance(key, str) else {}[key]
        return X[index], Y[index]


def test_a_set_with_keys_of_its_own() -> None:
    loader = DataLoader(Keyed(), 8, sampler=[f"row-{i}" for i in range(N)])
    assert ac.probe(mlp(), loader).scores == ac.probe(mlp(), TensorDataset(X, Y)).scores
    assert ac.fit(mlp(), loader, config=CONFIG, progress=False).history


BAD: dict[str, tuple[Any, str]] = {
    "one tensor": (X, "of type Tensor"),
    "a path": ("images/", "of type str"),
    "nothing": (None, "of type NoneType"),
    "empty": (TensorDataset(X[:0], Y[:0]), "are empty"),
    "empty list": ([], "are empty"),
    "empty loader": (DataLoader(TensorDataset(X[:3], Y[:3]), 8, drop_last=True), "are empty"),
    "three parts": ([(X[0], X[1], 2)] * 8, "3 parts"),
    "no labels": ([{"x": X[0], "y": 1}] * 8, "none of 'labels'"),
    "two inputs": ([{"a": X[0], "b": X[1], "labels": 1}] * 8, "takes one tensor"),
    "text labels": ([(X[0], "dog")] * 8, "texts, e.g. 'dog'"),
    "text labels in rows": ([{"x": X[0], "label": "dog"}] * 8, "texts, e.g. 'dog'"),
    "float labels": (TensorDataset(X, Y + 0.5), "are float32, e.g. 0.5"),
    "beyond": (TensorDataset(X, Y + 1), "run from 1 to 4|run from 1 to 5"),
    "negative": (TensorDataset(X, Y - 1), "take 0..3"),
    "labels missing": (TensorDataset(X, torch.zeros(N, 2).long()), "do not fit outputs"),
    "ragged": ([(torch.randn(1, 2, 2 + i % 2), 1) for i in range(8)], "different sizes"),
    "many-hot": (TensorDataset(X, torch.ones(N, K)), "not one-hot"),
    "inputs in lists": ([((X[0], X[1]), 1)] * 8, "inputs of type"),
}


@pytest.mark.parametrize(("data", "words"), BAD.values(), ids=list(BAD))
def test_what_cannot_be_taken_is_named_by_every_verb(data: Any, words: str) -> None:
    net = mlp()
    before = {key: value.clone() for key, value in net.state_dict().items()}
    for verb in (
        lambda: ac.fit(net, data, config=CONFIG, progress=False),
        lambda: ac.probe(net, data),
        lambda: ac.exit_curve(net, data),
        lambda: ac.gradients(net, data) if not isinstance(data, tuple) else ac.probe(net, data),
    ):
        with pytest.raises(DataError, match=words):
            verb()
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())


def test_a_label_out_of_range_later_on_is_an_error_too() -> None:
    labels = Y.clone()
    labels[-1] = K
    with pytest.raises(DataError, match=r"training labels run from 0 to 4"):
        ac.fit(mlp(), TensorDataset(X, labels), config=CONFIG, progress=False)


@pytest.mark.parametrize("shape", [(N, 2, 2, 1), (N, 4), (N, 3, 2, 2)])
def test_shapes_of_other_networks(shape: tuple[int, ...]) -> None:
    data = TensorDataset(torch.zeros(shape), Y)
    for verb in (ac.probe, lambda net, data: ac.fit(net, data, config=CONFIG, progress=False)):
        with pytest.raises(ShapeError, match="this network takes"):
            verb(mlp(), data)


# -- mappings of a transformers network ------------------------------------------------------------

transformers = pytest.importorskip("transformers")
AUTO = transformers.AutoModel  # transformers imports its Auto classes first


def electra() -> ac.Network:
    torch.manual_seed(2)
    config = transformers.DistilBertConfig(
        vocab_size=30, dim=16, n_layers=2, n_heads=2, hidden_dim=32, num_labels=K
    )
    return ac.convert(transformers.DistilBertForSequenceClassification(config), "acn")


IDS = torch.randint(3, 30, (N, 6), generator=torch.Generator().manual_seed(3))
MASK = (torch.arange(6) < (torch.arange(N) % 5 + 2)[:, None]).long()


def test_rows_of_datasets_are_the_documented_pairs() -> None:
    datasets = pytest.importorskip("datasets")
    pairs = [
        ({"input_ids": i, "attention_mask": m}, int(y))
        for i, m, y in zip(IDS, MASK, Y, strict=True)
    ]
    columns = {
        "input_ids": IDS.tolist(),
        "attention_mask": MASK.tolist(),
        "label": Y.tolist(),
        "sentence": ["words"] * N,
        "idx": list(range(N)),
    }
    found = datasets.Dataset.from_dict(columns)
    expected = results(pairs, electra)
    assert results(found, electra) == expected
    assert results(found.with_format("torch"), electra) == expected
    assert results(found.with_format("numpy"), electra) == expected
    assert ac.probe(electra(), found.to_iterable_dataset()).scores == expected[0]
    collator = transformers.default_data_collator
    rows = [{k: columns[k][i] for k in ("input_ids", "attention_mask", "label")} for i in range(N)]
    loader = DataLoader(rows, 10, collate_fn=collator)
    assert ac.probe(electra(), loader).scores == expected[0]


def test_columns_that_the_network_lacks_are_named() -> None:
    rows = [{"tokens": ids, "labels": 1} for ids in IDS]
    with pytest.raises(DataError, match=r"'tokens'.*this network takes.*input_ids"):
        ac.probe(electra(), rows)
    untidy = [{"input_ids": ids, "attention_mask": "none", "labels": 1} for ids in IDS]
    assert ac.probe(electra(), untidy).scores  # a text is not an input and is left out


def test_labels_beside_the_tokens_of_a_language_model_are_moved_by_one() -> None:
    """As its own library does; a pair's labels are those of each place, as ever."""
    torch.manual_seed(4)
    config = transformers.GPT2Config(vocab_size=30, n_embd=16, n_layer=2, n_head=2, n_positions=8)
    host = transformers.GPT2LMHeadModel(config).eval()
    net = ac.convert(host, "residual")
    labels = IDS.masked_fill(MASK == 0, -100)
    with torch.no_grad():
        theirs = float(host(input_ids=IDS, labels=labels).loss)
    rows = [{"input_ids": i, "labels": w} for i, w in zip(IDS, labels, strict=True)]
    moved = torch.cat([labels[:, 1:], torch.full((N, 1), -100)], 1)
    for data in (rows, TensorDataset(IDS, moved)):
        curve = ac.probe(net, data)
        assert curve.losses is not None
        assert curve.losses[-1] == pytest.approx(theirs, abs=1e-6)


def test_lists_and_tables_are_arrays() -> None:
    """Of two lists the second is the labels where it holds plain numbers; pandas has to_numpy."""

    class Frame:
        shape = Y.shape

        def to_numpy(self) -> Any:
            return Y.numpy()

    wanted = results((X, Y))
    assert results((X.tolist(), Y.tolist())) == wanted
    assert results((X, Frame())) == wanted
    assert results(([X[0], 1], [X[1], 2]))[0]  # a tuple of two examples is still one
    with pytest.raises(DataError, match="hold arrays that are not numbers"):
        ac.fit(mlp(), (X.tolist(), ["a", "b"] * 12), epochs=1)


def test_labels_from_one_on_are_told_what_to_do() -> None:
    with pytest.raises(DataError, match=r"number the classes from 0 on \(labels - 1, if they beg"):
        ac.fit(mlp(), (X, Y + 1), epochs=1)


@pytest.mark.parametrize("setting", [{"epochs": "3"}, {"lr": "fast"}, {"weight_decay": None}])
def test_a_setting_that_is_no_number_is_named(setting: Any) -> None:
    (name,) = setting
    with pytest.raises(ConfigError, match=f"{name} .* is not a number"):
        ac.fit(mlp(), (X, Y), **setting)
    assert ac.FitConfig(epochs=np.int64(3), lr=np.float32(0.1)).epochs == 3  # type: ignore[arg-type]


WHOLE = ["epochs", "batch_size", "accumulate", "steps_per_epoch", "seed", "evaluate_every"]


@given(name=st.sampled_from(WHOLE), number=st.floats(0.1, 1e6) | st.just(True))
def test_counts_are_whole_numbers(name: str, number: float) -> None:
    with pytest.raises(ConfigError, match=f"{name} {number} is not a (whole )?number"):
        ac.FitConfig(**{name: number})  # type: ignore[arg-type]
    assert getattr(ac.FitConfig(**{name: np.int32(3)}), name) == 3  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("kind", "options", "words"),
    [
        (ac.FitConfig, {"epochs": 2.5}, "epochs 2.5 is not a whole number, such as 3"),
        (ac.FitConfig, {"epochs": math.inf}, "epochs inf is not a finite number"),
        (ac.FitConfig, {"warmup_epochs": math.inf}, "warmup_epochs inf is not a finite number"),
        (ac.FitConfig, {"weight_decay": math.nan}, "weight_decay nan is not a finite number"),
        (ac.FitConfig, {"clip_norm": math.inf}, "clip_norm inf is not a finite number or None"),
        (ac.FitConfig, {"betas": (0.9,)}, r"betas \(0.9,\) is not a list of 2 numbers"),
        (ac.FitConfig, {"betas": (0.9, "x")}, r"betas \(0.9, 'x'\): 'x' is not a number"),
        (ac.LiveConfig, {"patience": 1.5}, "live.patience 1.5 is not a whole number, such as 2"),
        (ac.GrowConfig, {"layers": 1.5}, "grow.layers 1.5 is not a whole"),
        (ac.CutConfig, {"layers": (2.5,)}, r"cut.layers \(2.5,\): 2.5 is not a whole number"),
        (ac.CutConfig, {"at": 0.5}, "cut.at 0.5 is not a list of numbers"),
        (ac.DistilConfig, {"at": {1.5: 1.0}}, r"distil.at .*: 1.5 is not a whole number"),
        (ac.DistilConfig, {"at": [1]}, r"distil.at \[1\] is not a mapping of numbers"),
        (ac.PruneConfig, {"share": "x"}, "prune.share 'x' is not a number"),
        (ac.PathConfig, {"begin": (1.0,)}, "path.begin .* is not a list of 2 numbers"),
    ],
)
def test_numbers_of_another_kind_are_named(kind: Any, options: Any, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        kind(**options)
