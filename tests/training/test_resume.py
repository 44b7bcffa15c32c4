"""A run that goes on is the run that was never stopped, or it is refused."""

from __future__ import annotations

import json
import random
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    SubsetRandomSampler,
)

import autocompress as ac
from autocompress.data import TensorSource
from autocompress.errors import CheckpointError, ConfigError, InterruptedRunError
from autocompress.pipeline import RunConfig
from autocompress.training.checkpoint import latest_checkpoint, read_latest, write_checkpoint
from autocompress.training.hooks import Hook
from autocompress.training.identity import at_default, identity_of, unlike
from marks import slow_but
from models_table import make
from toy import config, quiet_fit, same, source, weights

EPOCHS = {"epochs": 4, "batch_size": 32}

pytestmark = pytest.mark.usefixtures("default_sigterm")


class Signals(TensorSource):
    """A source during whose second pass a signal arrives, before its second batch."""

    def __init__(self, number: int = signal.SIGTERM, epoch: int = 2) -> None:
        inner = source()
        super().__init__(inner.images, inner.labels)
        self.number, self.left = number, epoch

    def to(self, device: object) -> Signals:
        return self

    def batches(self, batch_size, order=None):  # type: ignore[no-untyped-def]
        # what is read in natural order is statistics, and a first batch that is looked at
        self.left -= order is not None and not torch.equal(order, order.sort().values)
        for i, batch in enumerate(super().batches(batch_size, order)):
            if self.left == 0 and i == 1:
                signal.raise_signal(self.number)
            yield batch


