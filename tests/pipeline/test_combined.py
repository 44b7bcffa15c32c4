"""Options of a run that meet: their numbers agree, or they are refused before training."""

from __future__ import annotations

from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest

import autocompress as ac
from autocompress.depth import probing
from autocompress.errors import ConfigError
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
