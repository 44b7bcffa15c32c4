"""``ac.compress``: the whole road as a function."""

from __future__ import annotations

from pathlib import Path

import pytest

import autocompress as ac
from autocompress.errors import ConfigError, DataError, OutputError
from autocompress.report import load_report

RECIPE = """
data: {name: digits, train_limit: 100}
model: {name: mlp, depth: 2, width: 8, connectivity: acn}
fit: {epochs: 1, batch_size: 50, warmup_epochs: 0}
rivals: false
"""


def test_it_returns_what_the_folder_holds(
    tmp_path: Path,
    no_onnx: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("tiny.yaml").write_text(RECIPE)
    report = ac.compress("tiny.yaml")
    folder = tmp_path / "runs" / "tiny-1"
    assert report == load_report(folder / "report.json")
    assert "layers kept" in (folder / "report.html").read_text()
    assert ac.load(folder / "small").depth == report["selected"]
    assert "data: digits" in capsys.readouterr().out
    again = ac.compress("tiny.yaml")  # a folder of its own, the same result
    assert [row["validation"] for row in again["depths"]] == [
        row["validation"] for row in report["depths"]
    ]
    assert (tmp_path / "runs" / "tiny-2" / "report.json").exists()


def test_what_it_refuses(tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("x")
    with pytest.raises(OutputError):
        ac.compress(ac.RunConfig(), tmp_path / "full")
    with pytest.raises(ConfigError, match="No such file"):
        ac.compress(tmp_path / "no.yaml", tmp_path / "out")
    with pytest.raises(ConfigError, match=r"not a MLP; .* ac\.fit, then ac\.probe, then ac\.cut"):
        ac.compress(ac.models.MLP(depth=1, width=2, classes=2))  # type: ignore[arg-type]
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("fit", r"belong into it: ac\.compress\(ac\.RunConfig\(fit=\.\.\.\)\)"),
        ("epoch", "did you mean 'fit.epochs'"),
        ("outptu", "did you mean 'output'"),
    ],
)
def test_arguments_that_it_does_not_have(wrong: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        ac.compress("digits", **{wrong: 1})  # type: ignore[arg-type]


def test_a_word_names_the_data_as_on_the_command_line(tmp_path: Path) -> None:
    (tmp_path / "texts.csv").write_text("text,label\nfine,good\n")
    with pytest.raises(DataError, match="train are 'good' .column 'label'.*two classes"):
        ac.compress(tmp_path / "texts.csv", tmp_path / "out")
    with pytest.raises(ConfigError, match="no such file or folder: 'shotz'"):
        ac.compress("shotz", tmp_path / "out")
