"""What a user sees while a network trains, and what is said about it before."""

from __future__ import annotations

import io
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from rich.console import Console

import autocompress as ac
from autocompress.data import AugmentConfig, DataConfig, load_data
from autocompress.pipeline import RunConfig, build_network, resolve
from autocompress.pipeline.compressing import run_stages
from autocompress.pipeline.expecting import doubts_about, expectation, trainings
from autocompress.training.estimating import estimate
from autocompress.training.progress import TrainingBar


class Clock:
    """A clock that is moved by hand."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def lines_of(console: Console) -> list[str]:
    file = console.file
    assert isinstance(file, io.StringIO)
    return file.getvalue().splitlines()


def test_lines_without_a_terminal() -> None:
    """The first at once, one in every half minute of a long epoch, one after every tenth."""
    clock, console = Clock(), Console(file=io.StringIO(), width=80)
    with TrainingBar("training 1 of 2", 20, 100, console=console, clock=clock) as bar:
        assert lines_of(console) == ["training 1 of 2: 20 epochs of 100 steps"]
        for step in range(1, 101):
            clock.now += 1.0
            bar.step(1, step, 8)
        bar.epoch(1, {"loss": 2.0, "validation": 0.25})
        for step in range(1, 101):
            clock.now += 0.01
            bar.step(2, step, 8)
        bar.epoch(2, {"loss": 1.5, "validation": 0.5})
    said = lines_of(console)
    where = "training 1 of 2: epoch"
    assert said[1] == f"{where} 1/20, step 31/100, 8 examples/s, 33 min left"
    assert [line.split(",")[1][6:] for line in said[1:4]] == ["31/100", "62/100", "93/100"]
    # the first step warms up and is not counted: 199 steps take 100 s, 1,800 are left
    assert said[4] == f"{where} 2/20, loss 1.500, validation 50.0 %, 800 examples/s, 15 min left"
    assert len(said) == 5


def test_a_resumed_training_counts_what_it_makes_itself() -> None:
    clock, console = Clock(), Console(file=io.StringIO(), width=80)
    with TrainingBar("t", 4, 10, done=2, console=console, clock=clock) as bar:
        for step in range(6, 11):  # stopped after five steps
            clock.now += 2.0
            bar.step(3, step, 4)
        bar.epoch(3, {"loss": 1.0})
    assert lines_of(console) == [
        "t: 4 epochs of 10 steps, continued after epoch 2",
        "t: epoch 3/4, loss 1.000, 2 examples/s, 20 s left",
    ]


def test_a_terminal_has_one_moving_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    console = Console(file=io.StringIO(), width=80, force_terminal=True)
    with TrainingBar("t [1]", 2, 3, console=console) as bar:
        bar.step(1, 1, 4)
        bar.epoch(1, {"loss": 1.0, "validation": 0.5})
    said = "\n".join(lines_of(console))
    assert "t [1]: 2 epochs of 3 steps" in said
    assert "epoch 1/2, step 3/3" in said
    assert "validation 50.0 %" in said
    assert "\x1b[3" not in said  # no colours


def test_a_terminal_that_cannot_move_gets_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    console = Console(file=io.StringIO(), force_terminal=True)
    with TrainingBar("t", 1, 1, console=console) as bar:
        bar.epoch(1, {"loss": 1.0})
    assert lines_of(console) == ["t: 1 epoch of 1 step", "t: epoch 1/1, loss 1.000"]


def test_nothing_is_shown_that_is_not_wanted(capsys: pytest.CaptureFixture[str]) -> None:
    data = load_data(DataConfig(train_limit=40))
    net = ac.models.MLP(depth=1, width=4, classes=10, image_size=8, channels=1)
    config = ac.FitConfig(epochs=1, batch_size=8)
    ac.fit(net, data.train, data.validation, config, progress=False)
    assert capsys.readouterr() == ("", "")
    ac.fit(net, data.train, data.validation, config, title="mine")
    assert "mine: epoch 1/1, loss" in capsys.readouterr().err


# -- before it begins ------------------------------------------------------------------------------


def test_an_estimate_changes_nothing() -> None:
    data = load_data(DataConfig(train_limit=64))
    net = ac.models.Mixer(depth=2, width=8, classes=10, image_size=8, channels=1, dropout=0.5)
    net.eval()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    state = torch.random.get_rng_state()
    config = ac.FitConfig(epochs=3, batch_size=16, distil=ac.DistilConfig())
    found = estimate(net, data.train, data.validation, config, AugmentConfig(mixup=0.5))
    assert found.steps == 9
    assert found.seconds >= 9 * found.step > 0
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert all(p.grad is None for p in net.parameters())
    assert not any(module.training for module in net.modules())


def test_an_estimate_of_memory_counts_weights_and_what_a_batch_keeps() -> None:
    """Four times the weights with AdamW, three times with SGD; activations grow with the batch."""
    data = load_data()
    net = ac.models.MLP(depth=2, width=16, classes=10, image_size=8, channels=1)
    weights = sum(p.nbytes for p in net.parameters())
    sizes = {
        (name, size): estimate(
            net, data.train, None, ac.FitConfig(optimizer=name, batch_size=size)
        ).bytes
        for name, size in (("adamw", 32), ("adamw", 64), ("sgd", 64))
    }
    assert sizes["adamw", 64] - sizes["sgd", 64] == weights
    growth = sizes["adamw", 64] - sizes["adamw", 32]
    kept = sizes["adamw", 64] - 4 * weights
    assert 0.9 * kept < 2 * growth < 1.1 * kept


def tiny(**options: object) -> RunConfig:
    model = replace(RunConfig().model, name="mlp", depth=2).having(width=8)
    fit = ac.FitConfig(epochs=1, batch_size=32, warmup_epochs=0)
    data = DataConfig(train_limit=100)
    return resolve(RunConfig(data=data, model=model, fit=fit, **options))  # type: ignore[arg-type]


def test_the_trainings_of_a_run() -> None:
    assert trainings(tiny(), "train", 6) == [1]
    assert trainings(tiny(), "compress", 6) == [1, 1, 1]
    assert trainings(tiny(heal=2), "compress", 6) == [1, 2, 1, 3]
    assert trainings(tiny(rivals=False, heal=2), "compress", 6) == [1, 2]
    assert trainings(tiny(heal=2, stepwise=True), "compress", 6) == [1, 2, 2, 2, 2, 1, 9]
    config = tiny()
    data = load_data(config.data)
    said = expectation(build_network(config.model, data, 0), data, config, "compress")
    assert said.startswith("estimate: about 1 s for at most 3 trainings (3 epochs of 2 steps, ")
    assert said.endswith(
        "; measuring, exporting and reporting come on top, often one or two minutes"
    )
    assert "on top" not in expectation(build_network(config.model, data, 0), data, config, "train")


def test_data_that_cannot_carry_the_rule() -> None:
    data = load_data(DataConfig(train_limit=480))  # leaves 96 to validation
    (said,) = doubts_about(data, RunConfig())
    assert said.startswith("one of 96 validation examples is 1.04 points, more than the tolerance")
    assert "with 200 validation examples one of them is the tolerance" in said
    for select in (ac.pipeline.SelectConfig(layers=2), ac.pipeline.SelectConfig(tolerance=0.02)):
        assert doubts_about(data, RunConfig(select=select)) == []


def test_an_identical_rival_is_trained_once(
    tmp_path: Path, no_onnx: None, capsys: pytest.CaptureFixture[str]
) -> None:
    """The shallow network of all layers is the baseline; a residual network is its own."""
    folder, select = tmp_path, ac.pipeline.SelectConfig(layers=2)
    config = tiny(select=select)
    data = load_data(config.data)
    net = build_network(config.model, data, 0)
    report = run_stages(config, data, net, folder / "one")
    said = capsys.readouterr().err
    assert "training 2 of 3: residual baseline" in said
    assert "training 3 of 3 is not needed: the residual network of 2 layers" in said
    assert not (folder / "one" / "shallow").exists()
    assert report["shallow"]["validation"] == report["baseline"]["validation"]
    config = replace(config, model=replace(config.model, connectivity="residual"), path=None)
    config = replace(config, fit=config.fit.plain())
    run_stages(config, data, build_network(config.model, data, 0), folder / "two")
    said = capsys.readouterr().err
    assert "training 2 of 3 is not needed" in said
    assert "training 3 of 3 is not needed" in said
    config = replace(config, select=ac.pipeline.SelectConfig(layers=1))
    run_stages(config, data, build_network(config.model, data, 0), folder / "three", progress=False)
    assert (folder / "three" / "shallow" / "model").exists()
    assert capsys.readouterr().err == ""


def test_the_first_line_comes_before_torch() -> None:
    code = (
        "import sys; from autocompress.cli import main\n"
        "class Stop(BaseException): pass\n"
        "class Finder:\n"
        "    def find_spec(self, name, path, target=None):\n"
        "        if name == 'torch': raise Stop\n"
        "sys.meta_path.insert(0, Finder())\n"
        "for more in [], ['--quiet'], ['--help-all']:\n"
        "    try: main(['compress', *more])\n"
        "    except Stop: print('torch', more, file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.splitlines() == [
        "acn compress: starting (PyTorch takes a few seconds)",
        "torch []",
        "torch ['--quiet']",
        "torch ['--help-all']",
    ]
