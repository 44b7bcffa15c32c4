"""Streams as runs: stopped and taken up again, and the command that makes them."""

from __future__ import annotations

import importlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import autocompress as ac
from autocompress.cli import main
from autocompress.continual import (
    ElasticWeightConsolidation,
    Replay,
    Stream,
    StreamConfig,
    SynapticIntelligence,
    Task,
    learn,
)
from autocompress.errors import CheckpointError, ConfigError, InterruptedRunError, UnknownNameError
from autocompress.pipeline import StreamRun
from autocompress.savable import MODELS
from marks import slow_but
from models_table import make
from toy import StopsAfter, config, same, source, weights

SETTINGS = config(epochs=3, lr=1e-2)
TINY = [
    *("--model.name", "mlp", "--model.depth", "2", "--model.width", "16"),
    *("--fit.epochs", "1", "--fit.warmup_epochs", "0"),
]


def tasks(count: int = 3) -> list[Task]:
    return [
        Task(f"turn {i}", source(96, i), source(48, 10 + i), source(48, 20 + i), 3)
        for i in range(count)
    ]


def stopped(list_of_tasks: list[Task], task: int, epochs: int) -> list[Task]:
    """The user presses Ctrl-C after ``epochs`` of one task; the first is read once more."""
    halting = StopsAfter(list_of_tasks[task].train, epochs + (task == 0))  # type: ignore[arg-type]
    return [replace(t, train=halting) if i == task else t for i, t in enumerate(list_of_tasks)]


@pytest.mark.parametrize("protect", slow_but(["none", "si", "ewc", "replay"], ["si", "replay"]))
@pytest.mark.parametrize(("task", "epochs"), slow_but([(0, 1), (1, 2), (2, 0)], [(1, 2)]))
def test_a_stopped_stream_goes_on_bit_for_bit(
    protect: Any, task: int, epochs: int, tmp_path: Path
) -> None:
    """In the middle of the first task or the second, and before the third has a checkpoint."""
    how = StreamConfig(protect=protect, examples=8 if protect in ("ewc", "replay") else None)
    whole, first, second = (make("mixer", "acn", dropout=0.1) for _ in range(3))
    expected = learn(whole, tasks(), SETTINGS, protect=how.protection())
    with pytest.raises(InterruptedRunError, match=f"task {task + 1} of 3.*resume"):
        learn(
            first,
            stopped(tasks(), task, epochs),
            SETTINGS,
            protect=how.protection(),
            run=tmp_path,
        )
    torch.manual_seed(99)  # another process, with other random numbers
    found = learn(second, tasks(), SETTINGS, protect=how.protection(), run=tmp_path, resume=True)
    assert same(weights(whole), weights(second))
    assert found.test == expected.test
    for mine, theirs in zip(found.heads, expected.heads, strict=True):
        assert same(weights(mine), weights(theirs))
        assert all(p.requires_grad for p in mine.parameters())


