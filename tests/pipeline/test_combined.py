"""Options of a run that meet: their numbers agree, or they are refused before training."""

from __future__ import annotations

from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest

import autocompress as ac
from autocompress.depth import probing
from autocompress.errors import AutoCompressError, ConfigError
from autocompress.measurement.timing import Timing
from autocompress.pipeline import ModelConfig, RunConfig, SelectConfig

TINY = RunConfig(
    data=ac.DataConfig(train_limit=100),
    model=ModelConfig(name="mlp", depth=3, connectivity="acn", options={"width": 8}),
    fit=ac.FitConfig(epochs=1, batch_size=50),
)


def test_a_budget_of_milliseconds(tmp_path: Path, no_onnx: None) -> None:
    """The report says which depth of the baseline it pays for as well."""
    run = replace(TINY, select=SelectConfig(milliseconds=1e6))
    report = ac.compress(run, tmp_path / "run", progress=False)
    assert report["selected"] == report["small"]["depth"]
    baseline = report["baseline"]
    assert baseline is not None
    assert 0 <= baseline["selected"] <= 3
    none = replace(TINY, select=SelectConfig(milliseconds=1e-6))
    with pytest.raises(ConfigError, match="no depth costs at most 0.000001 ms per batch"):
        ac.compress(none, tmp_path / "none", progress=False)
    assert not (tmp_path / "none").exists()


def test_a_resumed_run_keeps_the_depth_that_its_first_times_gave(
    tmp_path: Path, no_onnx: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its healed network has that depth, however busy the machine is now."""
    run = replace(TINY, select=SelectConfig(milliseconds=3.5), rivals=False, heal=1)
    found = []
    for slower in (1.0, 10.0):
        times = count(1)  # depth k takes k + 1 ms
        monkeypatch.setattr(probing, "latency", lambda *_: Timing((slower * next(times),) * 3))  # noqa: B023
        report = ac.compress(run, tmp_path / "run", resume=slower > 1, progress=False)
        found.append((report["selected"], report["small"]["depth"], report["rule"]))
    assert found[0][0] == 2
    assert found[1] == found[0]


def test_the_report_has_the_gates_that_were_learned(tmp_path: Path, no_onnx: None) -> None:
    model = replace(TINY.model, connectivity="hacn")
    run = replace(TINY, model=model, rivals=False)
    report = ac.compress(run, tmp_path / "run", progress=False)
    learned = ac.load(tmp_path / "run" / "model").rule()
    assert isinstance(learned, dict)
    assert learned["short"] != [0.5] * 3
    assert report["model"]["connectivity"] == learned


def test_what_cannot_work_together_is_refused_before_training(tmp_path: Path) -> None:
    ac.save(ac.models.MLP(depth=2, width=8, connectivity="residual"), tmp_path / "weights")
    start = str(tmp_path / "weights")
    plain = replace(TINY, model=replace(TINY.model, options={}))
    cut = replace(TINY.fit, epochs=2, cut=ac.CutConfig(layers=(1,)))
    for run, said in (
        (replace(TINY, control_init=start), r"control_init .*weights: model\.width cannot be"),
        (replace(plain, control_init=start), r"control_init .*weights: depth 3 is out of range"),
        (replace(TINY, fit=cut, select=SelectConfig(layers=2)), "depth 2 is out of range"),
        (replace(TINY, stepwise=True, heal=0), "heal must be 1 or more"),
        (replace(TINY, cut_first=True), "set stepwise"),
        (replace(TINY, stepwise=True, select=SelectConfig(knee=True)), "no other rule"),
    ):
        with pytest.raises(AutoCompressError, match=said):
            ac.compress(run, tmp_path / "run", progress=False)
        assert not (tmp_path / "run").exists()


def test_rivals_with_another_tokenizer_are_refused(tmp_path: Path) -> None:
    """Their tokens would be those of the network, and mean other words to them."""
    pytest.importorskip("tokenizers", reason="needs the extra transformers")
    words = {"one": "ab cd ef gh", "two": "gh ef cd ab zz", "task": "ab cd ef gh"}
    lines = {name: "\n\n".join([said] * 60) for name, said in words.items()}
    rows = "".join(f"{word},{label}\n" for word, label in (("ab cd", 0), ("ef gh", 1)) * 50)
    (tmp_path / "task.csv").write_text(f"text,label\n{rows}")
    for name in ("one", "two"):
        (tmp_path / f"{name}.txt").write_text(lines[name])
        data = ac.load_data(
            ac.DataConfig(
                name=str(tmp_path / f"{name}.txt"), task="masked-lm", vocabulary=30, length=8
            )
        )
        net = ac.models.Encoder(
            depth=1, width=8, heads=2, connectivity="residual", **data.arguments
        )
        net.tokenizer = data.tokenizer.text
        ac.save(net, tmp_path / name)
    run = replace(
        TINY,
        data=ac.DataConfig(name=str(tmp_path / "task.csv"), task="text-classification", length=8),
        model=ModelConfig(init=str(tmp_path / "one"), connectivity="acn"),
        control_init=str(tmp_path / "two"),
    )
    with pytest.raises(ConfigError, match="another tokenizer than the network"):
        ac.compress(run, tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()
