"""Direct and mediated gradients against the scalar theory, autograd and finite training runs."""

from __future__ import annotations

import random
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

import autocompress as ac
from autocompress.diagnose import ScalarNet
from autocompress.diagnose.layer_gradients import direct_pass, increments
from autocompress.errors import ConfigError, DataError, DepthError, UnknownNameError
from autocompress.trunk import Branch
from models_table import CONNECTIVITIES, DEPTH, MODELS, RIVALS, images, make
from toy import config, quiet_fit, same, source, weights

WEIGHTS = [0.7, -1.3, 2.0, 0.4]
KINDS = ("ffn", "residual", "acn")
LABELS = torch.tensor([0, 1, 2])


class Times(nn.Module):
    """A map that multiplies by one learned number."""

    def __init__(self, weight: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(weight, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        return self.weight * x


class Scalar(nn.Module):
    """A network of 1 x 1 linear blocks on our trunk; its only output is the readout."""

    def __init__(self, rule: str) -> None:
        super().__init__()
        blocks = [ac.Block([Branch(Times(w), nn.Identity())]) for w in WEIGHTS]
        self.trunk = ac.Trunk(blocks, rule)

    @property
    def trunks(self) -> list[ac.Trunk]:
        return [self.trunk]

    def forward(self, x: Tensor) -> Tensor:
        return self.trunk(x)

    def by_weight(self, run: Any, x0: float) -> list[float]:
        """dy / dw of each layer when ``run`` makes y."""
        parameters = list(self.trunk.parameters())
        y = run(torch.tensor([[x0]], dtype=torch.float64)).sum()
        found = torch.autograd.grad(y, parameters, allow_unused=True)
        return [0.0 if g is None else float(g) for g in found]


@pytest.mark.parametrize("kind", KINDS)
def test_the_scalar_theory_is_our_trunk(kind: str) -> None:
    """Output, full and direct gradient of table 1, by autograd through the one loop."""
    theory, net = ScalarNet(kind, WEIGHTS, x0=1.5), Scalar(kind)  # type: ignore[arg-type]
    x = torch.tensor([[1.5]], dtype=torch.float64)
    assert float(net(x).detach()) == pytest.approx(theory.output)
    layers = range(1, 5)
    full, direct = net.by_weight(net, 1.5), net.by_weight(direct_pass(net), 1.5)  # type: ignore[arg-type]
    assert full == pytest.approx([theory.gradient(i) for i in layers])
    assert direct == pytest.approx([theory.direct(i) for i in layers])
    assert [f - d for f, d in zip(full, direct, strict=True)] == pytest.approx(
        [theory.mediated(i) for i in layers]
    )


def test_table_1_by_hand() -> None:
    """w = (2, 3, 5): layer 2 of each network."""
    nets = {kind: ScalarNet(kind, [2.0, 3.0, 5.0]) for kind in KINDS}
    assert [net.output for net in nets.values()] == [30, 3 * 4 * 6, 1 + 2 + 6 + 30]
    assert [net.gradient(2) for net in nets.values()] == [2 * 5, 3 * 6, 2 * (1 + 5)]
    assert [net.direct(2) for net in nets.values()] == [0, 3, 2]
    assert [net.mediated(2) for net in nets.values()] == [10, 15, 10]


@pytest.mark.parametrize("kind", KINDS)
def test_paths_are_the_terms_of_the_gradient(kind: str) -> None:
    """With all weights 1 every path back counts 1, and what comes back is their number."""
    net = ScalarNet(kind, [1.0] * 6)  # type: ignore[arg-type]
    for layer in range(1, 7):
        given = 2 ** (layer - 1) if kind == "residual" else 1
        assert net.gradient(layer) / given == net.paths(layer)


def test_paths_by_enumeration() -> None:
    """Each later layer is passed by its map or its skip; of an ACN a path leaves at one layer."""
    later = 3
    residual = len(list(product((0, 1), repeat=later)))
    assert ScalarNet("residual", [1.0] * 5).paths(2) == residual == 8
    assert ScalarNet("acn", [1.0] * 5).paths(2) == later + 1
    assert ScalarNet("ffn", [1.0] * 5).paths(2) == 1


def by_backward(net: ac.Network, mediated: float) -> list[Tensor]:
    """Each layer's gradient by an ordinary backward pass."""
    net.zero_grad()
    F.cross_entropy(net(images(), mediated=mediated), LABELS).backward()
    found = [
        torch.cat(
            [
                p.new_zeros(p.numel()) if p.grad is None else p.grad.flatten()
                for p in block.parameters()
            ]
        )
        for block in net.trunk.blocks
    ]
    net.zero_grad()
    return found


@pytest.mark.parametrize("model", ["mlp", "mixer", "mixer-authors", "vit-post"])
@pytest.mark.parametrize("rule", ["ffn", "acn", "acn-inner"])
def test_without_skips_they_are_what_training_uses(model: str, rule: str) -> None:
    """Full: mediated = 1; direct: mediated = 0; mediated: the difference of the vectors."""
    net = make(model, rule)
    whole, straight = by_backward(net, 1.0), by_backward(net, 0.0)
    found = ac.gradients(net, (images(), LABELS))
    assert found.full == pytest.approx([float(g.norm()) for g in whole], rel=1e-4, abs=1e-7)
    assert found.direct == pytest.approx([float(g.norm()) for g in straight], rel=1e-4, abs=1e-7)
    rest = [float((a - b).norm()) for a, b in zip(whole, straight, strict=True)]
    assert found.mediated == pytest.approx(rest, rel=1e-3, abs=1e-6)


@pytest.mark.parametrize("model", [m for m in MODELS if "coder" not in m])
@pytest.mark.parametrize("rule", [*CONNECTIVITIES, *RIVALS])
def test_the_direct_pass_computes_the_same(model: str, rule: str) -> None:
    net = make(model, rule)
    torch.testing.assert_close(direct_pass(net)(images()), net(images()), rtol=0, atol=1e-6)
    assert ac.gradients(net, (images(), LABELS)).share[-1] == pytest.approx(1.0, abs=1e-5)


def test_who_has_a_direct_gradient() -> None:
    """Feed-forward: the last layer only; residual and ACN: every layer."""
    for rule, expected in (("ffn", 1), ("residual", DEPTH), ("acn", DEPTH)):
        found = ac.gradients(make("mixer", rule), (images(), LABELS))
        assert sum(norm > 0 for norm in found.direct) == expected, rule
        assert found.mediated[-1] == pytest.approx(0.0, abs=1e-6)


def test_a_network_is_left_as_it_was() -> None:
    net = make("mixer", "acn", dropout=0.5).train()
    net.trunk.blocks[0].eval()
    F.cross_entropy(net(images()), LABELS).backward()
    before = {name: p.grad.clone() for name, p in net.named_parameters()}  # type: ignore[union-attr]
    ac.gradients(net, (images(), LABELS))
    assert all(torch.equal(p.grad, before[name]) for name, p in net.named_parameters())  # type: ignore[arg-type]
    assert net.training
    assert not net.trunk.blocks[0].training


def test_the_same_batch_each_time() -> None:
    net = make("mixer", "acn")
    assert ac.gradients(net, source(), batch=16) == ac.gradients(net, source(), batch=16)
    with pytest.raises(DataError, match="empty"):
        ac.gradients(net, source(0))


def test_recording_changes_nothing(tmp_path: Any) -> None:
    plain, watched = (make("mixer", "acn", dropout=0.1) for _ in range(2))
    recorder = ac.GradientRecorder(source(), every=4, batch=16)
    quiet_fit(plain, source(), None, config(epochs=3))
    quiet_fit(watched, source(), None, config(epochs=3), hooks=[recorder])
    assert same(weights(plain), weights(watched))
    assert recorder.steps == [0, 4, 8]
    rows = recorder.map("full")
    assert (len(rows), len(rows[0])) == (DEPTH, 3)
    assert recorder.to_json()["share"][-1] == pytest.approx([1.0] * 3)
    recorder.plot().savefig(tmp_path / "map.png")
    again = ac.GradientRecorder(source(), every=4)
    again.load_state_dict(recorder.state_dict())
    assert again.to_json() == recorder.to_json()


class Noisy(Dataset[Any]):
    """Pictures with noise from the global generators and from one of their own."""

    def __init__(self) -> None:
        self.own = np.random.default_rng(5)

    def __len__(self) -> int:
        return 24

    def __getitem__(self, index: int) -> Any:
        noise = torch.rand(1, 4, 4) + float(self.own.random()) + random.random()
        return images(24)[index] + noise, index % 3


@pytest.mark.parametrize("own", [False, True])
def test_a_loader_that_shuffles_gives_the_same_batch_and_keeps_its_order(own: bool) -> None:
    net = make("mixer", "acn")

    def loaded() -> DataLoader[Any]:
        generator = torch.Generator().manual_seed(3) if own else None
        return DataLoader(Noisy(), batch_size=6, shuffle=True, generator=generator)

    def drawn(looks: int) -> tuple[Any, list[Any]]:
        """Return what ``looks`` looks found, and the batches that the loader gives after them."""
        loader = loaded()
        torch.manual_seed(0)
        random.seed(0)
        found = [ac.gradients(net, loader) for _ in range(looks)]
        return found, [x.tolist() for _ in range(2) for x, _ in loader]

    found, after = drawn(2)
    assert found[0] == found[1]
    assert after == drawn(0)[1]


class Late(Noisy):
    """Noise from a generator that is made when it is first needed, and from the system's."""

    def __init__(self) -> None:
        self.system = random.SystemRandom()

    def __getitem__(self, index: int) -> Any:
        if not hasattr(self, "own"):
            self.own = np.random.default_rng(0)
        return super().__getitem__(index)


def test_a_generator_may_be_made_by_the_first_example() -> None:
    assert ac.gradients(make("mixer", "acn"), Late()).full


def test_what_it_shows(tmp_path: Any) -> None:
    found = ac.gradients(make("mixer", "acn"), (images(), LABELS))
    assert "direct / full" in str(found)
    assert set(found.to_json()) == {"full", "direct", "mediated", "cosine", "share"}
    found.plot().savefig(tmp_path / "norms.png")


def test_converted_networks() -> None:
    timm = pytest.importorskip("timm")
    options = {"img_size": 32, "patch_size": 8, "depth": 3, "embed_dim": 24, "num_heads": 2}
    model = timm.create_model("vit_tiny_patch16_224", num_classes=3, **options)
    net = ac.convert(model.eval(), "acn")
    found = ac.gradients(net, (torch.randn(3, 3, 32, 32), LABELS))
    assert all(norm > 0 for norm in (*found.full, *found.direct))
    assert found.share[-1] == pytest.approx(1.0, abs=1e-5)


def test_increments_by_hand() -> None:
    hits = torch.tensor([[0, 1, 1, 1], [0, 0, 1, 1], [0, 0, 0, 0], [1, 1, 1, 0]]).bool()
    curve = ac.DepthCurve(hits, [1] * 4, [1] * 4)
    assert increments(curve) == [0.25, 0.25, -0.25]


def test_what_is_refused() -> None:
    with pytest.raises(UnknownNameError, match="residual"):
        ScalarNet("resid", [1.0])  # type: ignore[arg-type]
    with pytest.raises(DepthError, match="depth 0"):
        ScalarNet("acn", [1.0]).gradient(0)
    with pytest.raises(ConfigError, match="every 0"):
        ac.GradientRecorder(source(), every=0)
    with pytest.raises(UnknownNameError, match="mediated"):
        ac.GradientRecorder(source()).map("mediate")  # type: ignore[arg-type]


def test_gradients_within_inference_mode_are_those_without() -> None:
    net = make("mlp", "acn")
    for data in ((images(), LABELS), source()):
        with torch.inference_mode():
            within = ac.gradients(net, data)
        assert within == ac.gradients(net, data)
        assert min(within.full) > 0


def test_a_batch_has_examples_and_a_picture_has_records() -> None:
    for size in (0, -1):
        with pytest.raises(ConfigError, match=f"batch {size} must be at least 1"):
            ac.gradients(make("mlp", "acn"), source(), batch=size)
        with pytest.raises(ConfigError, match=f"batch {size} must be at least 1"):
            ac.GradientRecorder(source(), batch=size)
    with pytest.raises(ConfigError, match="nothing has been recorded"):
        ac.GradientRecorder(source()).plot()
