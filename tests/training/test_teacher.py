"""One network teaches another: the loss by hand, its gradient, and who may teach whom."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional as F

import autocompress as ac
from autocompress.errors import CheckpointError, ConfigError
from autocompress.training.distil import Readouts
from autocompress.training.objectives import Classification
from autocompress.training.teacher import Taught
from models_table import MODELS, inputs, make
from toy import compiles, config, quiet_fit, source


def toy(depth: int = 3, **options: object) -> ac.Network:
    torch.manual_seed(depth)
    shape = {"width": 8, "classes": 3, "image_size": 4, "channels": 1}
    return ac.models.MLP(**{"depth": depth, **shape, **options})  # type: ignore[arg-type]


def test_the_gradient_in_closed_form() -> None:
    """d/ds of T^2 KL(softmax(t / T) || softmax(s / T)) is T (softmax(s / T) - softmax(t / T))."""
    torch.manual_seed(0)
    student, taught = torch.randn(5, 3, requires_grad=True), torch.randn(5, 3)
    teacher = ac.Teacher(toy(), weight=0.7, temperature=3.0)
    labels = torch.zeros(5, dtype=torch.long)
    loss = teacher.loss(student, [], Taught(taught), labels, Classification())
    loss.backward()
    apart = (student / 3).softmax(1) - (taught / 3).softmax(1)
    torch.testing.assert_close(student.grad, 0.7 * 3 * apart.detach() / 5)


def test_the_loss_of_a_step_is_that_of_the_labels_and_the_teacher() -> None:
    """One step on one batch: the logged loss is computed by hand."""
    whole, small, data = toy(4), toy(2), source(16)
    unit, y = data.images.float() / 255, data.labels
    run = quiet_fit(small, data, config=config(epochs=1, batch_size=16), teacher=whole)
    mean = torch.tensor(small.preprocess["mean"]).view(1, -1, 1, 1)
    std = torch.tensor(small.preprocess["std"]).view(1, -1, 1, 1)
    fed = (unit - mean) / std
    logits, taught = toy(2)(fed), whole(fed)  # before the step
    soft = F.kl_div((logits / 2).log_softmax(1), (taught / 2).softmax(1), reduction="batchmean")
    by_hand = F.cross_entropy(logits, y, label_smoothing=config().label_smoothing) + 4 * soft
    assert run.history[0]["loss"] == pytest.approx(float(by_hand.detach()), rel=1e-5)


def test_whoever_agrees_with_the_teacher_learns_as_without_one() -> None:
    """The distance from an equal network is 0, and so is its gradient, for the first step."""
    data, plan = source(16), config(epochs=1, batch_size=16)
    alone, taught = toy(), toy()
    quiet_fit(alone, data, config=plan)
    quiet_fit(taught, data, config=plan, teacher=toy())
    for ours, theirs in zip(taught.parameters(), alone.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4)


def test_the_teacher_is_not_changed_and_the_student_comes_closer() -> None:
    data, whole = source(64), toy(4)
    before = {name: tensor.clone() for name, tensor in whole.state_dict().items()}
    found = {}
    for weight in (1e-6, 30.0):
        small = toy(2)
        teacher = ac.Teacher(whole, weight=weight)
        run = quiet_fit(
            small, data, config=config(epochs=24, batch_size=16, lr=1e-2), teacher=teacher
        )
        assert len(run.history) == 24
        x = torch.randn(200, 1, 4, 4, generator=torch.Generator().manual_seed(0))
        found[weight] = float((small(x).softmax(1) - whole(x).softmax(1)).abs().mean().detach())
    assert found[30.0] < 0.5 * found[1e-6]
    assert all(torch.equal(before[name], tensor) for name, tensor in whole.state_dict().items())
    assert not whole.training
    assert all(parameter.grad is None for parameter in whole.parameters())


@pytest.mark.parametrize("model", MODELS)
def test_every_model_can_be_taught(model: str) -> None:
    whole, x = make(model, "residual"), inputs(model)
    small = whole.cut(1)
    taught = ac.Teacher(whole).teach(x, small.depth, "fp32")
    assert taught.logits.shape == small(x).shape
    assert not taught.logits.requires_grad
    torch.testing.assert_close(taught.logits, whole.eval()(x))


@pytest.mark.parametrize("model", MODELS)
def test_every_model_shows_its_hidden_states(model: str) -> None:
    """The last one is what the head reads, and those of a cut are those of the whole network."""
    whole, x = make(model, "residual").eval(), inputs(model)
    taught = ac.Teacher(whole, hidden=1.0, at=(1, 2)).teach(x, 2, "fp32")
    _, own = Readouts(whole.cut(2).eval(), (1, 2))(x, [2])
    for ours, theirs in zip(own, taught.hidden, strict=True):
        assert torch.equal(ours, theirs)
    assert torch.equal(taught.logits, whole(x))


def test_the_distance_of_hidden_states_by_hand() -> None:
    """Orthogonal unit vectors are 2 apart, opposite ones 4, and padding counts for nothing."""
    teacher = ac.Teacher(toy(), weight=1.0, hidden=0.5)
    east, north = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 3.0])
    ours, theirs = torch.stack([east, east, 7 * east]), torch.stack([north, -2 * east, east])
    logits, labels = torch.zeros(1, 3), torch.zeros(1, dtype=torch.long)

    def loss(counted: torch.Tensor | None) -> float:
        taught = Taught(logits, [theirs[None]], counted)
        return float(teacher.loss(logits, [ours[None]], taught, labels, Classification()))

    assert loss(None) == pytest.approx(0.5 * (2 + 4 + 0) / 3)
    assert loss(torch.tensor([[True, False, True]])) == pytest.approx(0.5 * (2 + 0) / 2)


def test_padding_is_known_to_an_encoder() -> None:
    net = make("encoder", "residual")
    x = inputs("encoder").clone()
    x[0, 2:] = net.config["pad"]
    counted = net.counted(x)
    assert counted is not None
    assert counted[0].tolist() == [True, True] + [False] * (x.shape[1] - 2)
    assert ac.Teacher(net, hidden=1.0).teach(x, 1, "fp32").counted is not None
    assert toy().counted(torch.zeros(2, 1, 4, 4)) is None


def test_hidden_states_come_closer() -> None:
    data, found = source(64), {}
    for hidden in (0.0, 10.0):
        whole = toy(4, connectivity="residual")
        small = whole.cut([0, 2])
        teacher = ac.Teacher(whole, weight=1e-6, hidden=hidden)
        plan = config(epochs=12, batch_size=16, lr=1e-2)
        quiet_fit(small, data, config=plan, teacher=teacher)
        x = torch.randn(50, 1, 4, 4, generator=torch.Generator().manual_seed(0))
        _, own = Readouts(small, (2,))(x, [2])
        theirs = ac.Teacher(whole, hidden=1.0).teach(x, 2, "fp32").hidden[-1]
        found[hidden] = float(F.cosine_similarity(own[0], theirs).mean().detach())
    assert found[10.0] > found[0.0] + 0.02


def test_learning_hidden_states_is_one_graph(monkeypatch: pytest.MonkeyPatch) -> None:
    made, nets = compiles(monkeypatch, "aot_eager"), []
    noting = torch.compile
    whole_graph = {"fullgraph": True}  # a break is an error then
    monkeypatch.setattr(torch, "compile", lambda *args, **o: noting(*args, **o, **whole_graph))
    for mode in ("off", "default"):
        whole = toy(4, connectivity="residual")
        nets.append(whole.cut([0, 2]))
        plan = config(epochs=1, batch_size=16, compile=mode)
        quiet_fit(nets[-1], source(32), config=plan, teacher=ac.Teacher(whole, hidden=1.0))
    assert made == ["default"]
    for ours, theirs in zip(*(net.parameters() for net in nets), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-3)


def test_tokens_without_a_label_are_not_taught() -> None:
    torch.manual_seed(0)
    student, taught, teacher = torch.randn(2, 3, 5), torch.randn(2, 3, 5), ac.Teacher(toy())
    labels = torch.tensor([[1, -100, 2]] * 2)
    kept = [one[:, [0, 2]] for one in (student, taught, labels)]
    torch.testing.assert_close(
        teacher.loss(student, [], Taught(taught), labels, Classification()),
        teacher.loss(kept[0], [], Taught(kept[1]), kept[2], Classification()),
    )


@pytest.mark.parametrize("at", [None, [1, 3, 4]])
@pytest.mark.parametrize(
    "options",
    [
        {"grow": ac.GrowConfig(layers=1)},
        {"cut": ac.CutConfig(at=(0.3,), layers=(1,))},
        {"cut": ac.CutConfig(at=(0.3,), layers=(0,))},
    ],
    ids=["grow", "cut", "cut to none"],
)
def test_hidden_states_are_taught_to_the_layers_that_run(options: Any, at: Any) -> None:
    teacher = ac.Teacher(toy(4), hidden=1.0, at=at)
    run = quiet_fit(toy(3), source(32), config=config(epochs=3, **options), teacher=teacher)
    assert all(row["loss"] < 10 for row in run.history)
    assert ac.Teacher(toy(4), at=[1, 3, 4]).depths(2) == [1, 3]


@pytest.mark.parametrize("scale", [1 / 255, 2 / 255])
def test_a_teacher_sees_pixels_as_it_was_trained_on_them(scale: float) -> None:
    """A network of timm has ImageNet's mean, and its student that of the data."""
    data, seen = source(16), []
    whole = toy(4)
    whole.preprocess = {"scale": scale, "mean": [0.5], "std": [0.1]}
    whole.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    plan = config(epochs=1, batch_size=16)
    quiet_fit(toy(2), data, config=plan, teacher=whole)
    own = (data.images.float() * scale - 0.5) / 0.1
    by_value = [pixels.flatten(1).sum(1).sort().values for pixels in (seen[0], own)]
    torch.testing.assert_close(*by_value, rtol=1e-4, atol=1e-3)
    floats = torch.utils.data.TensorDataset(own, data.labels)  # prepared by the user
    quiet_fit(toy(2), floats, config=plan, teacher=whole)
    assert float(seen[-1].sum()) == pytest.approx(float(own.sum()), rel=1e-5)


