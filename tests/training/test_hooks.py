"""Hooks of training: consolidation and pruning, against cases computed by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import autocompress as ac
from autocompress.errors import ConfigError, InterruptedRunError, UnknownNameError
from models_table import images, make
from toy import StopsAfter, config, quiet_fit, same, source, weights


class Weight(nn.Module):
    """Some weights in a row, as a network of one block."""

    depth = 1

    def __init__(self, *values: float) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor([list(values)], dtype=torch.float64))

    @property
    def blocks(self) -> list[nn.Module]:
        return [self]

    @property
    def trunks(self) -> list[nn.Module]:
        return [self]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Two logits, w x and 0."""
        return torch.cat([x @ self.w.T, torch.zeros(len(x), 1, dtype=x.dtype)], dim=1)


def descend(net: Any, hook: ac.training.Hook, loss: Any, lr: float, steps: int) -> None:
    """Plain gradient descent, as the loop calls a hook."""
    optimizer = torch.optim.SGD(net.parameters(), lr)
    hook.begin(net)
    for _ in range(steps):
        optimizer.zero_grad()
        penalty = hook.penalty(net)
        (loss(net) if penalty is None else loss(net) + penalty).backward()
        hook.before_step(net)
        optimizer.step()
        hook.after_step(net)


def test_synaptic_intelligence_on_a_quadratic() -> None:
    """Loss a/2 (w - c)^2 by gradient descent: w - c shrinks by r = 1 - lr a in each step.

    The path integral is sum lr g^2 = lr a^2 d^2 (1 - r^(2T)) / (1 - r^2), d the distance at the
    start, and the importance that over (d (1 - r^T))^2 + damping.
    """
    a, c, lr, steps, damping = 2.0, 1.0, 0.1, 7, 0.1
    net, hook = Weight(4.0), ac.SynapticIntelligence(strength=3.0, damping=damping)
    descend(net, hook, lambda net: a / 2 * (net.w - c).square().sum(), lr, steps)
    r, d = 1 - lr * a, 3.0
    way = lr * a**2 * d**2 * (1 - r ** (2 * steps)) / (1 - r**2)
    assert float(hook.path["w"]) == pytest.approx(way)
    assert hook.penalty(net) is None, "nothing is pulled in the first task"
    hook.consolidate(net, [])  # type: ignore[arg-type]
    importance = way / ((d * (1 - r**steps)) ** 2 + damping)
    assert float(hook.importance["w"]) == pytest.approx(importance)
    anchor = float(net.w.detach())
    with torch.no_grad():
        net.w.fill_(anchor + 0.5)
    assert float(hook.penalty(net).detach()) == pytest.approx(3.0 * importance * 0.25)


def test_importance_adds_up_over_tasks_and_moves_its_anchor() -> None:
    net, hook = Weight(4.0), ac.SynapticIntelligence()
    descend(net, hook, lambda net: (net.w - 1).square().sum(), 0.1, 3)
    hook.consolidate(net, [])  # type: ignore[arg-type]
    first = float(hook.importance["w"])
    descend(net, hook, lambda net: (net.w + 1).square().sum(), 0.1, 3)
    hook.consolidate(net, [])  # type: ignore[arg-type]
    assert float(hook.importance["w"]) > first > 0
    assert torch.equal(hook.anchor["w"], net.w.detach())


def test_a_wrong_way_counts_as_nothing() -> None:
    """A weight whose way has raised the loss has importance 0, not less."""
    net, hook = Weight(1.0), ac.SynapticIntelligence()
    hook.begin(net)  # type: ignore[arg-type]
    net.w.grad = torch.ones_like(net.w)
    hook.before_step(net)  # type: ignore[arg-type]
    with torch.no_grad():
        net.w += 1
    hook.after_step(net)  # type: ignore[arg-type]
    assert float(hook.path["w"]) == -1
    hook.consolidate(net, [])  # type: ignore[arg-type]
    assert float(hook.importance["w"]) == 0


