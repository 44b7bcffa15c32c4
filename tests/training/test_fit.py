"""Training: it learns, it resumes bit for bit, it stops with a clear word."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

import autocompress as ac
from autocompress.data import TensorSource
from autocompress.errors import (
    CheckpointError,
    ConfigError,
    DataError,
    DivergedError,
    InterruptedRunError,
    OutputError,
)
from autocompress.training.optimization import make_optimizer, make_schedule
from marks import slow_but
from models_table import CONNECTIVITIES, make
from toy import StopsAfter, compiles, config, quiet_fit, same, source, weights


@pytest.mark.parametrize("connectivity", slow_but(CONNECTIVITIES, ["acn", "residual", "learned"]))
def test_every_connectivity_learns(connectivity: str) -> None:
    net = make("mixer", connectivity, width=16)
    run = quiet_fit(net, source(), source(48, seed=1), config(epochs=15))
    assert run.history[-1]["validation"] > 0.9
    assert len(run.history[-1]["depths"]) == net.depth + 1
    assert not net.training


ANNEAL = ac.PathConfig(start=0.1, stop=0.6)


@pytest.mark.parametrize(
    "options",
    slow_but(
        [
            {},
            {"optimizer": "sgd", "lr": 0.05},
            {"ema": 0.9},
            {"path": ANNEAL},
            {"precision": "bf16"},
            {"mediated": 0.0, "clip_norm": None},
        ],
        [{}, {"ema": 0.9}, {"path": ANNEAL}],
    ),
    ids=["adamw", "sgd", "ema", "anneal", "bf16", "detached"],
)
def test_resume_goes_on_bit_for_bit(options: dict[str, object], tmp_path: Path) -> None:
    augment = ac.AugmentConfig(crop_padding=1, flip=True, cutmix=0.3, mixup=0.3)

    def net() -> ac.Network:
        return make("mixer", "acn", dropout=0.1)

    whole, data = net(), (source(), source(48, seed=1))
    full = quiet_fit(whole, *data, config(epochs=4, **options), augment=augment, run=tmp_path / "a")
    stopped = net()
    with pytest.raises(InterruptedRunError, match="resume=True"):
        quiet_fit(
            stopped,
            StopsAfter(source(), epochs=2),
            data[1],
            config(epochs=4, **options),
            augment=augment,
            run=tmp_path / "b",
        )
    resumed = net()
    again = quiet_fit(
        resumed,
        *data,
        config(epochs=4, **options),
        augment=augment,
        run=tmp_path / "b",
        resume=True,
    )
    assert same(weights(whole), weights(resumed))
    assert [r["loss"] for r in full.history] == [r["loss"] for r in again.history]
    lines = (tmp_path / "b" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == [1, 2, 3, 4]


def test_a_resumed_run_has_as_many_examples_as_before(tmp_path: Path) -> None:
    quiet_fit(make("mixer", "acn"), source(48), None, config(epochs=1), run=tmp_path)
    rows = TensorDataset(torch.randn(48, 1, 4, 4), torch.arange(48) % 3)
    for data in (source(47), DataLoader(rows, batch_size=16)):
        said = f"train_length: 48 -> {len(data)}"
        with pytest.raises(CheckpointError, match=said):
            quiet_fit(make("mixer", "acn"), data, None, config(), run=tmp_path, resume=True)
    again = quiet_fit(
        make("mixer", "acn"), source(48), None, config(epochs=1), run=tmp_path, resume=True
    )
    assert len(again.history) == 1


def test_a_seed_decides_everything() -> None:
    def trained(seed: int) -> dict[str, torch.Tensor]:
        net = make("mixer", "acn", dropout=0.1)
        quiet_fit(net, source(), None, config(epochs=2, seed=seed))
        return weights(net)

    assert same(trained(1), trained(1))
    assert not same(trained(1), trained(2))


def test_anneal_ends_at_its_end() -> None:
    net = make("mixer", "acn")
    run = quiet_fit(net, source(), None, config(path=ANNEAL))
    assert net.trunk.connectivity.to_config() == {"name": "acn", "inner": 1.0}
    assert net.config["connectivity"] == {"name": "acn", "inner": 1.0}
    assert len(run.history) == 3
    assert ac.PathConfig(start=0.2, stop=0.6).at(0.1) == (1.0, 0.0)
    assert ac.PathConfig(start=0.2, stop=0.6).at(0.4) == pytest.approx((0.5, 0.5))
    assert ac.PathConfig(start=0.2, stop=0.6).at(0.9) == (0.0, 1.0)


def test_detached_trains_a_layer_by_its_own_long_connection() -> None:
    """With a residual rule only the last layer has one: the others stay as they were."""
    net = make("mlp", "residual")
    before = weights(net)
    quiet_fit(net, source(), None, config(epochs=1, mediated=0.0, weight_decay=0.0))
    moved = {k.split(".")[2] for k, v in net.state_dict().items() if not torch.equal(v, before[k])}
    assert "3" in moved
    assert not moved & {"0", "1", "2"}


def test_other_data_than_ours() -> None:
    images, labels = torch.randn(64, 1, 4, 4), torch.arange(64) % 3
    dataset = TensorDataset(images, labels)
    for data in (dataset, DataLoader(dataset, batch_size=16, shuffle=True)):
        net = make("mixer", "acn")
        run = quiet_fit(net, data, dataset, config(epochs=1))
        assert run.history[0]["validation"] is not None


def test_ema_is_what_is_kept() -> None:
    plain, averaged = make("mixer", "acn"), make("mixer", "acn")
    quiet_fit(plain, source(), None, config())
    quiet_fit(averaged, source(), None, config(ema=0.99))
    start = weights(make("mixer", "acn"))
    key = "trunk.blocks.0.branches.0.body.mlp.expand.weight"
    moved = [(weights(net)[key] - start[key]).norm() for net in (plain, averaged)]
    assert 0 < moved[1] < moved[0]


@pytest.mark.parametrize("backend", slow_but(["inductor", "aot_eager"], ["aot_eager"]))
def test_compiled_training(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The default compiler builds C++ for half a minute where nothing is cached."""
    made = compiles(monkeypatch, backend)
    eager, compiled = make("mlp", "acn"), make("mlp", "acn")
    quiet_fit(eager, source(), None, config(epochs=1))
    assert made == []
    quiet_fit(compiled, source(), None, config(epochs=1, compile="default"))
    assert made == ["default"], "what is not compiled is equal as well"
    for a, b in zip(eager.parameters(), compiled.parameters(), strict=True):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-3)