def test_a_teacher_reads_the_same_tokens() -> None:
    ids, labels = torch.randint(9, (4, 6)), torch.randint(9, (4, 6))
    data = torch.utils.data.TensorDataset(ids, labels)
    whole, small = make("encoder", "residual"), make("encoder", "residual")
    words = '{"model": {"vocab": {"a": 0, "b": 1}}, "padding": null}'
    small.tokenizer, whole.tokenizer = words, words.replace("null", '{"length": 6}')
    quiet_fit(small, data, config=config(epochs=1, batch_size=2), teacher=whole)
    whole.tokenizer = '{"model": {"vocab": {"b": 0, "a": 1}}, "padding": null}'
    with pytest.raises(ConfigError, match="the teacher has another tokenizer"):
        quiet_fit(small, data, config=config(epochs=1, batch_size=2), teacher=whole)


def test_a_teacher_has_the_same_classes_in_the_same_order() -> None:
    whole, small = toy(4), toy()
    whole.class_names, small.class_names = ["cat", "dog", "owl"], ["dog", "cat", "owl"]
    with pytest.raises(ConfigError, match=r"another order \(cat, dog, owl\)"):
        quiet_fit(small, source(16), config=config(epochs=1), teacher=whole)
    small.class_names = ["Katze", "Hund", "Eule"]  # their meaning is the user's to know
    quiet_fit(small, source(16), config=config(epochs=1), teacher=whole)