def test_fisher_information_by_hand() -> None:
    """At w = 0 both classes have p = 1/2: d log p(y) / d w is x/2 or -x/2, its square x^2 / 4."""
    net, hook = Weight(0.0), ac.ElasticWeightConsolidation(strength=10.0)
    net.preprocess = None  # type: ignore[assignment]
    xs = torch.tensor([[1.0], [2.0], [4.0]], dtype=torch.float64)
    hook.consolidate(net, torch.utils.data.TensorDataset(xs, torch.zeros(3)))  # type: ignore[arg-type]
    assert float(hook.importance["w"]) == pytest.approx((1 + 4 + 16) / 4 / 3)
    with torch.no_grad():
        net.w.fill_(0.2)
    assert float(hook.penalty(net).detach()) == pytest.approx(10 / 2 * 1.75 * 0.04)  # type: ignore[union-attr]


def test_movement_by_hand() -> None:
    """Slopes 1, -1, 0.5 at weights 1, 1, 10: the scores -w g are -1, 1, -5.

    Of three weights one goes: magnitude would drop w1 or w2, movement the largest, w3. Then the
    slopes turn to 5, -1, -1. w3, at 9.95, does not take part, but its slope is there: its score
    rises to 4.95, that of w1 falls to -5.5, and w3 is back with the value it had.
    """
    net, hook = Weight(1.0, 1.0, 10.0), ac.Pruner(share=1 / 3)
    slopes = torch.tensor([[1.0, -1.0, 0.5]], dtype=torch.float64)
    hook.before_epoch(net, 1, 2, steps=1)  # type: ignore[arg-type]
    descend(net, hook, lambda net: (net.w * slopes).sum(), 0.1, 1)
    assert hook.scores["w"].tolist() == [[-1.0, 1.0, -5.0]]
    assert hook.kept["w"].tolist() == [[True, True, False]]
    assert net.w.detach().tolist() == [[pytest.approx(0.9), pytest.approx(1.1), 0.0]]
    slopes = torch.tensor([[5.0, -1.0, -1.0]], dtype=torch.float64)
    hook.after_epoch(net, 1, 2)  # type: ignore[arg-type]
    hook.before_epoch(net, 2, 2, steps=1)  # type: ignore[arg-type]
    descend(net, hook, lambda net: (net.w * slopes).sum(), 0.1, 1)
    assert hook.scores["w"].tolist() == [[pytest.approx(v) for v in (-5.5, 2.1, 4.95)]]
    assert hook.kept["w"].tolist() == [[False, True, True]]
    assert net.w.detach().tolist() == [[0.0, pytest.approx(1.2), pytest.approx(9.95)]]


@given(
    share=st.floats(0.0, 0.9),
    epochs=st.integers(1, 4),
    steps=st.integers(1, 5),
    size=st.integers(1, 30),
)
def test_movement_takes_the_share_step_by_step(
    share: float, epochs: int, steps: int, size: int
) -> None:
    """1 - (1 - share)^e of the weights after epoch e; the last takes none."""
    net, hook = Weight(*[float(i + 1) for i in range(size)]), ac.Pruner(share=share)
    gone = [0]
    for epoch in range(1, epochs + 1):
        hook.before_epoch(net, epoch, epochs, steps)  # type: ignore[arg-type]
        for _ in range(steps):
            descend(net, hook, lambda net: net.w.square().sum(), 1e-3, 1)
            gone.append(int((net.w == 0).sum()))
        done = min(epoch, epochs - 1)
        assert gone[-1] == round((1 - (1 - share) ** done) * size)
    assert gone == sorted(gone)


def test_zeros_stay_zeros() -> None:
    """So that a network that was pruned may be trained on; a matrix of zeros alone is new."""
    for values, after in (((0.0, 2.0), 0.0), ((0.0, 0.0), 0.1)):
        net, hook = Weight(*values), ac.Pruner(share=0.0)
        hook.before_epoch(net, 1, 1, steps=1)  # type: ignore[arg-type]
        descend(net, hook, lambda net: -net.w.sum(), 0.1, 1)
        assert net.w.detach()[0].tolist() == [pytest.approx(after), pytest.approx(values[1] + 0.1)]


