"""What docs/language.md says, run; its recipes, read."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import autocompress as ac
from autocompress.pipeline import read_config

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "language.md").read_text()


def test_the_example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tokenizers", reason="needs the extra transformers")
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"^```python\n(.*?)^```", PAGE, re.M | re.S)
    names: dict[str, object] = {}
    exec(compile(code, "language.md", "exec"), names)
    curve = names["curve"]
    assert isinstance(curve, ac.DepthCurve)
    assert curve.scores[-1] > 0.9
    assert (tmp_path / "words" / "tokenizer.json").exists()


@pytest.mark.parametrize(
    "name",
    ["bert-mlm-cpu", "bert-mlm-base", "glue-sst2-cpu", "glue-sst2", "glue-rte", "decoder-novels"],
)
def test_the_recipes_are_of_texts(name: str) -> None:
    config = read_config(ROOT / "recipes" / f"{name}.yaml")
    assert config.data.is_text
    assert config.fit.label_smoothing == 0
