"""The loss and the score are those that a network is for, by the host's own loss and by hand."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from sklearn.metrics import accuracy_score, r2_score
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import TensorDataset

import autocompress as ac
from autocompress.errors import ConfigError, DataError
from autocompress.training.distil import shallow_loss
from autocompress.training.objectives import MultiLabel, Regression, objective_of

transformers = pytest.importorskip("transformers")
AUTO = transformers.AutoModel  # transformers imports its Auto classes first

SIZES = {
    "vocab_size": 40,
    "hidden_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 16,
}


def roberta(outputs: int, kind: str | None = None) -> Any:
    torch.manual_seed(3)
    config = transformers.RobertaConfig(**SIZES, num_labels=outputs, problem_type=kind)
    return transformers.RobertaForSequenceClassification(config).eval()


def vit(outputs: int, kind: str | None = None) -> Any:
    torch.manual_seed(4)
    config = transformers.ViTConfig(
        hidden_size=16,
        num_hidden_layers=3,
        num_attention_heads=2,
        intermediate_size=32,
        image_size=8,
        patch_size=4,
        num_labels=outputs,
        problem_type=kind,
    )
    return transformers.ViTForImageClassification(config).eval()


def texts(n: int = 24) -> Tensor:
    return torch.randint(3, 40, (n, 7), generator=torch.Generator().manual_seed(0))


def pixels(n: int = 24) -> Tensor:
    return torch.randn(n, 3, 8, 8, generator=torch.Generator().manual_seed(1))


def several(n: int, outputs: int, share: float = 0.3) -> Tensor:
    return (torch.rand(n, outputs, generator=torch.Generator().manual_seed(2)) < share).float()


MULTI, NUMBERS = "multi_label_classification", "regression"

CASES = [
    pytest.param(roberta, texts, 4, MULTI, several(24, 4), id="roberta several"),
    pytest.param(vit, pixels, 6, MULTI, several(24, 6, 0.6), id="vit several"),
    pytest.param(roberta, texts, 1, None, torch.linspace(-2, 5, 24), id="roberta number"),
    pytest.param(vit, pixels, 1, NUMBERS, torch.linspace(3, 4, 24)[:, None], id="vit number"),
    pytest.param(roberta, texts, 3, NUMBERS, torch.randn(24, 3), id="roberta three numbers"),
    pytest.param(vit, pixels, 5, None, torch.arange(24) % 5, id="vit classes"),
]


@pytest.mark.parametrize(("make", "inputs", "outputs", "kind", "labels"), CASES)
def test_training_and_scoring_use_the_hosts_own_loss(
    make: Any, inputs: Any, outputs: int, kind: str | None, labels: Tensor
) -> None:
    """One step, at a learning rate of almost nothing: the logged loss is the host's."""
    host, x = make(outputs, kind), inputs()
    for module in host.modules():  # the loss of a step has no dropout in it
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    net = ac.convert(host, "residual")
    with torch.no_grad():
        theirs = float(host(**{host.main_input_name: x}, labels=labels).loss)
    curve = ac.probe(net, TensorDataset(x, labels), batch_size=7)
    assert curve.losses is not None
    assert curve.losses[-1] == pytest.approx(theirs, abs=1e-6)
    config = ac.FitConfig(epochs=1, batch_size=24, lr=1e-9, label_smoothing=0.0)
    run = ac.fit(net, TensorDataset(x, labels), config=config, progress=False)
    assert run.history[0]["loss"] == pytest.approx(theirs, abs=1e-6)


def test_smoothing_is_of_classes_only() -> None:
    """The default smooths labels; a loss of several labels or numbers has no use for it."""
    data = TensorDataset(pixels(), several(24, 4))
    losses = [
        ac.fit(
            ac.convert(vit(4, MULTI), "residual"),
            data,
            config=ac.FitConfig(epochs=1, batch_size=12, label_smoothing=share),
            progress=False,
        ).history[0]["loss"]
        for share in (0.0, 0.3)
    ]
    assert losses[0] == losses[1]


def test_exact_match_is_sklearns_accuracy_at_every_depth() -> None:
    net, x, labels = ac.convert(roberta(3, MULTI), "acn"), texts(), several(24, 3)
    curve = ac.probe(net, TensorDataset(x, labels))
    assert curve.metric == "exact match"
    with torch.no_grad():
        for depth, score in enumerate(curve.scores):
            said = (net(x, depth=depth).sigmoid() > 0.5).int()
            assert score == pytest.approx(accuracy_score(labels.int(), said))