def test_the_other_scores_by_hand() -> None:
    slopes = torch.tensor([[1.0, -3.0]], dtype=torch.float64)
    for score, kept in (("magnitude", [[True, False]]), ("saliency", [[False, True]])):
        net, hook = Weight(2.0, 1.0), ac.Pruner(share=0.5, score=score)  # type: ignore[arg-type]
        descend(net, hook, lambda net: (net.w * slopes).sum(), 1e-3, 1)
        hook.after_epoch(net, 1, 2)  # type: ignore[arg-type]
        assert hook.kept["w"].tolist() == kept


def test_shares_of_what_is_left() -> None:
    """20 % of the remaining weights after each of three epochs but the last: 1 - 0.8^2."""
    net = make("mixer", "acn", width=16)
    quiet_fit(net, source(), None, config(epochs=3), hooks=[ac.Pruner(share=0.2)])
    assert ac.sparsity(net) == pytest.approx(1 - 0.8**2, abs=1e-3)
    before = weights(make("mixer", "acn", width=16))
    assert torch.count_nonzero(before["head.classifier.weight"]) == 3 * 16


@pytest.mark.parametrize(
    "options", [{"grow": ac.GrowConfig(layers=1, until=0.6)}, {"layer_drop": 0.9}]
)
def test_layers_without_a_gradient_so_far_are_not_ranked(options: dict[str, Any]) -> None:
    """They have no saliency; that of 0 would be the lowest of all, and remove them whole."""
    net = make("mlp", "residual", width=16)
    pruned = ac.PruneConfig(score="saliency", share=0.3)
    quiet_fit(net, source(), None, config(epochs=4, batch_size=24, prune=pruned, **options))
    for block in net.trunk.blocks:
        matrices = [p for p in block.parameters() if p.ndim > 1]
        zeros = sum(int((p == 0).sum()) for p in matrices)
        assert 0 < zeros < 0.9 * sum(p.numel() for p in matrices)


@pytest.mark.parametrize("score", ["magnitude", "saliency", "movement"])
def test_a_cut_that_leaves_no_layer_leaves_nothing_to_prune(score: Any) -> None:
    net = make("mlp", "acn")
    cut, pruned = ac.CutConfig(at=(0.3,), layers=(0,)), ac.PruneConfig(score=score)
    run = quiet_fit(net, source(), None, config(epochs=3, cut=cut, prune=pruned))
    assert (net.depth, len(run.history)) == (0, 3)


def test_nothing_to_prune_is_refused() -> None:
    net = make("mlp", "acn")
    net.trunk.requires_grad_(False)
    with pytest.raises(ConfigError, match=f"nothing to prune: .*it has {net.depth} layers"):
        ac.prune(net, 0.5)
    with pytest.raises(ConfigError, match="it has 0 layers"):
        ac.prune(make("mlp", "acn").cut(0), 0.5)
    with pytest.raises(ConfigError, match="nothing to prune"):
        quiet_fit(net, source(), None, config(prune=ac.PruneConfig()))
    quiet_fit(net, source(), None, config(epochs=1, prune=ac.PruneConfig(share=0.0)))


def test_magnitude_pruning_at_once() -> None:
    net = make("vit", "acn")
    smallest = min(
        (float(p.detach().abs().max()), n)
        for n, p in net.trunk.blocks.named_parameters()
        if p.ndim > 1
    )
    ac.prune(net, 0.3)
    assert ac.sparsity(net) == pytest.approx(0.3, abs=1e-3)
    assert smallest[0] > 0
    ac.prune(net, 1.0)
    assert ac.sparsity(net) == 1.0
    assert torch.isfinite(net(images())).all()


