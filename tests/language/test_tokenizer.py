"""The tokenizer: trained, saved, taken from others."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from autocompress.data.tokenizer import Tokenizer, has_tokenizer, read_tokenizer, train_tokenizer
from autocompress.errors import DataError, MissingExtraError
from texts import passages

library = pytest.importorskip("tokenizers", reason="needs the extra transformers")


def test_the_same_text_makes_the_same_tokenizer() -> None:
    """The library's own trainer does not: it numbers the letters as its hash tables have them."""
    found = [train_tokenizer([passages(50)], size) for size in (60, 90, 120) for _ in range(4)]
    assert len({tokenizer.text for tokenizer in found}) == 3
    first = found[-1]
    assert first.size <= 120
    assert first.reserved == [0, 1, 2, 3, 4]


def test_there_and_back() -> None:
    tokenizer = train_tokenizer([passages(50)], 200)
    (ids,) = tokenizer.encode(["The GOOD Film"])
    assert tokenizer.special["unknown"] not in tokenizer.encode(["good film"])[0]
    assert tokenizer.decode(tokenizer.encode(["Good film"])[0]) == "good film"
    assert all(i >= 5 or i == 1 for i in ids)


def test_a_special_token_in_a_text_is_text() -> None:
    tokenizer = train_tokenizer([["a [sep] b", *passages(20)]], 200)
    (ids,) = tokenizer.encode(["a [SEP] [MASK] b"])
    assert not set(ids) & {tokenizer.special["separator"], tokenizer.special["mask"]}


def test_other_families_name_their_tokens_otherwise() -> None:
    inner = library.Tokenizer(library.models.WordLevel({"a": 0, "<unk>": 1}, "<unk>"))
    inner.add_special_tokens(["<pad>", "<s>", "</s>", "<mask>"])
    tokenizer = Tokenizer(inner.to_str())
    assert tokenizer.need("pad", "first", "separator", "mask") == {
        "pad": 2,
        "first": 3,
        "separator": 4,
        "mask": 5,
    }
    assert tokenizer.size == 6
    plain = library.Tokenizer(library.models.WordLevel({"a": 0, "<|endoftext|>": 1}))
    assert Tokenizer(plain.to_str()).special == {"separator": 1}
    with pytest.raises(DataError, match=r"has no mask token \(one of \[MASK\], <mask>\)"):
        Tokenizer(plain.to_str(), "gpt").need("mask")


def test_where_it_is_looked_for(tmp_path: Path) -> None:
    tokenizer = train_tokenizer([passages(5)], 60)
    (tmp_path / "run" / "model").mkdir(parents=True)
    file = tmp_path / "run" / "model" / "tokenizer.json"
    file.write_text(tokenizer.text)
    for place in (tmp_path / "run", tmp_path / "run" / "model", file):
        assert has_tokenizer(str(place))
        assert read_tokenizer(str(place)).text == tokenizer.text
    assert not has_tokenizer(str(tmp_path))
    with pytest.raises(DataError, match="no tokenizer at"):
        read_tokenizer(str(tmp_path))
    file.write_text(json.dumps({"model": "none"}))
    with pytest.raises(DataError, match=r"is not a tokenizer\.json"):
        read_tokenizer(str(file))


def test_without_text_or_library(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match="no text to train a tokenizer on"):
        train_tokenizer([[" ", ""]], 60)
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(MissingExtraError, match=r"text data needs .*autocompress\[transformers\]"):
        train_tokenizer([passages(5)], 60)