@pytest.mark.parametrize("outputs", [1, 2])
def test_r2_is_sklearns_at_every_depth(outputs: int) -> None:
    net, x = ac.convert(vit(outputs, NUMBERS), "acn"), pixels()
    labels = torch.randn(24, outputs, generator=torch.Generator().manual_seed(5))
    curve = ac.probe(net, TensorDataset(x, labels), batch_size=10)
    assert (curve.metric, curve.unit, curve.perplexities) == ("R^2", "squared error", None)
    with torch.no_grad():
        for depth, score in enumerate(curve.scores):
            assert score == pytest.approx(r2_score(labels, net(x, depth=depth)), abs=1e-5)
    assert "R^2" in str(curve)
    assert "squared error" in str(curve)
    assert "R^2 on validation" in str(curve.select())


def test_by_hand() -> None:
    several_, numbers = MultiLabel(), Regression()
    logits = torch.tensor([[2.0, -1.0], [0.5, 0.5]])
    wanted = several_.wanted(several_.targets(torch.tensor([[1, 0], [1, 0]]), (2, 2), "given"))
    worth, losses = several_.judge(logits, wanted)
    assert worth.tolist() == [True, False]
    expected = [(0.126928 + 0.313262) / 2, (0.474077 + 0.974077) / 2]  # log(1 + e^-+z)
    assert losses.tolist() == pytest.approx(expected, abs=1e-6)
    targets = numbers.targets(torch.tensor([1.0, 3.0]), (2, 1), "given")
    worth, losses = numbers.judge(torch.tensor([[1.0], [2.0]]), numbers.wanted(targets))
    assert losses.tolist() == [0.0, 1.0]
    assert numbers.scores(worth[:, None], targets).tolist() == [[1.0], [0.0]]  # variance 1
    assert several_.constant(torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 0.0]])) == 2 / 3


def test_a_regression_learns_and_selects() -> None:
    """The mean of the pixels, an easy number: R^2 gets close to 1, the rules work."""
    torch.manual_seed(0)
    x = torch.randn(128, 3, 8, 8) * 0.3 + torch.randn(128, 1, 1, 1)
    data = TensorDataset(x, 4 + 2 * x.mean((1, 2, 3)))
    net = ac.convert(vit(1), "residual")
    run = ac.fit(net, data, data, ac.FitConfig(epochs=15, lr=1e-2, batch_size=32), progress=False)
    assert run.history[-1]["validation"] > 0.9
    curve = ac.probe(net, data)
    chosen = curve.select(tolerance=0.02)
    assert chosen.score >= chosen.full_score - 0.02
    assert not chosen.warnings
    assert curve.select(parameters=10**9).depth >= 0
    with pytest.raises(ConfigError, match="squared error, not nats"):
        curve.select(nats=0.1)


def test_deep_supervision_teaches_with_the_objectives_loss() -> None:
    host, x, labels = roberta(4, MULTI), texts(8), several(8, 4)
    net = ac.convert(host, "acn")
    with torch.no_grad():
        logits = list(net.readouts(x))
        found = shallow_loss(
            logits[1:], [1, 2, 3], labels, ac.DistilConfig(teacher="labels"), objective_of(net)
        )
        losses = [F.binary_cross_entropy_with_logits(one, labels) for one in logits[1:-1]]
    torch.testing.assert_close(found, torch.stack(losses).mean())
    config = ac.FitConfig(epochs=1, batch_size=8, distil=ac.DistilConfig(teacher="labels"))
    assert ac.fit(net, TensorDataset(x, labels), config=config, progress=False).history