def test_who_may_not_teach() -> None:
    data, net = source(16), toy()
    for given, words in (
        (toy(classes=4), "4 outputs and the network that it teaches has 3"),
        (net, "shares weights"),
        (torch.nn.Linear(2, 3), "ac.convert"),
    ):
        with pytest.raises(ConfigError, match=words):
            quiet_fit(net, data, config=config(epochs=1), teacher=given)
    for options in ({"weight": 0.0}, {"temperature": -1.0}, {"weight": float("nan")}):
        with pytest.raises(ConfigError, match="must be above 0"):
            ac.Teacher(net, **options)
    with pytest.raises(ConfigError, match="0 or more"):
        ac.Teacher(net, hidden=-1.0)
    for at in ((1,), (1, 1, 2), (0, 1, 2), (1, 2, 4), (1, 2, 3, 3)):
        with pytest.raises(ConfigError, match="for each of the 3 layers"):
            quiet_fit(toy(), data, teacher=ac.Teacher(net, hidden=1.0, at=at))
    with pytest.raises(ConfigError, match="same width"):
        quiet_fit(toy(), data, teacher=ac.Teacher(toy(width=16), hidden=1.0))


def test_a_resumed_run_has_the_teacher_it_began_with(tmp_path: Path) -> None:
    data, plan = source(32), config(epochs=2, batch_size=16)
    straight = toy(2)
    quiet_fit(straight, data, config=plan, teacher=toy(4), run=tmp_path / "straight")

    class Stop(ac.Hook):
        def before_epoch(self, net: ac.Network, epoch: int, epochs: int, steps: int) -> None:
            if epoch == stops:
                raise RuntimeError("stopped")

    def go_on(**options: object) -> ac.Network:
        small = toy(2)
        quiet_fit(small, data, config=plan, run=tmp_path / "run", hooks=[Stop()], **options)
        return small

    stops = 2
    with pytest.raises(RuntimeError, match="stopped"):
        go_on(teacher=toy(4))
    stops = 0
    with pytest.raises(CheckpointError, match=r"teacher\.weights"):
        go_on(teacher=toy(5), resume=True)
    with pytest.raises(CheckpointError, match="teacher"):
        go_on(resume=True)
    resumed = go_on(teacher=toy(4), resume=True)
    for ours, theirs in zip(resumed.parameters(), straight.parameters(), strict=True):
        assert torch.equal(ours, theirs)
