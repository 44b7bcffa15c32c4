"""A hook in a file of its own: its options are read, checked, used and kept like all others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

import autocompress as ac
from autocompress.cli import main
from autocompress.commands.accepts import options_of_verb
from autocompress.commands.table import VERBS
from autocompress.errors import CheckpointError, ConfigError, InterruptedRunError, UnknownNameError
from autocompress.pipeline import RunConfig, as_values, make_config, read_config, read_words
from autocompress.training.hooks import HOOKS, register_hook
from models_table import make
from toy import StopsAfter, config, quiet_fit, same, source, weights


@dataclass(frozen=True, kw_only=True)
class Fading:
    """Add the squared weights of the head to the loss, less from step to step."""

    strength: float = 0.1
    rate: float = 0.9

    def __post_init__(self) -> None:
        if not 0 < self.rate <= 1:
            raise ConfigError(f"fading.rate {self.rate} must be in (0, 1]")

    def hook(self, net: ac.Network, copies: Sequence[ac.Network]) -> ac.Hook:
        return FadingHook(self)


class FadingHook(ac.Hook):
    def __init__(self, options: Fading) -> None:
        self.left, self.rate = options.strength, options.rate

    def penalty(self, net: ac.Network) -> torch.Tensor:
        return self.left * torch.stack([p.square().sum() for p in net.head.parameters()]).sum()

    def after_step(self, net: ac.Network) -> None:
        self.left *= self.rate

    def state_dict(self) -> dict[str, Any]:
        return {"left": self.left}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.left = state["left"]


@pytest.fixture(autouse=True)
def fading() -> Iterator[None]:
    register_hook("fading")(Fading)
    yield
    HOOKS.remove("fading")


def test_a_class_is_registered_as_it_is() -> None:
    """It belongs to the user, who may register one of another library."""
    added = set(vars(Fading)) - {"strength", "rate", "hook"}
    assert not {name for name in added if not name.startswith("_")}


def test_help_lists_its_options(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--help-all"]) == 0
    shown = capsys.readouterr().out
    assert "options of the training hook fading:" in shown
    assert "--fit.fading.rate X" in shown
    assert main(["probe", "--help-all"]) == 0
    assert "fading" not in capsys.readouterr().out


def test_what_can_be_no_options_is_refused_when_it_is_registered() -> None:
    class Bare:
        def hook(self, net: ac.Network, copies: Sequence[ac.Network]) -> ac.Hook:
            return ac.Hook()

    @dataclass(frozen=True)
    class Idle:
        strength: float = 0.1

    for kind in (Bare, Idle):
        with pytest.raises(ConfigError, match=f"'odd' must be a dataclass.*{kind.__name__} is not"):
            register_hook("odd")(kind)
    assert "odd" not in HOOKS


def test_why_it_runs_in_one_process_only_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    import accelerate

    @register_hook("single")
    @dataclass(frozen=True, kw_only=True)
    class Single:
        alone = "single keeps a file open, so it trains in one process"

        def hook(self, net: ac.Network, copies: Sequence[ac.Network]) -> ac.Hook:
            return ac.Hook()

    try:
        trained(hooks={"single": Single()})  # in one
        monkeypatch.setattr(accelerate.Accelerator, "num_processes", 2)
        with pytest.raises(ConfigError, match="single keeps a file open"):
            trained(hooks={"single": Single()})
    finally:
        HOOKS.remove("single")


def trained(**options: Any) -> dict[str, torch.Tensor]:
    net = make("mlp", "acn")
    quiet_fit(net, source(), config=config(**options))
    return weights(net)


def test_its_options_are_read_like_all_others(tmp_path: Path) -> None:
    options = options_of_verb(VERBS["train"])
    words = ["--fit.fading.strength", "0.5", "--fit.epochs", "2", "--fit.fading.rate", "1"]
    said = read_words(words, options)
    fit = make_config(RunConfig, said.sections).fit
    assert fit.hooks == {"fading": Fading(strength=0.5, rate=1.0)}
    (tmp_path / "a.yaml").write_text("fit: {fading: {strength: 0.5, rate: 1}, epochs: 2}")
    assert read_config(tmp_path / "a.yaml").fit == fit
    assert as_values(fit)["fading"] == {"strength": 0.5, "rate": 1.0}  # so config.yaml repeats it
    assert "hooks" not in as_values(fit)
    (tmp_path / "b.yaml").write_text("fit: {fading: null}")
    assert read_config(tmp_path / "b.yaml").fit.hooks == {}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{fadin: {}}", "unknown option 'fit.fadin'; did you mean 'fit.fading'"),
        ("{fading: {strenght: 1}}", "did you mean 'fit.fading.strength'"),
        ("{fading: {strength: much}}", "fit.fading.strength.*expected a number"),
        ("{fading: {rate: 2}}", r"fading.rate 2.0 must be in \(0, 1\]"),
        ("{fading: 3}", "fit.fading"),
    ],
)
def test_what_it_refuses(line: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(f"fit: {line}")
    with pytest.raises(ConfigError, match=message):
        read_config(tmp_path / "a.yaml")


def test_objects_are_checked_as_well() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'fading'"):
        ac.FitConfig(hooks={"fadin": Fading()})
    with pytest.raises(ConfigError, match=r"fit.fading \{'rate': 1\} must be a Fading"):
        ac.FitConfig(hooks={"fading": {"rate": 1}})  # type: ignore[dict-item]


def test_it_takes_part_and_resumes_where_it_was(tmp_path: Path) -> None:
    hooks = {"fading": Fading(strength=0.3, rate=0.7)}
    whole = trained(hooks=hooks)
    assert not same(whole, trained())
    assert same(trained(hooks={"fading": Fading(strength=0.0)}), trained())
    net = make("mlp", "acn")
    with pytest.raises(InterruptedRunError):
        quiet_fit(net, StopsAfter(source(), 2), config=config(hooks=hooks), run=tmp_path / "run")
    again = make("mlp", "acn")
    quiet_fit(again, source(), config=config(hooks=hooks), run=tmp_path / "run", resume=True)
    assert same(weights(again), whole)
    other = config(hooks={"fading": Fading(strength=0.3, rate=0.5)})
    with pytest.raises(CheckpointError, match=r"fading\.rate: 0\.7 -> 0\.5"):
        quiet_fit(make("mlp", "acn"), source(), config=other, run=tmp_path / "run", resume=True)


def test_what_a_hook_means_for_a_run_is_said_by_its_options() -> None:
    """What it excludes, when it needs scores, and what rivals, longer runs and healing keep."""

    @register_hook("halving")
    @dataclass(frozen=True, kw_only=True)
    class Halving:
        steps: int = 8
        shallower = True

        def check(self, fit: ac.FitConfig) -> None:
            if fit.ema is not None:
                raise ConfigError("halving takes no ema")

        def scored_after(self, epoch: int, epochs: int) -> bool:
            return epoch == 3

        def hook(self, net: ac.Network, copies: Sequence[ac.Network]) -> ac.Hook:
            return ac.Hook()

    @register_hook("spread")
    @dataclass(frozen=True, kw_only=True)
    class Spread:
        each: float = 0.5

        def over(self, epochs: int, more: int) -> Spread:
            return Spread(each=self.each * epochs / (epochs + more))

        def settled(self) -> Spread:
            return Spread(each=0.0)

        def hook(self, net: ac.Network, copies: Sequence[ac.Network]) -> ac.Hook:
            return ac.Hook()

    try:
        both: dict[str, Any] = {"halving": Halving(), "spread": Spread()}
        fit = ac.FitConfig(epochs=6, evaluate_every=5, hooks=both, prune=ac.PruneConfig(share=0.36))
        assert [epoch for epoch in range(1, 7) if fit.evaluates_after(epoch)] == [3, 5, 6]
        with pytest.raises(ConfigError, match="halving takes no ema"):
            ac.FitConfig(hooks={"halving": Halving()}, ema=0.9)
        rival = RunConfig(fit=fit).rival(2, more=6).fit
        assert (rival.epochs, dict(rival.hooks)) == (12, {"spread": Spread(each=0.25)})
        healing = RunConfig(fit=fit).healing(2).fit
        assert (healing.epochs, dict(healing.hooks)) == (2, {"spread": Spread(each=0.0)})
        assert healing.prune == ac.PruneConfig(share=0.0)
    finally:
        HOOKS.remove("halving")
        HOOKS.remove("spread")
