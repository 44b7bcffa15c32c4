"""Optimizers whose step does not depend on how large gradients are beside eps."""

from __future__ import annotations

import builtins
from typing import Any

import pytest
import torch

import autocompress as ac
from autocompress.errors import ConfigError, MissingExtraError
from autocompress.training.optimization import make_optimizer
from models_table import make
from toy import config, quiet_fit, source

pytest.importorskip("pytorch_optimizer")


def stepped(net: ac.Network, settings: ac.FitConfig, scale: float = 1.0) -> dict[str, torch.Tensor]:
    """What the first step adds to each weight, for gradients drawn from a fixed seed."""
    optimizer = make_optimizer(net, settings)
    generator = torch.Generator().manual_seed(0)
    before = {name: w.detach().clone() for name, w in net.named_parameters()}
    for w in net.parameters():
        w.grad = scale * torch.randn(w.shape, generator=generator)
    optimizer.step()
    return {name: w.detach() - before[name] for name, w in net.named_parameters()}


def test_lions_first_step_is_the_sign_of_the_gradient() -> None:
    """m = 0: sign(b1 m + (1 - b1) g) = sign(g), times the learning rate; no decay here."""
    net = make("mlp", "acn")
    steps = stepped(net, config(optimizer="lion", lr=0.01, weight_decay=0.0))
    for name, w in net.named_parameters():
        assert w.grad is not None
        torch.testing.assert_close(steps[name], -0.01 * w.grad.sign(), atol=1e-6, rtol=0)


def test_muons_step_of_a_blocks_matrix_is_nearly_orthogonal() -> None:
    """Newton-Schulz brings all singular values near 1; 0.2 sqrt(longer side) is AdamW's size."""
    net = make("mixer", "acn", width=16)
    steps = stepped(net, config(optimizer="muon", lr=0.01, weight_decay=0.0))
    matrices = {name: step for name, step in steps.items() if "blocks" in name and step.ndim == 2}
    assert matrices
    for step in matrices.values():
        size = 0.01 * 0.2 * max(step.shape) ** 0.5
        singular = torch.linalg.svdvals(step) / size
        assert 0.4 < float(singular.min()) <= float(singular.max()) < 1.4
    classifier = steps["head.classifier.weight"]  # AdamW's first step: lr in every direction
    torch.testing.assert_close(
        classifier.abs(), torch.full_like(classifier, 0.01), rtol=1e-3, atol=0
    )


@pytest.mark.parametrize("optimizer", ["lion", "muon"])
def test_gradients_of_any_size_give_the_same_step(optimizer: str) -> None:
    """Unlike AdamW's, whose eps wins over gradients that are small enough."""
    settings = config(optimizer=optimizer, lr=0.01, weight_decay=0.0, eps=0.0)
    large, small = (stepped(make("mlp", "acn"), settings, scale) for scale in (1.0, 2**-10))
    for name, step in large.items():
        torch.testing.assert_close(small[name], step, atol=1e-4, rtol=0)
    adamw = stepped(make("mlp", "acn"), config(lr=0.01, weight_decay=0.0), 1e-10)
    assert max(float(step.abs().max()) for step in adamw.values()) < 0.001


@pytest.mark.parametrize("optimizer", ["lion", "muon"])
def test_they_learn(optimizer: str) -> None:
    net = make("mixer", "acn", width=16)
    lr = 1e-3 if optimizer == "lion" else 1e-2
    run = quiet_fit(
        net, source(), source(48, seed=1), config(epochs=15, optimizer=optimizer, lr=lr)
    )
    assert run.history[-1]["validation"] > 0.9


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    known = builtins.__import__

    def missing(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.startswith("pytorch_optimizer"):
            raise ImportError(name)
        return known(name, *args, **kwargs)

    monkeypatch.setattr("importlib.import_module", missing)
    with pytest.raises(MissingExtraError, match=r"'lion' needs .*autocompress\[optim\]"):
        quiet_fit(make("mlp", "acn"), source(), None, config(optimizer="lion"))
    with pytest.raises(ConfigError, match="not one of adamw, sgd, lion, muon"):
        config(optimizer="lyon")
