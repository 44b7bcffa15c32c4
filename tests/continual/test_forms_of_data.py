"""What a protection measures or keeps of a task does not depend on the form of its data."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

import autocompress as ac
from autocompress.continual import Replay
from autocompress.errors import DataError
from models_table import make
from toy import source


def net() -> ac.Network:
    return make("mlp", "acn", width=16)


class Streamed(IterableDataset[Any]):
    """Examples that come in sequence."""

    def __init__(self, rows: TensorDataset) -> None:
        self.rows = rows

    def __iter__(self) -> Any:
        return iter([self.rows[place] for place in range(len(self.rows))])


def data_in_all_forms() -> dict[str, Any]:
    """The same 24 examples: a set, batches of it, a stream, and arrays."""
    brightest = source(24)
    rows = TensorDataset(brightest.images.float() / 255, brightest.labels)
    loaders = {f"batches of {size}": DataLoader(rows, size) for size in (1, 5, 24)}
    return {"set": rows, **loaders, "stream": Streamed(rows), "arrays": tuple(rows.tensors)}


@pytest.mark.parametrize("form", data_in_all_forms())
def test_ewc_squares_the_gradient_of_each_example(form: str) -> None:
    """A network that is sure draws its own answers: the mean over 8 examples, by hand."""
    learned, data = net(), data_in_all_forms()
    with torch.no_grad():
        learned.head[-1].weight.mul_(300)  # type: ignore[index, operator]
    by_hand = torch.zeros(())
    for x, _ in [data["set"][place] for place in range(8)]:
        learned.zero_grad()
        learned(x[None]).log_softmax(-1).max().backward()
        by_hand += sum(w.grad.square().sum() for w in learned.parameters() if w.grad is not None)
    protect = ac.ElasticWeightConsolidation(examples=8)
    protect.consolidate(learned, data[form])
    found = sum(float(mattered.sum()) for mattered in protect.importance.values())
    assert found == pytest.approx(float(by_hand) / 8, rel=1e-3)


@pytest.mark.parametrize("form", data_in_all_forms())
def test_replay_keeps_as_many_examples_as_it_says(form: str) -> None:
    replay, learned, data = Replay(examples=7), net(), data_in_all_forms()
    replay.consolidate(learned, data[form])
    ((inputs, labels, _),) = replay.memory
    assert len(inputs) == len(labels) == 7
    if form not in ("set", "arrays"):
        first, numbers = data["set"][:7]
        assert torch.equal(inputs, first)
        assert torch.equal(labels, numbers)
    few = Replay(examples=99)
    few.consolidate(learned, data[form])
    assert len(few.memory[0][1]) == 24


def test_replay_of_batches_of_several_shapes_is_refused() -> None:
    batches = [(torch.zeros(3, n), torch.zeros(3, dtype=torch.int64)) for n in (4, 5)]
    loader = DataLoader(batches, batch_size=None)  # type: ignore[arg-type]
    with pytest.raises(DataError, match=r"shapes \(3, 4\) and \(3, 5\)"):
        Replay(examples=6).consolidate(net(), loader)
