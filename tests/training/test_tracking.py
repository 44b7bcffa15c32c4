"""``--track``: a training in an experiment tracker."""

from __future__ import annotations

from pathlib import Path

import pytest

import autocompress as ac
from autocompress.cli import main
from autocompress.errors import ConfigError, MissingExtraError


def test_tensorboard_has_scalars_and_a_picture(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = tmp_path / "run"
    words = "train --model.name mlp --model.depth 2 --model.width 8 --data.train_limit 100"
    words += f" --fit.epochs 2 --track tensorboard --quiet --output {run}"
    assert main(words.split()) == 0
    assert "track: tensorboard" in (run / "config.yaml").read_text()
    events = EventAccumulator(str(run / "tracking")).Reload()
    assert {"loss", "lr", "validation", "depths/0", "depths/2"} <= set(events.Tags()["scalars"])
    assert [each.step for each in events.Scalars("depths/1")] == [1, 2]
    assert events.Tags()["images"] == ["depth curve"]


def test_trackio_is_told_the_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A stand-in for the package, since it would start a server."""
    import sys
    from types import ModuleType
    from typing import Any

    told: list[Any] = []

    class Run:
        def log(self, numbers: Any, **more: Any) -> None:
            told.append((more.get("step"), sorted(numbers)[:1]))

        def finish(self) -> None:
            told.append("finished")

    def init(**about: Any) -> Run:
        told.append(about)
        return Run()

    module = ModuleType("trackio")
    module.init = init  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "trackio", module)
    data = ac.load_data("digits", train_limit=40)
    net = ac.models.MLP(depth=1, width=4, classes=10, image_size=8, channels=1)
    config = ac.FitConfig(epochs=1, track="trackio")
    ac.fit(net, data.train, data.validation, config, run=tmp_path / "mine", progress=False)
    assert told[0] == {"project": "autocompress", "name": f"{tmp_path.name}-mine"}
    assert told[1][1] == ["depths/0"]
    assert told[-1] == "finished"


def test_a_tracker_that_is_not_installed_names_its_extra(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import sys

    data = ac.load_data("digits", train_limit=40)
    net = ac.models.MLP(depth=1, width=4, classes=10, image_size=8, channels=1)
    for name in ("tensorboard", "trackio", "wandb"):
        monkeypatch.setitem(sys.modules, name, None)
        with pytest.raises(MissingExtraError, match=rf"autocompress\[{name}\]"):
            ac.fit(net, data.train, epochs=1, track=name, run=tmp_path / name, progress=False)
    with pytest.raises(ConfigError, match="track 'mlflow' is not one of None, tensorboard"):
        ac.FitConfig(track="mlflow")  # type: ignore[arg-type]
