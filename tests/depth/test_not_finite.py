"""NaN is not a score: what made it is named, and nothing of it is printed, chosen or written."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import autocompress as ac
from autocompress.errors import DataError, DivergedError, NotFiniteError
from models_table import images, make

LABELS = torch.arange(30) % 3
NAN, INF = float("nan"), float("inf")


def data(*bad: int, value: float = NAN) -> TensorDataset:
    x = images(30)
    for row in bad:
        x[row, 0, 1, 1] = value
    return TensorDataset(x, LABELS)


CONFIG = ac.FitConfig(epochs=2, batch_size=10)


@pytest.mark.parametrize("value", [NAN, INF, -INF])
def test_an_input_is_named_by_its_index(value: float) -> None:
    net, one = make("mixer", "acn"), data(17, value=value)
    for verb in (
        lambda: ac.probe(net, one, batch_size=8),
        lambda: ac.exit_curve(net, one, batch_size=8),
        lambda: ac.fit(net, one, config=CONFIG, progress=False),
    ):
        with pytest.raises(DataError, match="example 17 of the"):
            verb()
    with pytest.raises(DataError, match="row 1 of batch 2 of the probed data"):
        ac.probe(net, DataLoader(one, 8))
    for verb in (lambda: ac.measure(net, images(2) * value), lambda: ac.gradients(net, one)):
        with pytest.raises(DataError, match="holds NaN or infinity"):
            verb()


def test_validation_data_are_named_as_such() -> None:
    with pytest.raises(DataError, match="example 1 of the validation data"):
        ac.fit(make("mlp", "acn"), data(), data(1), CONFIG, progress=False)
    with pytest.raises(DataError, match="example 29 of the validation data"):
        ac.fit(make("mlp", "acn"), data(), data(29), CONFIG, progress=False)


def test_weights_are_named_and_the_learning_rate_is_not_blamed(tmp_path: Any) -> None:
    net = make("mixer", "acn")
    name, weight = list(net.trunk.blocks[2].named_parameters())[-1]
    with torch.no_grad():
        weight.view(-1)[0] = NAN
    for verb in (
        lambda: ac.probe(net, data()),
        lambda: ac.exit_curve(net, data()),
        lambda: ac.early_exit(net, images(4), 0.1),
        lambda: ac.fit(net, data(), config=CONFIG, progress=False),
        lambda: ac.measure(net, images(2), latency=False),
        lambda: ac.gradients(net, data()),
        lambda: ac.export(net, tmp_path / "net.pt2", images(2)),
    ):
        with pytest.raises(NotFiniteError, match=rf"trunk\.blocks\.2\.{name}") as caught:
            verb()
        assert "lr" not in str(caught.value)
    assert not list(tmp_path.iterdir())


class Overflows(nn.Module):
    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.inner(x) * 1e30 * 1e30


def test_a_layer_is_named_that_makes_it_of_finite_numbers() -> None:
    net = make("mlp", "acn")
    branch = net.trunk.blocks[1].branches[0]
    branch.body = Overflows(branch.body)
    for verb in (
        lambda: ac.probe(net, data()),
        lambda: ac.fit(net, data(), config=CONFIG, progress=False),
    ):
        with pytest.raises(NotFiniteError, match=r"trunk\.blocks\.1\.branches\.0\.body"):
            verb()


def test_divergence_says_the_step() -> None:
    """A rate that no network stands: the step is named, and so are weights."""
    config = ac.FitConfig(
        epochs=30, batch_size=10, lr=1e30, optimizer="sgd", clip_norm=None, warmup_epochs=0
    )
    with pytest.raises(
        DivergedError, match=r"epoch 1: the loss is (nan|inf) at step [23]"
    ) as caught:
        ac.fit(make("mlp", "acn"), data(), config=config, progress=False)
    assert "Try a lower lr than 1e+30" in str(caught.value)


def test_a_label_of_the_first_step_is_not_the_rates_fault() -> None:
    """The first two examples are fine; the third makes the very first loss overflow."""
    x = images(30)
    x[2] = 3e38
    config = ac.FitConfig(epochs=1, batch_size=30)
    with pytest.raises(DivergedError, match="at step 1.*learning rate is not the reason") as caught:
        ac.fit(make("mlp", "acn"), TensorDataset(x, LABELS), config=config, progress=False)
    assert "lower lr" not in str(caught.value)


def test_json_never_holds_nan() -> None:
    """A layer that is gone is null in the recorder's rows, not NaN."""
    recorder = ac.GradientRecorder(data(), every=1, batch=10)
    for net in (make("mlp", "acn"), make("mlp", "acn").cut(2)):
        recorder.before_step(net)
    rows = json.loads(json.dumps(recorder.to_json(), allow_nan=False))["full"]
    assert [row[1] is None for row in rows] == [False, False, True, True]
