"""A run on a task whose depth is known: theory stands beside what is kept, everywhere."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

import autocompress as ac
from autocompress.cli import main
from autocompress.data import Part
from autocompress.depth import DepthCurve, curves_by_part
from autocompress.pipeline import ModelConfig, build_network, read_config, to_yaml
from autocompress.report import load_report, theory_lines

SMALL = """
data: {name: doubling, positions: 5, powers: [1, 2], examples: 128}
model:
  {name: encoder, depth: 2, width: 8, heads: 1, norm: pre, connectivity: {name: acn, inner: 1}}
fit: {epochs: 1, lr: 0.002}
"""


def test_a_run_holds_theory_against_what_is_kept(
    tmp_path: Path, no_onnx: None, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe, run = tmp_path / "r.yaml", tmp_path / "run"
    recipe.write_text(SMALL)
    words = ["--data.powers", "[2, 1]"]
    assert main(["compress", "--config", str(recipe), "--output", str(run), *words]) == 0
    shown = capsys.readouterr().out
    report = load_report(run / "report.json")
    assert [(part["name"], part["theory"]) for part in report["parts"]] == [
        ("k = 2", 1),
        ("k = 1", 0),
    ]
    for line in theory_lines(report):
        assert line in shown
    assert "residual baseline" in theory_lines(report)[0]
    page = (run / "report.html").read_text()
    assert "Against theory" in page
    assert "k = 2" in page
    means = [sum(p["validation"][d] for p in report["parts"]) / 2 for d in range(3)]
    assert means == pytest.approx([point["validation"] for point in report["depths"]], abs=1e-5)

    assert main(["probe", str(run), "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["parts"]["k = 1"] for row in rows] == pytest.approx(
        report["parts"][1]["validation"], abs=1e-5
    )
    assert main(["probe", str(run), "--split", "test"]) == 0
    assert "k = 1: theory 0" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--model.name", "vit"], "take encoder"),
        (["--augment.flip", "true"], "augment is for images"),
        (["--data.positions", "6"], "prime"),
        (["--data.position", "5"], "did you mean 'data.positions'"),
        (["--data.name", "digits"], "is an option of generated data sets"),
        (["--data.name", "hierarchy"], "unknown option of data set 'hierarchy'"),
        (["--data.positions", "many"], "a whole number"),
        (["--data.train_limit", "9"], "not for 'doubling'"),
        (["--model.source", "timm:vit_tiny_patch16_224"], "another library"),
    ],
)
def test_what_does_not_go_together_is_said_before_anything_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    recipe, run = tmp_path / "r.yaml", tmp_path / "run"
    recipe.write_text(SMALL if "source" not in words[0] else SMALL.split("model:")[0])
    assert main(["compress", "--config", str(recipe), "--output", str(run), *words]) == 2
    assert said in capsys.readouterr().err
    assert not run.exists()


def test_weights_of_another_size_of_the_task_are_refused(tmp_path: Path) -> None:
    data = ac.load_data(ac.DataConfig(name="doubling", options={"positions": 5, "powers": [1, 2]}))
    ac.save(ac.models.Encoder(depth=1, width=8, heads=1, **data.arguments), tmp_path / "net")
    other = ac.load_data(ac.DataConfig(name="doubling"))
    model = ModelConfig(name="encoder", init=str(tmp_path / "net"))
    assert build_network(model, data, 0).depth == 1
    with pytest.raises(ac.errors.ConfigError, match="has vocabulary 11, 'doubling' with these"):
        build_network(model, other, 0)


def test_kept_is_of_each_part_alone() -> None:
    easy = torch.tensor([[0, 1, 1, 1]] * 300).bool()
    hard = torch.tensor([[0, 0, 0, 1]] * 298 + [[0, 0, 1, 1]] * 2).bool()
    never = torch.tensor([[1, 0, 0, 0]] * 100 + [[0, 0, 0, 1]] * 100 + [[0, 0, 0, 0]] * 700).bool()
    hits = torch.cat([hard, easy, never])
    numbers = torch.tensor([0] * 300 + [1] * 300 + [2] * 900)
    curve = DepthCurve(hits, [1, 2, 3, 4], [1, 2, 3, 4], constant=0.12)

    class Data:
        parts = numbers

    parts = [Part("hard", 2), Part("easy", 1), Part("never", 3)]
    found = curves_by_part(curve, Data(), parts)  # type: ignore[arg-type]
    assert [each.kept for each in found] == [3, 1, None]
    assert str(found[1]) == "easy: theory 1, kept 1; % at depth 0..: 0 100 100 100"
    assert "theory 3, not learned" in str(found[2])
    assert curves_by_part(curve, Data(), []) == []  # type: ignore[arg-type]


@pytest.mark.parametrize(("right", "kept"), [(550, None), (570, 1)])
def test_a_part_above_chance_is_not_yet_learned(right: int, kept: int | None) -> None:
    """Half-way from the best answer that ignores the input, 0.12, to no error is 0.56."""
    hits = torch.tensor([[0, 1]] * right + [[0, 0]] * (1000 - right)).bool()
    curve = DepthCurve(hits, [1, 2], [1, 2], constant=0.12)

    class Data:
        parts = torch.zeros(1000, dtype=torch.long)

    (found,) = curves_by_part(curve, Data(), [Part("one", 1)])  # type: ignore[arg-type]
    assert found.kept == kept


def test_options_stand_beside_the_name_and_come_back(tmp_path: Path) -> None:
    recipe = tmp_path / "r.yaml"
    recipe.write_text(SMALL)
    config = read_config(recipe)
    assert config.data.options == {"positions": 5, "powers": (1, 2), "examples": 128}
    again = tmp_path / "again.yaml"
    again.write_text(to_yaml(config))
    assert "positions: 5" in again.read_text()
    assert read_config(again) == config
