"""What docs/generation.md and the command say, run."""

from __future__ import annotations

import importlib
import json
import re
from pathlib import Path

import pytest
import torch

import autocompress as ac
from autocompress.cli import main

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "generation.md").read_text()


@pytest.mark.parametrize(
    "code", re.findall(r"^```python\n(.*?)^```", PAGE, re.M | re.S), ids=["own", "host"]
)
def test_the_examples(code: str) -> None:
    names: dict[str, object] = {}
    exec(compile(code, "generation.md", "exec"), names)


def test_the_tables_are_of_the_committed_result(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    table = importlib.import_module("generation_table")
    assert table.marked(PAGE) == PAGE
    for network in json.loads(table.RESULT.read_text())["networks"]:
        prompts = network["rows"][0]["same_texts"]  # of plain decoding: all of them
        drafted = [row for row in network["rows"] if row["accepted"] is not None]
        assert all(row["same_texts"] == prompts for row in drafted)


def saved(folder: Path, text: str | None = None) -> ac.models.Decoder:
    torch.manual_seed(0)
    net = ac.models.Decoder(depth=3, width=8, vocabulary=30, length=32, heads=2).double()
    net.tokenizer = text
    ac.save(net, folder)
    return net


def test_the_command_goes_on_with_tokens(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    net = saved(tmp_path / "net")
    for options in ([], ["--draft_depth", "1", "--draft_confidence", "0.2"]):
        assert (
            main(["generate", str(tmp_path / "net"), "--ids", "[5, 7]", "--new", "9", *options])
            == 0
        )
        wanted = ac.generate(net, torch.tensor([[5, 7]]), 9).ids[0].tolist()
        assert capsys.readouterr().out.splitlines()[-1] == str(wanted)


def test_the_command_goes_on_with_a_text(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from autocompress.data.tokenizer import train_tokenizer

    tokenizer = train_tokenizer([["a cat sat on a mat"]], 30)
    net = saved(tmp_path / "net", tokenizer.text)
    assert main(["generate", str(tmp_path / "net"), "--prompt", "a cat", "--new", "5"]) == 0
    ids = torch.tensor(tokenizer.encode(["a cat"]))
    wanted = tokenizer.decode(ac.generate(net, ids, 5).ids[0].tolist())
    assert capsys.readouterr().out.strip() == wanted
    assert wanted.startswith("a cat")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "give the beginning of the text"),
        (["--prompt", "a", "--ids", "[1]"], "give the beginning of the text"),
        (["--prompt", "a cat"], "has no tokenizer.json: give tokens"),
        (["--ids", "[1, 99]"], "0..29"),
        (["--ids", "[]"], "1 or more tokens"),
    ],
)
def test_what_the_command_cannot_take(
    words: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    saved(tmp_path / "net")
    assert main(["generate", str(tmp_path / "net"), "--new", "3", *words]) == 2
    assert message in capsys.readouterr().err
