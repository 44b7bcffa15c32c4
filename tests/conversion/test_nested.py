"""torch's own encoder with a padding mask: packed in evaluation, padded in training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import autocompress as ac
from autocompress.errors import ConvertError
from models_table import depths_of

pytestmark = pytest.mark.filterwarnings("ignore:.*nested.*:UserWarning")


class Classifier(nn.Module):
    """Tokens (padding is 0) to classes; ``pool`` reads the padding too, or only the tokens."""

    def __init__(self, pool: str = "mean", nested: bool = True, layers: int = 3, **kw: Any) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(8, 2, 12, dropout=0.1, batch_first=True, **kw)
        self.embed = nn.Embedding(20, 8, padding_idx=0)
        self.encoder = nn.TransformerEncoder(layer, layers, nn.LayerNorm(8), nested)
        self.head, self.pool = nn.Linear(8, 4), pool
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.add_(0.1 * torch.randn_like(parameter))

    def forward(self, ids: Tensor) -> Tensor:
        pad = ids == 0
        h = self.encoder(self.embed(ids), src_key_padding_mask=pad)
        if self.pool == "masked":
            kept = (~pad).unsqueeze(-1).float()
            return self.head((h * kept).sum(1) / kept.sum(1).clamp_min(1))
        return self.head(h.max(1).values if self.pool == "max" else h.mean(1))


def texts(*lengths: int, width: int = 7) -> Tensor:
    torch.manual_seed(1)
    ids = torch.randint(1, 20, (len(lengths), width))
    for row, length in zip(ids, lengths, strict=True):
        row[length:] = 0
    return ids


FULL, RAGGED, TRAILING = texts(7, 7, 7), texts(7, 2, 5), texts(4, 1, 3)
HOLES = texts(7, 7, 7).index_fill(1, torch.tensor([2]), 0)  # padding that is not at the end
BATCHES = {"full": FULL, "ragged": RAGGED, "trailing": TRAILING, "holes": HOLES}


def model(**options: Any) -> Classifier:
    torch.manual_seed(0)
    return Classifier(**options)


@pytest.mark.parametrize("ids", BATCHES.values(), ids=BATCHES)
@pytest.mark.parametrize("pool", ["mean", "max", "masked"])
@pytest.mark.parametrize("options", [{}, {"norm_first": True, "nested": False}], ids=str)
def test_it_is_exact_packed_and_padded(ids: Tensor, pool: str, options: Any) -> None:
    own = model(pool=pool, **options)
    for example in (ids, None):
        net = ac.convert(own, "residual", example=example)
        for training in (False, True):
            for grad in (False, True):
                found = []
                for one in (own, net):
                    torch.manual_seed(5)
                    with torch.set_grad_enabled(grad):
                        found.append(one.train(training)(ids))
                torch.testing.assert_close(found[0], found[1], atol=1e-6, rtol=1e-5)
        losses = []
        for one in (own, net):
            torch.manual_seed(5)
            loss = one.train()(ids).square().mean()
            losses.append(torch.autograd.grad(loss, list(one.parameters())))
        for theirs, ours in zip(*losses, strict=True):
            torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("rule", ["residual", "acn", "hyper", "denseformer"])
@pytest.mark.parametrize("ids", [RAGGED, TRAILING], ids=["ragged", "trailing"])
@torch.no_grad()
def test_every_depth_of_a_packed_batch(rule: str, ids: Tensor) -> None:
    """Nothing of it looks into a nested tensor: every rule can add up what the layers return."""
    net = ac.convert(model(), rule).eval()
    for k, readout in depths_of(net, ids):
        assert torch.equal(readout, net(ids, depth=k))
        assert torch.equal(readout, ac.cut(net, k)(ids))


@torch.no_grad()
def test_a_row_of_padding_only() -> None:
    own, ids = model(pool="masked").eval(), texts(5, 0, 3)
    found = ac.convert(own, "residual")(ids)
    assert found.isfinite().all()
    torch.testing.assert_close(found, own(ids), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("nested", [True, False])
def test_the_other_verbs(nested: bool, tmp_path: Path) -> None:
    net = ac.convert(model(nested=nested), "acn").eval()
    ids, labels = RAGGED.repeat(8, 1), torch.arange(24) % 4
    data = torch.utils.data.TensorDataset(ids, labels)
    with torch.no_grad():
        scores = [float((r.argmax(-1) == labels).float().mean()) for r in net.readouts(ids)]
    assert ac.probe(net, data).scores == pytest.approx(scores)
    assert ac.measure(net, RAGGED).depth == 3
    assert 0 <= ac.exit_curve(net, data).calibrate(drop=0.5).depth <= 3
    stump = ac.cut(net, 0)
    with torch.no_grad():
        assert torch.equal(stump(RAGGED), net(RAGGED, depth=0))
    assert ac.cut(stump, 0)(RAGGED).shape == (3, 4)
    ac.fit(stump, data, config=ac.FitConfig(epochs=1, batch_size=8), progress=False)


def test_packed_batches_of_other_kinds_are_refused() -> None:
    """A host that packs by itself, into layers that are told of no mask."""

    class Packing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.ModuleList(nn.Linear(4, 4) for _ in range(2))

        def forward(self, x: Tensor) -> Tensor:
            x = torch.nested.as_nested_tensor([x[0], x[1, :2]])
            for layer in self.layers:
                x = layer(x)
            return torch.nested.to_padded_tensor(x, 0.0)

    def branch(layer: Any, x: Tensor, skip: Any) -> Tensor:
        return layer(x)

    with pytest.raises(ConvertError, match="nested"):
        ac.convert(Packing(), blocks="layers", branches=branch)(torch.randn(2, 3, 4))
