"""A tokenizer that its library reads, and that fails on a text: an error that names it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from autocompress.data import DataConfig, Tokenizer, load_data
from autocompress.data.tokenizer import train_tokenizer
from autocompress.errors import DataError


def without_unknown() -> Tokenizer:
    said = json.loads(train_tokenizer([["a cat sat", "a cart"]], 30).text)
    said["model"]["unk_token"] = "[NOTHING]"
    return Tokenizer(json.dumps(said), "odd/tokenizer.json")


@pytest.mark.parametrize("text", ["\u4e2d", "zebra 9"])
def test_a_text_without_tokens(text: str) -> None:
    tokenizer = without_unknown()
    assert tokenizer.decode(tokenizer.encode(["a cat"])[0]) == "a cat"
    with pytest.raises(DataError, match=r"odd/tokenizer\.json fails on a text"):
        tokenizer.encode([text])
    with pytest.raises(DataError, match=r"odd/tokenizer\.json fails on a text"):
        tokenizer.rows([[text]], truncate=False)


@pytest.mark.parametrize("name", ["texts.csv", "pictures.parquet", "odd"])
def test_a_pipe_is_no_data_set(name: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / name)
    with pytest.raises(DataError, match="is a pipe"):
        load_data(DataConfig(name=str(tmp_path / name)))
    with pytest.raises(DataError, match="is a pipe"):
        load_data(DataConfig(name=str(tmp_path / name), task="text-classification"))
