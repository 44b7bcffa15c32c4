"""Losses beside accuracy, from the same pass."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F
from torch.utils.data import TensorDataset

import autocompress as ac
from autocompress.depth.probing import DepthCurve
from autocompress.errors import ConfigError, DataError
from autocompress.training import objectives
from models_table import depths_of, every_connectivity, images, make


def decoder(**options: int) -> ac.models.Decoder:
    torch.manual_seed(0)
    arguments = {"depth": 3, "width": 8, "vocabulary": 11, "length": 6, "heads": 2, **options}
    return ac.models.Decoder(**arguments).eval()  # type: ignore[arg-type]


def texts(examples: int = 10, missing: bool = False) -> TensorDataset:
    ids = torch.randint(11, (examples, 7), generator=torch.Generator().manual_seed(0))
    labels = ids[:, 1:].clone()
    if missing:
        labels[:, ::2] = -100
    return TensorDataset(ids[:, :-1], labels)


@every_connectivity
def test_losses_are_those_of_the_cut_networks(connectivity: str) -> None:
    net = make("mixer", connectivity)
    x, y = images(30), torch.arange(30) % 3
    curve = ac.probe(net, TensorDataset(x, y), batch_size=8)
    with torch.no_grad():
        assert curve.losses is not None
        assert len(curve.losses) == net.depth + 1
        for k, loss in enumerate(curve.losses):
            assert loss == pytest.approx(float(F.cross_entropy(ac.cut(net, k)(x), y)), rel=1e-5)


def test_losses_by_hand() -> None:
    """A head that says the same of every input: logits (0, log 2, 0), so p = 1/4, 1/2, 1/4."""
    net = make("mlp", "acn")
    linear = [module for module in net.head.modules() if isinstance(module, torch.nn.Linear)][-1]
    with torch.no_grad():
        linear.weight.zero_()
        linear.bias.copy_(torch.tensor([0.0, math.log(2), 0.0]))
    curve = ac.probe(net, TensorDataset(images(4), torch.tensor([0, 1, 1, 2])))
    assert curve.losses == pytest.approx([1.5 * math.log(2)] * 5)
    assert curve.perplexities == pytest.approx([2**1.5] * 5)
    assert curve.scores == [0.5] * 5


def test_of_equal_outputs_the_first_counts() -> None:
    """As argmax says: a network that cannot tell is right about class 0 only."""
    net = decoder()
    with torch.no_grad():
        for parameter in net.head.parameters():
            parameter.zero_()
    data = texts()
    curve = ac.probe(net, data)
    assert torch.equal(curve.hits[:, 0], data.tensors[1].flatten() == 0)
    assert curve.losses == pytest.approx([math.log(11)] * 4)


@pytest.mark.parametrize("at_once", [1, 40, 2**22])
def test_tokens_without_a_label_are_left_out(at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many rows are worked out at a time."""
    monkeypatch.setattr(objectives, "AT_ONCE", at_once)
    net, data = decoder(), texts(missing=True)
    ids, labels = data.tensors
    curve = ac.probe(net, data, batch_size=4)
    with torch.no_grad():
        for k, logits in depths_of(net, ids):
            flat, wanted = logits.flatten(0, 1), labels.flatten()
            scored = wanted != -100
            assert torch.equal(curve.hits[:, k], (flat.argmax(-1) == wanted)[scored])
            assert curve.nats is not None
            losses = F.cross_entropy(flat, wanted, reduction="none")[scored]
            torch.testing.assert_close(curve.nats[:, k], losses)


def test_training_notes_the_losses_that_a_probe_finds() -> None:
    """Label smoothing is of training only."""
    net, data = decoder(), texts()
    config = ac.FitConfig(epochs=2, batch_size=5, label_smoothing=0.1)
    run = ac.fit(net, data, data, config, progress=False)
    assert run.history[-1]["losses"] == pytest.approx(ac.probe(net, data).losses, abs=1e-6)


def test_losses_are_told() -> None:
    curve = ac.probe(decoder(), texts(), latency_batch=2)
    assert "nats" in str(curve)
    assert max(map(len, str(curve).splitlines())) <= 80
    assert [row["loss"] for row in curve.to_json()] == curve.losses
    bare = DepthCurve(curve.hits, curve.parameters, curve.flops)
    assert bare.losses is bare.perplexities is None
    assert "nats" not in str(bare)
    assert "loss" not in bare.to_json()[0]


def curve_of(losses: list[float], spread: float = 0.0) -> DepthCurve:
    """A curve with these losses, each example this much above or below; all depths hit alike."""
    sign = torch.tensor([1.0, -1.0]).repeat(200)
    nats = torch.tensor(losses) + spread * sign[:, None]
    costs = list(range(len(losses)))
    return DepthCurve(torch.ones(400, len(losses), dtype=torch.bool), costs, costs, None, nats)


def test_a_depth_is_chosen_by_loss() -> None:
    curve = curve_of([3.0, 2.5, 2.05, 2.01, 2.0], spread=0.5)
    assert [curve.select(nats=nats).depth for nats in (0.0, 0.01, 0.05, 0.6, 9.0)] == [
        4,
        3,
        2,
        1,
        0,
    ]
    selection = curve.select(nats=0.05)
    assert "within 0.05 nats" in str(selection)
    assert "loss 2.050 nats, +0.050;" in str(selection)
    assert (selection.loss, selection.full_loss) == pytest.approx((2.05, 2.0))
    # all depths change together from example to example, so resampling changes no difference
    assert selection.depth_interval == (2, 2)
    assert curve.select().depth == 0  # by accuracy, the default, all depths are alike


def test_wrong_input() -> None:
    with pytest.raises(ConfigError, match="nats -1"):
        curve_of([1.0]).select(nats=-1)
    with pytest.raises(ConfigError, match="one rule"):
        curve_of([1.0]).select(nats=1, tolerance=0.1)
    curve = curve_of([1.0])
    with pytest.raises(ConfigError, match="has no losses"):
        DepthCurve(curve.hits, [1], [1]).select(nats=0.1)
    ids, labels = texts().tensors
    with pytest.raises(DataError, match="every label is -100"):
        ac.probe(decoder(), TensorDataset(ids, torch.full_like(labels, -100)))
    with pytest.raises(DataError, match=r"labels run from 0 to 11; outputs of 11 classes"):
        ac.probe(decoder(), TensorDataset(ids, labels * 0 + torch.arange(6) % 2 * 11))
    with pytest.raises(DataError, match=r"labels of shape \(10,\)"):
        ac.probe(decoder(), TensorDataset(ids, labels[:, 0]))