def test_clipping_limits_the_true_gradient() -> None:
    """With SGD, no momentum and one step the weights move by lr x the clipped norm."""
    net = make("mlp", "acn")
    before = torch.cat([p.detach().flatten() for p in net.parameters()])
    options = {"optimizer": "sgd", "momentum": 0.0, "lr": 1.0, "warmup_epochs": 0.0}
    # Nesterov needs momentum, so this test takes AdamW's place with plain momentum of almost 0
    options["momentum"] = 1e-9
    quiet_fit(
        net,
        source(32),
        None,
        config(epochs=1, clip_norm=1e-3, weight_decay=0.0, **options),
    )
    after = torch.cat([p.detach().flatten() for p in net.parameters()])
    assert float((after - before).norm()) == pytest.approx(1e-3, rel=1e-2)


def test_schedule_warms_up_and_comes_down() -> None:
    net = make("mlp", "acn")
    settings = config(epochs=10, warmup_epochs=2.0, lr=1.0, min_lr=0.01)
    optimizer = make_optimizer(net, settings)
    schedule = make_schedule(optimizer, settings, steps_per_epoch=5)
    rates = []
    for _ in range(50):
        rates.append(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step()
    assert rates[0] == pytest.approx(0.1)  # the first step is not wasted at 0
    assert rates[9] == rates[10] == pytest.approx(1.0)
    assert rates[30] == pytest.approx(0.5 * (1 + math.cos(math.pi * 20 / 40)))
    assert rates == sorted(rates[:11]) + sorted(rates[11:], reverse=True)
    assert schedule.get_last_lr()[0] == pytest.approx(0.01)


@pytest.mark.parametrize(("epochs", "warmup"), [(1, 1), (5, 5), (20, 20), (40, 30), (400, 30)])
def test_the_default_warm_up_is_short_in_short_runs(epochs: int, warmup: int) -> None:
    """With ten steps an epoch: three epochs, and at most a tenth of the run, which then decays."""
    settings = ac.FitConfig(epochs=epochs, lr=1.0)
    schedule = make_schedule(make_optimizer(make("mlp", "acn"), settings), settings, 10)
    factor = schedule.lr_lambdas[0]
    assert [factor(step) for step in range(warmup)] == [
        pytest.approx((step + 1) / warmup) for step in range(warmup)
    ]
    assert factor(warmup + 1) < factor(warmup) == 1.0
    assert factor(10 * epochs) == pytest.approx(settings.min_lr)


def test_the_rate_never_ends_above_its_peak() -> None:
    run = quiet_fit(make("mlp", "acn"), source(), None, config(lr=1e-7, warmup_epochs=0))
    assert [row["lr"] for row in run.history] == pytest.approx([1e-7] * 3)
    with pytest.raises(ConfigError, match=r"min_lr 0.001 must not be above lr 0.0001"):
        ac.FitConfig(lr=1e-4, min_lr=1e-3)


# -- wrong input -----------------------------------------------------------------------------------


def test_a_loss_that_is_not_finite_stops(tmp_path: Path) -> None:
    net = make("mlp", "acn")
    quiet_fit(net, source(), None, config(epochs=4, lr=1e-3), run=tmp_path)
    shutil.rmtree(tmp_path / "checkpoints" / "epoch-0004")

    class Poisoned(TensorDataset):
        def __getitem__(self, index):  # type: ignore[no-untyped-def]
            image, label = super().__getitem__(index)
            return image * (3e38 if index == 40 else 1.0), label

    data = Poisoned(torch.ones(96, 1, 4, 4), torch.arange(96) % 3)
    with pytest.raises(DivergedError, match="epoch-0003") as caught:
        quiet_fit(
            make("mlp", "acn"), data, None, config(epochs=4, lr=1e-3), run=tmp_path, resume=True
        )
    assert "Try a lower lr" in str(caught.value)
    assert (tmp_path / "checkpoints" / "epoch-0003" / "state.pt").exists()


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda f: (f / "state.pt").write_bytes((f / "state.pt").read_bytes()[:-40]), "truncated"),
        (
            lambda f: (f / "state.pt").write_bytes((f / "state.pt").read_bytes()[:-1] + b"x"),
            "altered",
        ),
        (lambda f: (f / "info.json").unlink(), "incomplete"),
        (lambda f: (f / "info.json").write_text("{"), "incomplete"),
    ],
)
def test_damaged_checkpoints(damage, words: str, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    quiet_fit(make("mlp", "acn"), source(), None, config(epochs=1), run=tmp_path)
    damage(tmp_path / "checkpoints" / "epoch-0001")
    with pytest.raises(CheckpointError, match=words):
        quiet_fit(make("mlp", "acn"), source(), None, config(epochs=1), run=tmp_path, resume=True)


def test_checkpoint_of_another_model(tmp_path: Path) -> None:
    quiet_fit(make("mlp", "acn"), source(), None, config(epochs=1), run=tmp_path)
    with pytest.raises(CheckpointError, match="depth: 4 -> 3") as caught:
        quiet_fit(
            make("mlp", "residual", depth=3),
            source(),
            None,
            config(epochs=1),
            run=tmp_path,
            resume=True,
        )
    assert "'acn' -> 'residual'" in str(caught.value)


def test_no_space_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(state: object, path: Path) -> None:
        path.write_bytes(b"some")
        raise RuntimeError("PytorchStreamWriter failed writing file data/0: file write failed")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OutputError, match="space"):
        quiet_fit(make("mlp", "acn"), source(), None, config(epochs=1), run=tmp_path)
    assert list((tmp_path / "checkpoints").iterdir()) == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"epochs": 0}, "epochs 0"),
        ({"lr": -1.0}, "lr -1.0"),
        ({"label_smoothing": 1.0}, "label_smoothing"),
        ({"ema": 1.5}, "ema 1.5"),
        ({"clip_norm": 0.0}, "clip_norm"),
        ({"optimizer": "adam"}, "adamw, sgd"),
        ({"precision": "fp8"}, "bf16"),
        ({"weight_decay": -0.1}, "negative"),
    ],
)
def test_illegal_settings(options: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        config(**options)


def test_illegal_anneal() -> None:
    with pytest.raises(ConfigError, match="start < stop"):
        ac.PathConfig(start=0.5, stop=0.5)


def test_data_that_do_not_fit() -> None:
    net = make("mlp", "acn")
    images = torch.zeros(4, 1, 4, 4, dtype=torch.uint8)
    with pytest.raises(DataError, match="3 classes takes 0..2"):
        quiet_fit(net, TensorSource(images, torch.tensor([0, 1, 2, 3])), None, config())
    with pytest.raises(DataError, match="empty"):
        quiet_fit(net, TensorDataset(torch.zeros(0, 1, 4, 4), torch.zeros(0)), None, config())
    with pytest.raises(ConfigError, match="run folder"):
        quiet_fit(net, source(), None, config(), resume=True)


@pytest.mark.parametrize("mode", [torch.inference_mode, torch.no_grad])
def test_training_records_gradients_whatever_the_mode_around_it(mode: type) -> None:
    net, other = make("mlp", "acn"), make("mlp", "acn")
    with mode():
        within = quiet_fit(net, source(), None, config(epochs=1))
    assert (
        within.history[0]["loss"]
        == quiet_fit(other, source(), None, config(epochs=1)).history[0]["loss"]
    )
    assert same(weights(net), weights(other))


def test_a_network_made_in_inference_mode_is_refused() -> None:
    with torch.inference_mode():
        net = make("mlp", "acn")
    with pytest.raises(ConfigError, match=r"made inside torch.inference_mode\(\) \(stem"):
        quiet_fit(net, source(), None, config(epochs=1))