@pytest.mark.parametrize(("outputs", "kind"), [(3, MULTI), (3, NUMBERS), (4, None)])
def test_full_depth_teaches_by_the_distance_of_the_objective(
    outputs: int, kind: str | None
) -> None:
    """KL of classes, KL of each label, squared error of numbers; T = 2, by hand."""
    objective = objective_of(ac.convert(vit(outputs, kind), "acn"))
    logits, teacher = torch.randn(2, 5, outputs).unbind()
    if kind == NUMBERS:
        wanted = (logits - teacher).square().mean()
    elif kind == MULTI:
        p, q = (teacher / 2).sigmoid(), (logits / 2).sigmoid()
        wanted = 4 * (p * (p / q).log() + (1 - p) * ((1 - p) / (1 - q)).log()).mean()
    else:
        p, q = (teacher / 2).softmax(-1), (logits / 2).softmax(-1)
        wanted = 4 * (p * (p / q).log()).sum(-1).mean()
    torch.testing.assert_close(objective.imitation(logits, teacher, 2.0), wanted)
    same = objective.imitation(teacher, teacher, 2.0)
    torch.testing.assert_close(same, torch.zeros(()), atol=1e-6, rtol=0)
    net = ac.convert(vit(outputs, kind), "residual")
    labels = several(24, outputs) if kind else torch.arange(24) % outputs
    config = ac.FitConfig(epochs=1, batch_size=8, distil=ac.DistilConfig(every=None, rotate=True))
    assert ac.fit(net, TensorDataset(pixels(), labels), config=config, progress=False).history


@pytest.mark.parametrize(("outputs", "kind"), [(3, MULTI), (1, None), (3, NUMBERS)])
def test_what_needs_classes_is_refused_before_the_first_step(
    outputs: int, kind: str | None
) -> None:
    net = ac.convert(vit(outputs, kind), "acn")
    labels = several(24, outputs)
    data = TensorDataset(pixels(), labels)
    before = {key: value.clone() for key, value in net.state_dict().items()}
    with pytest.raises(ConfigError, match=r"augment\.cutmix"):
        ac.fit(net, data, augment=ac.AugmentConfig(mixup=0.5), progress=False)
    with pytest.raises(ConfigError, match="no entropy"):
        ac.exit_curve(net, data)
    with pytest.raises(ConfigError, match="no entropy"):
        ac.fit(net, data, hooks=[ac.ElasticWeightConsolidation()], progress=False)
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())


@pytest.mark.parametrize(
    ("outputs", "kind", "labels", "words"),
    [
        (3, MULTI, torch.arange(24) % 3, "each of which says yes or no"),
        (3, MULTI, several(24, 3) * 2, "hold 2.0; a multi-label network takes 0 and 1"),
        (3, MULTI, several(24, 4), r"\(24, 4\)|\(2, 4\)"),
        (1, None, torch.full((24,), float("nan")), "not finite"),
        (2, NUMBERS, torch.randn(24, 3), "a number for each of 2 outputs"),
        (1, NUMBERS, torch.full((24,), 7), "every label of output 0 is 7"),
        (3, None, several(24, 3), "leaves open what they mean"),
        (3, "single_label_classification", several(24, 3, 0.9), "not one-hot"),
        (3, None, torch.rand(24), "are float32"),
    ],
)
def test_labels_that_do_not_fit(outputs: int, kind: str | None, labels: Tensor, words: str) -> None:
    net, data = ac.convert(roberta(outputs, kind), "acn"), TensorDataset(texts(), labels)
    before = {key: value.clone() for key, value in net.state_dict().items()}
    for verb in (
        lambda: ac.probe(net, data),
        lambda: ac.fit(net, data, data, ac.FitConfig(epochs=1, batch_size=8), progress=False),
    ):
        with pytest.raises(DataError, match=words):
            verb()
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())


def test_an_unknown_problem_type_is_refused() -> None:
    host = roberta(3)
    host.config.__dict__["problem_type"] = "ranking"
    net = ac.convert(host, "acn")
    with pytest.raises(ConfigError, match="'ranking' is unknown to transformers, which has"):
        ac.probe(net, TensorDataset(texts(), torch.arange(24) % 3))


def test_gradients_and_replay_have_the_objectives_loss() -> None:
    net = ac.convert(vit(3, MULTI), "acn")
    x, labels = pixels(8), several(8, 3)
    found = ac.gradients(net, (x, labels))
    net.zero_grad()
    F.binary_cross_entropy_with_logits(net(x), labels).backward()
    block = net.trunk.blocks[-1]
    norm = torch.cat([p.grad.flatten().double() for p in block.parameters()]).norm()
    assert found.full[-1] == pytest.approx(float(norm), rel=1e-5)
