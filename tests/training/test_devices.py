"""Where training runs is asked without a trace, and a caller's own Accelerator is left alone."""

from __future__ import annotations

import pytest
import torch
from accelerate import Accelerator, PartialState
from accelerate.state import AcceleratorState, GradientState

from autocompress.errors import ConfigError
from autocompress.training import training_device
from autocompress.training.devices import borrowed_accelerator
from autocompress.training.launched import launched_processes
from models_table import make
from toy import config, quiet_fit, source

SHARED = (AcceleratorState, GradientState, PartialState)


@pytest.fixture
def fresh() -> None:
    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()


@pytest.mark.usefixtures("fresh")
def test_asking_for_the_device_starts_nothing() -> None:
    assert training_device(config(device="cpu")) == torch.device("cpu")
    expected = torch.accelerator.current_accelerator(check_available=True)
    kind = "cpu" if expected is None else expected.type
    assert training_device(config()).type == kind
    assert not any(state._shared_state for state in SHARED)


@pytest.mark.usefixtures("fresh")
def test_each_fit_has_the_precision_that_it_asks_for() -> None:
    for precision, name in (("fp32", "no"), ("bf16", "bf16"), ("fp32", "no")):
        with borrowed_accelerator(config(device="cpu", precision=precision)) as accelerator:
            assert accelerator.mixed_precision == name
    assert not any(state._shared_state for state in SHARED)


@pytest.mark.usefixtures("fresh")
@pytest.mark.parametrize("fails", [False, True])
def test_an_accelerator_of_the_caller_goes_on_as_it_was(fails: bool) -> None:
    mine = Accelerator(mixed_precision="bf16", cpu=True, gradient_accumulation_steps=4)
    weight = torch.nn.Parameter(torch.ones(()))
    optimizer = mine.prepare_optimizer(torch.optim.SGD([weight], 1.0))
    with mine.accumulate():  # the first of four steps: gradients are being added up
        (weight * 1.0).backward()
        optimizer.step()
        before = [dict(state._shared_state) for state in SHARED]
        net, data = make("mlp", "acn"), source()
        if fails:
            with pytest.raises(ConfigError, match="layer_drop"):
                quiet_fit(net, data, None, config(layer_drop=0.5, compile="default"))
            with pytest.raises(ConfigError, match="run folder"):
                quiet_fit(net, data, None, config(), resume=True)
        else:
            run = quiet_fit(net, data, None, config(epochs=2))
            assert run.history[1]["loss"] < run.history[0]["loss"], "it steps, and in fp32"
    assert [dict(state._shared_state) for state in SHARED] == before
    assert (mine.mixed_precision, mine.gradient_accumulation_steps) == ("bf16", 4)
    assert mine.device == torch.device("cpu")
    assert weight.item() == 1.0


def test_a_precision_that_is_not_to_be_had() -> None:
    with pytest.raises(ConfigError, match="'fp16' is not available here: it needs a GPU"):
        training_device(config(device="cpu", precision="fp16"))


def test_how_many_were_launched(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE", "PMI_SIZE"):
        monkeypatch.delenv(name, raising=False)
    assert launched_processes() == 1
    monkeypatch.setenv("WORLD_SIZE", "3")  # nobody has numbered them: no launcher's
    assert launched_processes() == 1
    monkeypatch.setenv("LOCAL_RANK", "0")
    assert launched_processes() == 3
