"""The settings in which runs differ."""

from __future__ import annotations

from pathlib import Path

from autocompress.pipeline import RunConfig, read_config, to_yaml
from autocompress.pipeline.differing import differences
from autocompress.training import FitConfig


def run_of(folder: Path, config: RunConfig) -> Path:
    folder.mkdir()
    (folder / "config.yaml").write_text(to_yaml(config))
    assert read_config(folder / "config.yaml") == config
    return folder


def test_rivals_without_settings_of_their_own_have_those_of_fit(tmp_path: Path) -> None:
    """Else every setting of the rivals would stand in the table, equal or not."""
    fit = FitConfig(epochs=3, lr=0.01)
    plain = run_of(tmp_path / "a", RunConfig(fit=fit))
    own = run_of(tmp_path / "b", RunConfig(fit=fit, control=FitConfig(epochs=3, lr=0.005)))
    assert differences([plain, own]) == [("control.lr", [0.01, 0.005])]
    assert differences([own, plain, own]) == [("control.lr", [0.005, 0.01, 0.005])]


def test_runs_without_a_difference(tmp_path: Path) -> None:
    folders = [run_of(tmp_path / name, RunConfig()) for name in "ab"]
    assert differences(folders) == []