def test_the_options_of_fit_are_the_hook() -> None:
    """And with the others the order is: what the options say first."""
    nets = [make("mixer", "acn", width=16) for _ in range(2)]
    settings = config(epochs=3)
    quiet_fit(nets[0], source(), None, settings, hooks=[ac.Pruner(0.4, "magnitude")])
    how = ac.PruneConfig(share=0.4, score="magnitude")
    quiet_fit(nets[1], source(), None, config(epochs=3, prune=how))
    assert same(weights(nets[0]), weights(nets[1]))


@pytest.mark.parametrize("kind", [ac.SynapticIntelligence, ac.Pruner])
def test_hooks_resume_bit_for_bit(kind: type, tmp_path: Path) -> None:
    whole, stopped, resumed = (make("mixer", "acn", dropout=0.1) for _ in range(3))
    settings = config(epochs=4)
    hook = kind()
    quiet_fit(whole, source(), None, settings, hooks=[hook], run=tmp_path / "a")
    with pytest.raises(InterruptedRunError):
        quiet_fit(
            stopped, StopsAfter(source(), 2), None, settings, hooks=[kind()], run=tmp_path / "b"
        )
    again = kind()
    quiet_fit(resumed, source(), None, settings, hooks=[again], run=tmp_path / "b", resume=True)
    assert same(weights(whole), weights(resumed))
    for key, value in hook.state_dict().items():
        other = again.state_dict()[key]
        assert same(value, other) if isinstance(value, dict) else value == other


def test_consolidation_holds_a_task() -> None:
    """Learn one task, then another with other labels: with the pull less of the first is lost."""
    second = source(seed=3)
    second.labels = (second.labels + 1) % 3

    def moved(strength: float | None) -> float:
        net = make("mixer", "acn", width=16)
        hooks = [] if strength is None else [ac.SynapticIntelligence(strength)]
        quiet_fit(net, source(), None, config(epochs=6), hooks=hooks)
        for hook in hooks:
            hook.consolidate(net, source())
        before = weights(net)
        quiet_fit(net, second, None, config(epochs=6), hooks=hooks)
        return sum(float((v - before[k]).square().sum()) for k, v in net.state_dict().items())

    assert moved(100.0) < 0.5 * moved(None)


def test_wrong_settings() -> None:
    with pytest.raises(ConfigError, match="share 1"):
        ac.Pruner(share=1.0)
    with pytest.raises(UnknownNameError, match="movement"):
        ac.Pruner(score="move")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="ema"):
        config(ema=0.9, prune=ac.PruneConfig())
    with pytest.raises(ConfigError, match="between 0 and 1"):
        ac.prune(make("mlp", "acn"), -0.1)


class Thaws(ac.Hook):
    """Lets the layers learn from the second epoch on, at its start or within it."""

    def __init__(self, freezes: bool, within: bool = False) -> None:
        self.freezes, self.within, self.now = freezes, within, False

    def begin(self, net: ac.Network) -> None:
        if self.freezes:
            net.trunk.requires_grad_(False)

    def before_epoch(self, net: ac.Network, epoch: int, *_: int) -> None:
        self.now = epoch > 1
        if self.now and not self.within:
            net.trunk.requires_grad_(True)

    def before_forward(self, net: ac.Network, moment: object) -> None:
        if self.now:
            net.trunk.requires_grad_(True)


def test_layers_that_a_hook_unfreezes_learn_or_are_refused() -> None:
    for within in (False, True):
        net = make("mlp", "residual")
        net.trunk.requires_grad_(False)
        with pytest.raises(ConfigError, match=r"the first is trunk\..*freeze them in the hook's"):
            quiet_fit(net, source(), config=config(epochs=2), hooks=[Thaws(False, within)])
        net = make("mlp", "residual")
        before = weights(net.trunk)
        quiet_fit(net, source(), config=config(epochs=1), hooks=[Thaws(True, within)])
        assert same(before, weights(net.trunk))
        net.requires_grad_(True)
        quiet_fit(net, source(), config=config(epochs=2), hooks=[Thaws(True, within)])
        assert not same(before, weights(net.trunk))
