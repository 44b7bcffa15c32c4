"""Tokens: masks, rows, batches."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from autocompress.data.tokens import UNSCORED, MaskedSource, Masking, NextTokenSource, Packed
from autocompress.data.tokens import TextSource as Texts
from autocompress.errors import DataError

VOCABULARY, MASK = 105, 4
MASKING = Masking(0.15, MASK, VOCABULARY, reserved=range(5))


def rows(count: int = 40, size: int = 15, resident: bool = True) -> Packed:
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(5, VOCABULARY, (count * size,), generator=generator)
    return Packed(tokens.short(), size, resident=resident)


def test_masking_by_hand() -> None:
    """Below 0.8 x the share the mask, below 0.9 x another word, below 1 x the word itself."""
    ids = torch.tensor([[10, 11, 12, 13, 2]])
    which = torch.tensor([[0.1199, 0.1201, 0.1351, 0.1501, 0.0]])
    other = torch.full((1, 5), 0.5)
    inputs, labels = MASKING(ids, torch.stack([which, other], -1))
    assert inputs.tolist() == [[MASK, 55, 12, 13, 2]]  # the 50th of the words 5..104 is 55
    assert labels.tolist() == [[10, 11, 12, UNSCORED, UNSCORED]]


def test_shares_of_masked_words() -> None:
    ids = torch.randint(0, VOCABULARY, (400, 128), generator=torch.Generator().manual_seed(1))
    draws = torch.rand(400, 128, 2, generator=torch.Generator().manual_seed(2))
    inputs, labels = MASKING(ids, draws)
    chosen, words = labels != UNSCORED, ids >= 5
    assert not (chosen & ~words).any()
    assert torch.equal(labels[chosen], ids[chosen])
    assert torch.equal(inputs[~chosen], ids[~chosen])
    assert float(chosen[words].float().mean()) == pytest.approx(0.15, abs=0.01)
    assert float((inputs[chosen] == MASK).float().mean()) == pytest.approx(0.8, abs=0.02)
    kept = float((inputs[chosen] == ids[chosen]).float().mean())
    assert kept == pytest.approx(0.1 + 0.1 / 100, abs=0.015)  # a word may be drawn for itself
    assert (inputs[chosen & (inputs != MASK)] >= 5).all()


def test_a_fixed_choice_is_the_same_in_every_batch_and_order() -> None:
    source = MaskedSource(rows(), MASKING, first=2, seed=1)
    whole = [torch.cat(parts) for parts in zip(*source.batches(40), strict=True)]
    small = [torch.cat(parts) for parts in zip(*source.batches(7), strict=True)]
    order = torch.randperm(40)
    mixed = [torch.cat(parts) for parts in zip(*source.batches(9, order), strict=True)]
    for a, b, c in zip(whole, small, mixed, strict=True):
        assert torch.equal(a, b)
        assert torch.equal(a[order], c)
    assert (whole[0][:, 0] == 2).all()
    other = next(MaskedSource(rows(), MASKING, first=2, seed=2).batches(40))
    assert not torch.equal(other[1], whole[1])


def test_training_chooses_anew_by_torchs_seed() -> None:
    source = MaskedSource(rows(), MASKING, first=2)
    torch.manual_seed(3)
    first, second = (next(source.batches(40)) for _ in range(2))
    torch.manual_seed(3)
    again = next(source.batches(40))
    assert torch.equal(first[0], again[0])
    assert not torch.equal(first[0], second[0])


def test_rows_of_a_file_are_rows_of_memory(tmp_path: Path) -> None:
    inside = rows()
    inside.rows.numpy().tofile(tmp_path / "tokens")
    mapped = Packed(
        torch.from_numpy(np.memmap(tmp_path / "tokens", np.int16, "c")), 15, resident=False
    )
    order = torch.randperm(40)
    for a, b in zip(
        NextTokenSource(inside).batches(8, order),
        NextTokenSource(mapped.to("cpu")).batches(8, order),
        strict=True,
    ):
        assert torch.equal(a[0], b[0])
        assert torch.equal(a[1], b[1])


def test_what_is_left_over_is_dropped() -> None:
    packed = Packed(torch.arange(11), 4)
    assert packed.rows.tolist() == [[0, 1, 2, 3], [4, 5, 6, 7]]
    inputs, labels = next(NextTokenSource(packed).batches(2))
    assert inputs.tolist() == [[0, 1, 2], [4, 5, 6]]
    assert labels.tolist() == [[1, 2, 3], [5, 6, 7]]
    with pytest.raises(
        DataError, match=r"the text has 3 tokens, less than one row of 4: lower data"
    ):
        Packed(torch.arange(3), 4)


def test_evaluation_takes_no_more_rows_than_their_logits_allow() -> None:
    wide = NextTokenSource(rows(400), vocabulary=2**20)
    assert {len(x) for x, _ in wide.batches(256)} == {4}  # 2^26 logits / (15 x 2^20)
    assert {len(x) for x, _ in NextTokenSource(rows(400)).batches(200)} == {200}


def test_a_batch_of_texts_is_as_wide_as_its_longest() -> None:
    lengths = torch.tensor([3, 16, 9, 20])
    ids = torch.zeros(4, 20, dtype=torch.int16)
    for row, length in zip(ids, lengths.tolist(), strict=True):
        row[:length] = 7
    source = Texts(ids, lengths, torch.arange(4))
    batches = list(source.batches(2, torch.tensor([0, 2, 1, 3])))
    assert [x.shape[1] for x, _ in batches] == [16, 20]
    assert [(x != 0).sum(1).tolist() for x, _ in batches] == [[3, 9], [16, 20]]
    assert torch.cat([y for _, y in batches]).tolist() == [0, 2, 1, 3]
    chosen = source.select(torch.tensor([3, 0]))
    assert chosen.labels.tolist() == [3, 0]
    assert next(chosen.batches(2))[0].dtype == torch.int64
    other = source.relabelled(torch.tensor([5, 6, 7, 8]))
    assert [y.tolist() for _, y in other.batches(4)] == [[5, 6, 7, 8]]
    assert torch.equal(other.ids, source.ids)
    assert source.labels.tolist() == [0, 1, 2, 3]
    with pytest.raises(DataError, match="4 texts, 4 lengths and 3 labels"):
        Texts(ids, lengths, torch.arange(3))