@pytest.mark.parametrize("protect", ["none", "ewc"])
def test_stopped_between_a_training_and_its_scores_the_next_head_is_the_same(
    protect: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The training has its last checkpoint, and the stream knows nothing of the task yet."""
    how = StreamConfig(protect=protect, examples=8 if protect == "ewc" else None)
    whole, first, second = (make("mixer", "acn", dropout=0.1) for _ in range(3))
    expected = learn(whole, tasks(), SETTINGS, protect=how.protection())
    module = importlib.import_module("autocompress.continual.stream")
    with monkeypatch.context() as patch:
        calls: list[object] = []

        def probe(*words: object) -> object:
            calls.append(words)
            if len(calls) == 4:  # the first score after the second task
                raise KeyboardInterrupt
            return ac.probe(*words)  # type: ignore[arg-type]

        patch.setattr(module, "probe", probe)
        with pytest.raises(KeyboardInterrupt):
            learn(first, tasks(), SETTINGS, protect=how.protection(), run=tmp_path)
    assert not (tmp_path / "learned" / "epoch-0002").exists()
    torch.manual_seed(99)
    found = learn(second, tasks(), SETTINGS, protect=how.protection(), run=tmp_path, resume=True)
    assert same(weights(whole), weights(second))
    assert found.test == expected.test


def test_a_stream_goes_on_with_its_own_protection_only(tmp_path: Path) -> None:
    learn(make("mlp", "acn"), tasks(2), SETTINGS, run=tmp_path)
    other = StreamConfig(protect="si").protection()
    with pytest.raises(CheckpointError, match="protect: None -> 'SynapticIntelligence'"):
        learn(make("mlp", "acn"), tasks(2), SETTINGS, protect=other, run=tmp_path, resume=True)


@pytest.mark.parametrize(
    ("before", "now", "said"),
    [
        (ac.SynapticIntelligence(), ac.SynapticIntelligence(2.0), "strength: 1.0 -> 2.0"),
        (ac.SynapticIntelligence(), ac.SynapticIntelligence(damping=0.2), "damping: 0.1 -> 0.2"),
        (
            ac.ElasticWeightConsolidation(examples=8),
            ac.ElasticWeightConsolidation(10.0, examples=8),
            "strength: 100.0 -> 10.0",
        ),
        (Replay(examples=8), Replay(examples=9), "examples: 8 -> 9"),
    ],
    ids=["strength", "damping", "lambda", "examples"],
)
def test_a_stream_goes_on_with_the_options_of_its_protection_only(
    before: Any, now: Any, said: str, tmp_path: Path
) -> None:
    shortly = config(epochs=1)
    learn(make("mlp", "acn"), tasks(1), shortly, protect=before, run=tmp_path)
    with pytest.raises(CheckpointError, match=f"protection.{said}"):
        learn(make("mlp", "acn"), tasks(1), shortly, protect=now, run=tmp_path, resume=True)
    learn(make("mlp", "acn"), tasks(1), shortly, protect=before, run=tmp_path, resume=True)


def test_a_stream_of_an_earlier_version_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its checkpoints name the protection without its options."""
    module = importlib.import_module("autocompress.continual.keeping")
    real = module.write_checkpoint

    def as_before(folder: Path, epoch: int, state: Any, identity: dict[str, Any]) -> None:
        real(folder, epoch, state, {k: v for k, v in identity.items() if k != "protection"})

    with monkeypatch.context() as patch:
        patch.setattr(module, "write_checkpoint", as_before)
        done = learn(make("mlp", "acn"), tasks(1), SETTINGS, protect=Replay(), run=tmp_path)
    again = make("mlp", "acn", seed=5)
    found = learn(again, tasks(1), SETTINGS, protect=Replay(), run=tmp_path, resume=True)
    assert found.test == done.test


def test_the_same_replay_goes_on_and_remembers_no_task_twice(tmp_path: Path) -> None:
    """As in a notebook, where the object of the stopped stream is still there."""
    settings, replay = config(epochs=1, lr=1e-2), Replay(examples=8)
    whole, first, second = (make("mlp", "acn") for _ in range(3))
    learn(whole, tasks(), settings, protect=Replay(examples=8))
    halting = [*tasks(2), replace(tasks()[2], train=StopsAfter(source(96, 2), 0))]
    with pytest.raises(InterruptedRunError):
        learn(first, halting, settings, protect=replay, run=tmp_path)
    assert len(replay.memory) == 2
    learn(second, tasks(), settings, protect=replay, run=tmp_path, resume=True)
    assert len(replay.memory) == 3
    assert same(weights(whole), weights(second))


@pytest.mark.parametrize(
    "protect",
    [
        SynapticIntelligence(np.float32(0.5), np.float64(0.1)),
        ElasticWeightConsolidation(np.float32(3), np.int64(8)),
        Replay(np.int64(4), np.int64(2), np.float32(0.5)),
    ],
)
def test_numbers_of_numpy_protect_as_well(protect: Any, tmp_path: Path) -> None:
    plan = replace(SETTINGS, epochs=1, steps_per_epoch=2)
    options: dict[str, Any] = {"protect": protect, "run": tmp_path}
    learn(make("mlp", "acn"), tasks(1), plan, **options)
    assert len(learn(make("mlp", "acn"), tasks(1), plan, **options, resume=True).test) == 1


def test_a_finished_stream_is_read_and_another_refused(tmp_path: Path) -> None:
    whole = make("mlp", "acn", width=16)
    done = learn(whole, tasks(2), SETTINGS, run=tmp_path)
    again = make("mlp", "acn", seed=5, width=16)
    assert learn(again, tasks(2), SETTINGS, run=tmp_path, resume=True).test == done.test
    assert same(weights(whole), weights(again))
    with pytest.raises(CheckpointError, match="other settings"):
        learn(again, tasks(2), replace(SETTINGS, lr=1e-3), run=tmp_path, resume=True)
    with pytest.raises(CheckpointError, match="tasks"):
        learn(again, tasks(3), SETTINGS, run=tmp_path, resume=True)


def test_the_depth_is_chosen_on_the_mean_of_validation() -> None:
    """Means 0.3, 0.648, 0.65: depth 1 is within half a point, not within a tenth of one."""
    curves = [[0.2, 0.596, 0.6], [0.4, 0.7, 0.7]]
    stream = Stream(["a", "b"], validation=[curves[:1], curves])
    assert (stream.select(), stream.select(0.001), stream.select(0.5)) == (1, 2, 0)


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "stream"
    words = ["--stream.protect", "si", "--stream.strength", "10", "--output", str(folder)]
    assert main(["stream", *TINY, *words]) == 0
    assert "average forgetting" in capsys.readouterr().out
    found = json.loads((folder / "stream.json").read_text())
    assert found["tasks"] == ["0, 1", "2, 3", "4, 5", "6, 7", "8, 9"]
    assert [len(row) for row in found["full"]["rows"]] == [1, 2, 3, 4, 5]
    assert found["full"]["rows"][4] == [curve[-1] for curve in found["test"][4]]
    assert found["model"]["depth"] == 2
    assert all((folder / f"matrix.{kind}").stat().st_size for kind in ("svg", "png"))
    first, last = (ac.load(folder / f"task-{n}" / "model") for n in (1, 5))
    assert same(weights(first.trunk), weights(last.trunk))
    assert not same(weights(first.head), weights(last.head))
    data = StreamRun().tasks(ac.load_data())[0]
    assert ac.probe(first, data.test).scores == found["test"][4][0]
    yaml = str(folder / "stream.yaml")
    again = ["stream", "--config", yaml, "--output", str(folder), "--resume", "true"]
    assert main(again) == 0
    assert json.loads((folder / "stream.json").read_text()) == found


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["--stream.tasks", "3"],
            "10 classes cannot be split into 3 tasks of equal size, at least 2 "
            "classes each; numbers of tasks that work: 1, 2, 5",
        ),
        (["--stream.task", "3"], "did you mean 'stream.tasks'"),
        (["--stream.protect", "si", "--stream.examples", "3"], "only ewc and replay"),
        (["--stream.strength", "3"], "strength 3.0 needs a protection: set protect to si"),
        (
            ["--stream.protect", "si", "--stream.strength", "-1"],
            "strength -1.0 must be 0 or more, and finite\n",
        ),
        (["--fit.live", "{}"], "leave it out"),
        (["--data.name", "digit"], "did you mean"),
    ],
)
def test_wrong_words_leave_nothing(
    words: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["stream", *TINY, *words, "--output", str(tmp_path / "out")]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_network_with_more_than_one_head_leaves_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    @ac.register_model("two_heads")
    class TwoHeads(ac.models.MLP):
        def head_at(self, depth: int) -> torch.nn.Module:
            return self.head if depth else torch.nn.Flatten()

    try:
        words = ["--model.name", "two_heads", "--model.width", "16", "--output"]
        assert main(["stream", *words, str(tmp_path / "out")]) == 2
    finally:
        MODELS.remove("two_heads")
    assert "not one module for all depths in a TwoHeads network" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_wrong_settings() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'ewc'"):
        StreamConfig(protect="ewcc")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="too few"):
        StreamConfig(protect="replay", examples=0)
    with pytest.raises(ConfigError, match="examples 0 must be at least 1"):
        StreamConfig(protect="ewc", examples=0)
    with pytest.raises(ConfigError, match=r"fit\.path"):
        StreamRun(fit=ac.FitConfig(path=ac.PathConfig()))