class Raises(Hook):
    """Ends the run when an epoch begins, as a crash would."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def before_epoch(self, net: ac.Network, epoch: int, epochs: int, steps: int) -> None:
        if epoch == self.epoch:
            raise ZeroDivisionError


# -- generators of the data ------------------------------------------------------------------------


class Noisy(Dataset[Any]):
    """Draws noise for each image from a generator of its own."""

    def __init__(self, generator: Any) -> None:
        inner = source()
        self.images, self.labels = inner.images.float() / 255, inner.labels
        self.generator = generator

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        if isinstance(self.generator, torch.Generator):
            noise = float(torch.rand((), generator=self.generator))
        else:
            noise = float(self.generator.random())
        return self.images[index] + noise, self.labels[index]


class Drawn:
    """A batch sampler of nobody's making, with numpy's generator."""

    def __init__(self) -> None:
        self.rng = np.random.default_rng(5)

    def __iter__(self):  # type: ignore[no-untyped-def]
        yield from self.rng.permutation(96).reshape(6, 16).tolist()

    def __len__(self) -> int:
        return 6


def plain() -> Noisy:
    return Noisy(torch.Generator().manual_seed(7))


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(11)


LOADERS = {
    "generator": lambda: DataLoader(plain(), 16, shuffle=True, generator=seeded()),
    "sampler": lambda: DataLoader(plain(), 16, sampler=SubsetRandomSampler(range(96), seeded())),
    "batch sampler": lambda: DataLoader(
        plain(), batch_sampler=BatchSampler(RandomSampler(plain(), generator=seeded()), 16, False)
    ),
    "numpy": lambda: DataLoader(Noisy(np.random.RandomState(3)), batch_sampler=Drawn()),
    "python": lambda: Noisy(random.Random(3)),
    "global": lambda: DataLoader(Noisy(random), 16, shuffle=True),
}


@pytest.mark.parametrize("kind", slow_but(LOADERS, ["generator", "numpy", "global"]))
def test_generators_of_the_data_go_on_where_they_were(kind: str, tmp_path: Path) -> None:
    whole, stopped, resumed = (make("mlp", "acn", dropout=0.1) for _ in range(3))
    data = LOADERS[kind]
    quiet_fit(whole, data(), None, config(**EPOCHS), hooks=[Raises(9)])
    with pytest.raises(ZeroDivisionError):
        quiet_fit(stopped, data(), None, config(**EPOCHS), run=tmp_path, hooks=[Raises(3)])
    again = {"run": tmp_path, "resume": True, "hooks": [Raises(9)]}
    quiet_fit(resumed, data(), None, config(**EPOCHS), **again)
    assert same(weights(whole), weights(resumed))


def test_other_generators_are_refused(tmp_path: Path) -> None:
    data = TensorSource(source().images, source().labels)
    with pytest.raises(ZeroDivisionError):
        quiet_fit(make("mlp", "acn"), data, None, config(), run=tmp_path, hooks=[Raises(3)])
    other = DataLoader(plain(), 1, shuffle=True, generator=torch.Generator())
    with pytest.raises(CheckpointError, match="draw from other generators"):
        quiet_fit(
            make("mlp", "acn"), other, None, config(), run=tmp_path, resume=True, hooks=[Raises(9)]
        )
    with pytest.raises(CheckpointError, match=r"hooks: \['Raises'\] -> \[\]"):
        quiet_fit(make("mlp", "acn"), data, None, config(), run=tmp_path, resume=True)


def test_workers_that_live_on_are_refused_before_the_first_step(tmp_path: Path) -> None:
    loader = DataLoader(plain(), 16, num_workers=1, persistent_workers=True)
    with pytest.raises(ConfigError, match="persistent_workers=False"):
        quiet_fit(make("mlp", "acn"), loader, None, config(), run=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_seed_may_be_large() -> None:
    """Numpy's generator takes 32 bits; the seed of an epoch is 100,003 times the run's."""
    for seed in (50_000, 2**31):
        quiet_fit(make("mlp", "acn"), source(), None, config(epochs=1, seed=seed))


# -- signals ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    slow_but(
        [
            {},
            {"ema": 0.9, "path": ac.PathConfig(start=0.1, stop=0.6)},
            {"prune": ac.PruneConfig(score="movement", share=0.3)},
            {"live": ac.LiveConfig(tolerance=0.9, patience=1, start=0.0)},
        ],
        [{}, {"live": ac.LiveConfig(tolerance=0.9, patience=1, start=0.0)}],
    ),
    ids=["plain", "ema", "prune", "live"],
)
def test_a_run_goes_on_within_an_epoch(options: dict[str, Any], tmp_path: Path) -> None:
    augment = ac.AugmentConfig(crop_padding=1, flip=True, cutmix=0.3, mixup=0.3)
    settings, validation = config(**EPOCHS, **options), source(48, seed=1)
    whole, stopped, resumed = (make("mixer", "acn", dropout=0.1) for _ in range(3))
    expected = quiet_fit(whole, source(), validation, settings, augment=augment)
    handler = signal.getsignal(signal.SIGTERM)
    with pytest.raises(InterruptedRunError, match="epoch-0001-step-000002 is saved"):
        quiet_fit(stopped, Signals(), validation, settings, augment=augment, run=tmp_path)
    assert signal.getsignal(signal.SIGTERM) is handler
    found = quiet_fit(
        resumed, source(), validation, settings, augment=augment, run=tmp_path, resume=True
    )
    assert same(weights(whole), weights(resumed))
    for mine, theirs in zip(found.history, expected.history, strict=True):
        assert {**mine, "seconds": 0} == {**theirs, "seconds": 0}


def test_data_that_draw_go_on_within_an_epoch(tmp_path: Path) -> None:
    class Stops(Noisy):
        drawn = 0

        def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
            self.drawn += 1
            if self.drawn == 96 + 50:
                signal.raise_signal(signal.SIGHUP)
            return super().__getitem__(index)

    def loader(kind: type[Noisy]) -> DataLoader[Any]:
        return DataLoader(kind(seeded()), 16, shuffle=True, generator=seeded())

    whole, stopped, resumed = (make("mlp", "acn", dropout=0.1) for _ in range(3))
    quiet_fit(whole, loader(Noisy), None, config(**EPOCHS))
    with pytest.raises(InterruptedRunError, match="epoch-0001-step-00000[345]"):
        quiet_fit(stopped, loader(Stops), None, config(**EPOCHS), run=tmp_path)
    quiet_fit(resumed, loader(Noisy), None, config(**EPOCHS), run=tmp_path, resume=True)
    assert same(weights(whole), weights(resumed))


class StopAfter(Hook):
    """Sends Ctrl-C after a number of steps."""

    def __init__(self, steps: int) -> None:
        self.left = steps

    def after_step(self, net: ac.Network) -> None:
        self.left -= 1
        if self.left == 0:
            signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("steps", [3, 6])
def test_a_run_stopped_after_the_last_step_of_an_epoch_is_scored_alike(
    steps: int, tmp_path: Path
) -> None:
    """The logged score is that of the layers that ran in this step: 2 of 4, then all."""

    def trained(stop: int, **run: Any) -> list[dict[str, Any]]:
        plan = config(**EPOCHS, lr=3e-2, warmup_epochs=0, grow=ac.GrowConfig(layers=1, until=0.5))
        net, hooks = make("mixer", "residual", width=16), [StopAfter(stop)]
        found = quiet_fit(net, source(), source(200, seed=1), plan, hooks=hooks, **run)
        return [{**record, "seconds": 0} for record in found.history]

    expected = trained(99)
    assert expected[0]["validation"] == expected[0]["depths"][2] != expected[0]["depths"][1]
    assert expected[1]["validation"] == expected[1]["depths"][4] != expected[1]["depths"][1]
    with pytest.raises(InterruptedRunError):
        trained(steps, run=tmp_path)
    assert trained(99, run=tmp_path, resume=True) == expected


class Flow(IterableDataset[Any]):
    """A stream that draws the order and the noise of every pass."""

    def __init__(self, generator: Any) -> None:
        inner = source()
        self.images, self.labels = inner.images.float() / 255, inner.labels
        self.generator = generator

    def __iter__(self):  # type: ignore[no-untyped-def]
        own = isinstance(self.generator, torch.Generator)
        order = list(range(64))
        if own:
            order = torch.randperm(64, generator=self.generator).tolist()
        else:
            self.generator.shuffle(order)
        for index in order:
            noise = torch.rand((), generator=self.generator) if own else self.generator.random()
            yield self.images[index] + float(noise), self.labels[index]


@pytest.mark.parametrize("stop", [3, 5, 7])
@pytest.mark.parametrize("kind", ["own", "python", "global"])
def test_a_stream_goes_on_where_it_was(kind: str, stop: int, tmp_path: Path) -> None:
    """Four epochs of three steps read three passes of four batches."""

    def flow() -> Flow:
        return Flow({"own": seeded(), "python": random.Random(3), "global": random}[kind])

    plan = config(epochs=4, batch_size=16, steps_per_epoch=3)
    whole, stopped, resumed = (make("mlp", "acn") for _ in range(3))
    expected = quiet_fit(whole, flow(), None, plan, hooks=[StopAfter(99)])
    with pytest.raises(InterruptedRunError):
        quiet_fit(stopped, flow(), None, plan, run=tmp_path, hooks=[StopAfter(stop)])
    again = {"run": tmp_path, "resume": True, "hooks": [StopAfter(99)]}
    found = quiet_fit(resumed, flow(), None, plan, **again)
    assert same(weights(whole), weights(resumed))
    assert [row["loss"] for row in found.history] == [row["loss"] for row in expected.history]


def test_a_signal_that_is_ignored_stays_ignored(tmp_path: Path) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        run = quiet_fit(make("mlp", "acn"), Signals(signal.SIGHUP), None, config(), run=tmp_path)
    finally:
        signal.signal(signal.SIGHUP, before)
    assert len(run.history) == 3


# -- checkpoints -----------------------------------------------------------------------------------


def test_checkpoints_are_ordered_by_number(tmp_path: Path) -> None:
    for epoch in (9_998, 9_999, 10_000, 10_001):
        write_checkpoint(tmp_path, epoch, {"epoch": epoch}, {})
    assert {p.name for p in tmp_path.iterdir()} == {"epoch-10000", "epoch-10001"}
    write_checkpoint(tmp_path, 10_001, {"epoch": 10_001.5}, {}, step=1_000_000)
    write_checkpoint(tmp_path, 10_001, {"epoch": 10_001.1}, {}, step=2)
    assert latest_checkpoint(tmp_path) == tmp_path / "epoch-10001-step-1000000"
    assert (read_latest(tmp_path, {}) or {})["epoch"] == 10_001.5
    write_checkpoint(tmp_path, 10_002, {"epoch": 10_002}, {})
    assert (read_latest(tmp_path, {}) or {})["epoch"] == 10_002


@pytest.mark.parametrize("name", ["state.pt", "info.json"])
@pytest.mark.parametrize("damage", ["flip", "cut", "gone"])
def test_a_damaged_checkpoint_gives_way_to_the_one_before(
    name: str, damage: str, tmp_path: Path
) -> None:
    whole, resumed = make("mlp", "acn", dropout=0.1), make("mlp", "acn", dropout=0.1)
    quiet_fit(whole, source(), None, config(), run=tmp_path)
    file = tmp_path / "checkpoints" / "epoch-0003" / name
    content = bytearray(file.read_bytes())
    if damage == "gone":
        file.unlink()
    else:
        at = content.find(b'"lr": ') + 7 if name == "info.json" else len(content) // 2
        content[at] ^= 1  # in info.json a digit of a setting: damage, not another run
        file.write_bytes(content if damage == "flip" else content[:at])
    with pytest.warns(UserWarning, match=r"epoch-0003.*resuming from .*epoch-0002"):
        quiet_fit(resumed, source(), None, config(), run=tmp_path, resume=True)
    assert same(weights(whole), weights(resumed))
    assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) == 3


def test_without_a_whole_checkpoint_it_is_refused(tmp_path: Path) -> None:
    quiet_fit(make("mlp", "acn"), source(), None, config(), run=tmp_path)
    for folder in (tmp_path / "checkpoints").iterdir():
        (folder / "state.pt").write_bytes(b"")
    with pytest.raises(CheckpointError, match="no other to resume from; remove .*checkpoints"):
        quiet_fit(make("mlp", "acn"), source(), None, config(), run=tmp_path, resume=True)


def test_a_run_that_begins_anew_does_not_go_on_from_an_earlier_one(tmp_path: Path) -> None:
    again: dict[str, Any] = {"run": tmp_path, "resume": True}
    quiet_fit(make("mlp", "acn"), source(), None, config(epochs=3), run=tmp_path)
    hooks = [Raises(2)]
    with pytest.raises(ZeroDivisionError):
        quiet_fit(make("mlp", "acn"), source(), None, config(), run=tmp_path, hooks=hooks)
    assert [p.name for p in (tmp_path / "checkpoints").iterdir()] == ["epoch-0001"]
    with pytest.raises(ZeroDivisionError):
        quiet_fit(make("mlp", "acn"), source(), None, config(), hooks=[Raises(2)], **again)


def test_a_state_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    quiet_fit(make("mlp", "acn"), source(), None, config(), run=tmp_path)
    folder = tmp_path / "checkpoints"
    state = torch.load(folder / "epoch-0003" / "state.pt")
    state["optimizer"]["param_groups"].pop()  # another version groups the weights otherwise
    identity = json.loads((folder / "epoch-0003" / "info.json").read_text())["identity"]
    write_checkpoint(folder, 3, state, identity)
    with pytest.raises(CheckpointError, match="does not fit this run"):
        quiet_fit(make("mlp", "acn"), source(), None, config(), run=tmp_path, resume=True)


# -- whether it is the same run --------------------------------------------------------------------


def test_an_option_that_is_new_and_at_its_default_is_no_difference(tmp_path: Path) -> None:
    def settings(**options: Any) -> ac.FitConfig:
        return config(distil=ac.DistilConfig(every=1), **options)

    again: dict[str, Any] = {"run": tmp_path, "resume": True}
    quiet_fit(make("mlp", "acn"), source(), None, settings(), run=tmp_path)
    state = torch.load(tmp_path / "checkpoints" / "epoch-0003" / "state.pt")
    identity = json.loads(json.dumps(identity_of(make("mlp", "acn"), settings(), None)))
    del identity["eps"], identity["distil"]["start"], identity["dropout"]
    write_checkpoint(tmp_path / "checkpoints", 3, state, identity)
    assert len(quiet_fit(make("mlp", "acn"), source(), None, settings(), **again).history) == 3
    with pytest.raises(CheckpointError, match=r"eps: nothing -> 0\.5"):
        quiet_fit(make("mlp", "acn"), source(), None, settings(eps=0.5), **again)


def test_a_section_that_was_empty_is_not_one_at_its_defaults() -> None:
    now = {"path": {"start": 0.0, "stop": 1.0}, "lr": 1}
    found = unlike({"path": None, "lr": 1.0}, now, {"path.start", "path.stop"})
    assert found == ["path: None -> {'start': 0.0, 'stop': 1.0}"]
    assert unlike(now, {"lr": 1.0}) == ["path: {'start': 0.0, 'stop': 1.0} -> nothing"]
    assert unlike({"betas": [0.9, 0.99]}, {"betas": (0.9, 0.99)}) == []


def test_what_a_class_resolves_itself_is_a_default_too() -> None:
    assert {"heal", "fit", "fit.lr"} <= at_default(RunConfig())
    assert "heal" not in at_default(RunConfig(heal=3))
