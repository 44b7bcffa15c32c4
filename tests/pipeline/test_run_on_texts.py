"""A run on texts whose file changes afterwards, and words that name no file."""

from __future__ import annotations

from pathlib import Path

import pytest

from autocompress.cli import main

LINES = [f"{['bad', 'good'][i % 2]} word{i % 7} {i},{['neg', 'pos'][i % 2]}" for i in range(60)]


def acn(*words: object) -> int:
    return main([str(word) for word in words])


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("texts")
    (root / "cl.csv").write_text("text,label\n" + "\n".join(LINES))
    words = ["--model.name", "encoder", "--model.width", 8, "--model.heads", 2, "--model.depth", 1]
    words += ["--fit.epochs", 1, "--data.length", 8, "--data.vocabulary", 60, "--quiet"]
    assert acn("train", root / "cl.csv", *words, "--output", root / "run") == 0
    return root / "run"


def test_its_own_data_are_recognised_by_the_tokens_of_its_tokenizer(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert acn("probe", run) == 0
    assert "have changed" not in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["probe", "exit", "bench", "export"])
def test_a_renamed_class_is_not_counted_as_another_one(
    verb: str, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = run.parent / "cl.csv"
    before = file.read_text()
    file.write_text(before.replace(",pos", ",apos"))
    more = ["--depths", 1, "--output", tmp_path / "out"] if verb == "export" else []
    try:
        assert acn(verb, run, *more) == 2
    finally:
        file.write_text(before)
    said = capsys.readouterr().err
    assert "classes neg, pos -> apos, neg" in said
    assert "are apos, neg" in said
    assert not (tmp_path / "out").exists()


def test_a_word_that_names_no_file_is_noted(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert acn("predict", run, "reviws.txt") == 0
    out, err = capsys.readouterr()
    assert "note: there is no file reviws.txt" in err
    assert "reviws.txt" in out
    assert acn("predict", run, "good word1", "I read notes.txt") == 0
    assert "there is no file" not in capsys.readouterr().err
    assert acn("predict", run, "reviws.txt", "--quiet") == 0
    assert capsys.readouterr().err == ""
