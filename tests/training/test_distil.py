"""Losses of shallower readouts, against hand-computed ones."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

import autocompress as ac
from autocompress.errors import ConfigError, UnknownNameError
from autocompress.training.distil import Readouts, shallow_loss, taught_depths
from marks import slow_but
from models_table import DEPTH, MODELS, every_connectivity, images, inputs, make
from toy import compiles, config, quiet_fit, source


def test_divergence_by_hand() -> None:
    """Teacher (3/4, 1/4), student (1/2, 1/2): 3/4 ln(3/2) + 1/4 ln(1/2)."""
    teacher = torch.tensor([[math.log(3.0), 0.0]])
    logits = [torch.zeros(1, 2), teacher]
    loss = shallow_loss(logits, [1, 2], torch.tensor([0]), ac.DistilConfig(temperature=1.0))
    assert float(loss) == pytest.approx(0.75 * math.log(1.5) + 0.25 * math.log(0.5))


def test_temperature_by_hand() -> None:
    """At T = 2 both distributions are softened, and T^2 makes up for it."""
    teacher = torch.tensor([[2 * math.log(3.0), 0.0]])
    logits = [torch.zeros(1, 2), teacher]
    loss = shallow_loss(logits, [1, 2], torch.tensor([0]), ac.DistilConfig(temperature=2.0))
    assert float(loss) == pytest.approx(4 * (0.75 * math.log(1.5) + 0.25 * math.log(0.5)))


def test_aligned_weights_are_the_papers() -> None:
    """w_l proportional to l: of three shallower depths 1/6, 2/6, 3/6 (paper, Aligned baseline)."""
    torch.manual_seed(0)
    logits, labels = [torch.randn(5, 3) for _ in range(4)], torch.tensor([0, 1, 2, 0, 1])
    aligned = ac.DistilConfig(teacher="labels", profile="aligned")
    by_hand = sum((k + 1) / 6 * F.cross_entropy(logits[k], labels) for k in range(3))
    torch.testing.assert_close(shallow_loss(logits, [1, 2, 3, 4], labels, aligned), by_hand)
    uniform = ac.DistilConfig(teacher="labels")
    by_hand = sum(F.cross_entropy(logits[k], labels) / 3 for k in range(3))
    torch.testing.assert_close(shallow_loss(logits, [1, 2, 3, 4], labels, uniform), by_hand)


@pytest.mark.parametrize("teacher", ["full", "labels"])
def test_tokens_without_a_label_do_not_count(teacher: str) -> None:
    torch.manual_seed(0)
    logits, labels = [torch.randn(2, 3, 5) for _ in range(3)], torch.tensor([[1, -100, 2]] * 2)
    distil = ac.DistilConfig(teacher=teacher)  # type: ignore[arg-type]
    scored = [one[:, [0, 2]] for one in logits]
    torch.testing.assert_close(
        shallow_loss(logits, [1, 2, 3], labels, distil),
        shallow_loss(scored, [1, 2, 3], labels[:, [0, 2]], distil),
    )


def test_the_teacher_gets_no_gradient() -> None:
    logits = [torch.randn(4, 3, requires_grad=True) for _ in range(3)]
    shallow_loss(logits, [1, 2, 3], torch.zeros(4, dtype=torch.long), ac.DistilConfig()).backward()
    assert logits[-1].grad is None
    assert all(one.grad is not None for one in logits[:-1])


def test_which_depths_are_taught() -> None:
    assert taught_depths(4) == [1, 2, 3, 4]
    assert taught_depths(5, every=2) == [1, 3, 5]
    assert taught_depths(3, every=9) == [3]
    assert taught_depths(0) == [0]


@every_connectivity
@pytest.mark.parametrize("model", MODELS)
def test_one_pass_gives_what_separate_passes_give(model: str, connectivity: str) -> None:
    net, x, calls = make(model, connectivity), inputs(model), []
    net.trunk.blocks[0].register_forward_hook(lambda *_: calls.append(1))
    found = Readouts(net)(x, [1, 3, DEPTH])[0]
    assert len(calls) == 1
    for depth, logits in zip([1, 3, DEPTH], found, strict=True):
        assert torch.equal(logits, net(x, depth=depth))


def test_distilled_depths_come_nearer_to_full_depth() -> None:
    """In a feed-forward network nobody but the teacher tells depth 1 what to do."""

    def score(**options: object) -> float:
        net = make("mixer", "ffn", width=16)
        run = quiet_fit(net, source(), source(480, seed=1), config(epochs=8, **options))
        return float(run.history[-1]["depths"][1])

    assert score() < 0.6
    assert score(distil=ac.DistilConfig(temperature=1.0)) > 0.9


@pytest.mark.parametrize("teacher", slow_but(["full", "labels"], ["labels"]))
def test_no_graph_breaks(teacher: str) -> None:
    """Readouts of three depths and their losses are one graph."""
    readouts = Readouts(make("vit", "hacn"))
    distil = ac.DistilConfig(teacher=teacher, profile="aligned")  # type: ignore[arg-type]

    def loss(x: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return shallow_loss(readouts(x, [1, 2, DEPTH])[0], [1, 2, DEPTH], labels, distil)

    labels = torch.tensor([0, 1, 2])
    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(images(), labels), loss(images(), labels))


@pytest.mark.parametrize("start", slow_but([0.0, 0.5], []), ids=["from the start", "late"])
def test_compiled_distillation(start: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Late, the depths that are read change in the course of the run."""
    made = compiles(monkeypatch)
    eager, compiled = make("mlp", "acn"), make("mlp", "acn")
    options = {"epochs": 2, "distil": ac.DistilConfig(every=1, start=start)}
    quiet_fit(eager, source(), None, config(**options))
    quiet_fit(compiled, source(), None, config(**options, compile="default"))
    assert made == ["default"], "what is not compiled is equal as well"
    for a, b in zip(eager.parameters(), compiled.parameters(), strict=True):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-3)


def test_distillation_begins_at_its_start() -> None:
    """With the second half of the run as its own, the first epochs are those of no distillation."""
    plain, late = make("mixer", "ffn"), make("mixer", "ffn")
    without = quiet_fit(plain, source(), None, config(epochs=4))
    with_it = quiet_fit(late, source(), None, config(epochs=4, distil=ac.DistilConfig(start=0.5)))
    losses = [[record["loss"] for record in run.history] for run in (without, with_it)]
    assert losses[0][:2] == losses[1][:2]
    assert losses[0][2] < losses[1][2], "the shallow readouts' losses are added"


def test_wrong_settings() -> None:
    with pytest.raises(ConfigError, match=r"distil\.start"):
        ac.DistilConfig(start=1.0)
    with pytest.raises(ConfigError, match="greater than 0"):
        ac.DistilConfig(weight=0.0)
    assert ac.DistilConfig.aligned(1).depths(1) == [1]  # full depth alone
    with pytest.raises(ConfigError, match=r"aligned\(0\): .* at least 1 layer"):
        ac.DistilConfig.aligned(0)
    with pytest.raises(UnknownNameError, match="labels"):
        ac.DistilConfig(teacher="label")  # type: ignore[arg-type]
    with pytest.raises(UnknownNameError, match="aligned"):
        ac.DistilConfig(profile="aligne")  # type: ignore[arg-type]
