"""Heads of their own at some depths: the same contract as every network's."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import autocompress as ac
from autocompress.errors import DepthError
from autocompress.training.distil import Readouts
from autocompress.training.inputs import Normalise
from models_table import depths_of, images
from toy import config, quiet_fit, same, source, weights

ARGUMENTS = {"width": 16, "classes": 3, "image_size": 4, "patch_size": 2, "channels": 1}


def make(model: str = "mixer", **options: object) -> ac.models.Branched:
    torch.manual_seed(0)
    arguments = {k: v for k, v in ARGUMENTS.items() if model != "mlp" or k != "patch_size"}
    options = {"branches": [1, 3], "depth": 4, **options}
    return ac.models.Branched(model, arguments, **options).eval()  # type: ignore[arg-type]


@pytest.mark.parametrize("model", ["mlp", "vit"])  # a mixer is in the table of all networks
def test_cut_equals_readout_bit_for_bit(model: str, tmp_path: Path) -> None:
    net = make(model)
    for depth, logits in depths_of(net, images()):
        small = ac.cut(net, depth)
        assert torch.equal(small(images()), logits)
        assert torch.equal(net(images(), depth=depth), logits)
        ac.save(small, tmp_path / str(depth))
        assert torch.equal(ac.load(tmp_path / str(depth))(images()), logits)


def test_each_branch_is_read_by_its_own_head() -> None:
    net = make()
    before = list(net.readouts(images()))
    with torch.no_grad():
        net.heads["3"].mlp[2].bias.add_(1.0)  # type: ignore[index, operator]
    changed = [not torch.equal(a, b) for a, b in zip(before, net.readouts(images()), strict=True)]
    assert changed == [False, False, False, True, False]


def test_a_cut_at_a_branch_has_no_other_head() -> None:
    assert not list(ac.cut(make(), 3).head.parameters())
    assert ac.cut(make(), 2).branches == [1]


def test_it_learns_at_its_branches() -> None:
    """Only depths 1, 3 and 4 have a loss; early exit reads the same heads."""
    net = make(connectivity="residual")
    distil = ac.DistilConfig(teacher="labels", at={1: 0.8, 3: 0.6})
    run = quiet_fit(net, source(), source(96, seed=1), config(epochs=25, distil=distil))
    scores = run.history[-1]["depths"]
    assert min(scores[1], scores[3], scores[4]) > 0.9
    pixels, _ = next(source(96, seed=1).batches(96))
    x = Normalise(net.preprocess, torch.device("cpu")).bytes(pixels)
    found = ac.early_exit(net, x, 0.3, depths=net.branches)
    assert set(found.depths.tolist()) <= {1, 3, 4}
    for n, depth in enumerate(found.depths.tolist()):
        torch.testing.assert_close(found.logits[n], net(x, depth=depth)[n], atol=1e-5, rtol=1e-5)


def test_depths_from_one_pass() -> None:
    net = make()
    for depth, logits in zip([1, 2, 4], Readouts(net)(images(), [1, 2, 4])[0], strict=True):
        assert torch.equal(logits, net(images(), depth=depth))


def test_live_depth_keeps_the_heads_below() -> None:
    net = make()
    kept = weights(ac.cut(net, 3))
    net.keep(3)
    assert net.branches == [1, 3]
    assert same(kept, weights(net))
    assert net.example(2).shape == (2, 1, 4, 4)


def test_no_branch_at_depth_0() -> None:
    with pytest.raises(DepthError, match="depth 0"):
        make(branches=[0])
