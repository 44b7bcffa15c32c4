"""Streams of tasks: the matrix by hand, heads that stay apart, what protection does."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

import autocompress as ac
from autocompress.continual import Replay, Stream, Task, TaskMatrix, learn, split_classes
from autocompress.continual.heads import with_head
from autocompress.data import Splits, TensorSource
from autocompress.data.tokens import TextSource
from autocompress.errors import ConfigError, DepthError
from models_table import images, make
from toy import config, quiet_fit, same, weights

MATRIX = TaskMatrix([[0.9], [0.6, 0.8], [0.5, 0.9, 0.7]])


def test_the_matrix_by_hand() -> None:
    """At the end 0.5, 0.9, 0.7; right after learning 0.9, 0.8: 0.4 lost, 0.1 won.

    The best before the last task are 0.9 and 0.8 too, or 0.6 for a first task that began badly.
    """
    assert MATRIX.average_accuracy == pytest.approx((0.5 + 0.9 + 0.7) / 3)
    assert MATRIX.average_forgetting == pytest.approx((0.4 - 0.1) / 2)
    assert MATRIX.backward_transfer == pytest.approx(-(0.4 - 0.1) / 2)
    assert MATRIX.worst_forgetting == pytest.approx((0.4 - 0.1) / 2)
    late = TaskMatrix([[0.3], [0.6, 0.8], [0.5, 0.9, 0.7]])
    assert late.worst_forgetting == pytest.approx((0.1 - 0.1) / 2)
    assert TaskMatrix([[0.7]]).average_forgetting == 0


def test_what_the_matrix_shows(tmp_path: Any) -> None:
    assert "average forgetting 15.00 points" in str(MATRIX)
    assert MATRIX.to_json()["rows"][2] == [0.5, 0.9, 0.7]
    MATRIX.plot().savefig(tmp_path / "matrix.png")
    with pytest.raises(ConfigError, match="row i needs"):
        TaskMatrix([[0.5], [0.5]])


def test_classes_are_split_and_relabelled() -> None:
    data = ac.load_data()
    tasks = split_classes(data, 5)
    assert [task.classes for task in tasks] == [2] * 5
    for index, task in enumerate(tasks):
        assert isinstance(task.train, TensorSource)
        rows = (data.train.labels == 2 * index) | (data.train.labels == 2 * index + 1)
        assert torch.equal(task.train.images, data.train.images[rows])  # type: ignore[attr-defined]
        assert torch.equal(task.train.labels, data.train.labels[rows] - 2 * index)
    assert sum(len(task.test) for task in tasks) == len(data.test)  # type: ignore[arg-type]
    shuffled = split_classes(data, 5, seed=1)
    assert sorted(", ".join(t.name for t in shuffled).split(", ")) == [str(c) for c in range(10)]
    assert [t.name for t in shuffled] == [t.name for t in split_classes(data, 5, seed=1)]
    for count in (3, 10, 0):
        with pytest.raises(ConfigError, match=f"into {count} tasks"):
            split_classes(data, count)


def texts() -> TextSource:
    """Sixteen texts of four classes, each of the token 5 + class and padding."""
    labels = torch.arange(16) % 4
    lengths = 3 + torch.arange(16) % 5
    ids = torch.zeros(16, 7, dtype=torch.int16)
    for row, length, label in zip(ids, lengths.tolist(), labels.tolist(), strict=True):
        row[:length] = 5 + label
    return TextSource(ids, lengths, labels)


def test_texts_are_split_and_learned() -> None:
    """As images are: relabelled from 0, each text by its class; replay keeps tokens."""
    data = Splits(texts(), texts(), texts(), ["a", "b", "c", "d"], (), (), "texts")  # type: ignore[arg-type]
    parts = split_classes(data, 2)
    assert [task.name for task in parts] == ["a, b", "c, d"]
    for task, words in zip(parts, ([5, 6], [7, 8]), strict=True):
        (ids, labels), = task.train.batches(16)  # type: ignore[union-attr]  # fmt: skip
        assert ids[:, 0].tolist() == [words[label] for label in labels.tolist()]
    learned = ac.models.Encoder(
        depth=2, width=8, vocabulary=9, length=7, classes=2, heads=2, weight_std=0.35
    )
    replay = Replay(examples=4)
    stream = learn(learned, parts, config(epochs=15, lr=1e-2), protect=replay)
    assert stream.matrix().rows[1] == [1.0, 1.0]
    assert [inputs.dtype for inputs, *_ in replay.memory] == [torch.int64] * 2
    with pytest.raises(ConfigError, match="0 classes cannot be split"):
        split_classes(replace(data, classes=[]), 2)


def quarters(shift: int, examples: int = 96, seed: int = 0) -> TensorSource:
    """Bytes whose class is the brightest of three pixels, the pixels turned by ``shift``."""
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randint(0, 90, (examples, 1, 4, 4), generator=generator, dtype=torch.uint8)
    labels = torch.randint(0, 3, (examples,), generator=generator)
    for image, label in zip(pixels, labels, strict=True):
        image[0, 0, (int(label) + shift) % 3] += 150
    return TensorSource(pixels, labels)


def tasks(count: int = 2) -> list[Task]:
    """The same images with the classes turned: what a shared network learns, it unlearns."""
    return [
        Task(f"turn {i}", quarters(i), quarters(i, 48, 1), quarters(i, 48, 2), 3)
        for i in range(count)
    ]


def net(seed: int = 0) -> ac.Network:
    return make("mlp", "acn", seed, width=16)


SETTINGS = config(epochs=20, lr=1e-2)


def test_the_first_task_is_an_ordinary_fit() -> None:
    plain, streamed = net(), net()
    quiet_fit(plain, quarters(0), None, SETTINGS)
    stream = learn(streamed, tasks(1), SETTINGS)
    assert same(weights(plain), weights(streamed))
    assert stream.test[0][0] == ac.probe(plain, quarters(0, 48, 2)).scores
    assert stream.matrix().rows == [[stream.test[0][0][-1]]]


def test_each_task_has_its_own_head_and_is_scored_with_it() -> None:
    learned = net()
    stream = learn(learned, tasks(), SETTINGS)
    assert len({id(head) for head in stream.heads}) == 2
    assert stream.heads[1] is learned.head
    assert all(p.requires_grad for head in stream.heads for p in head.parameters())
    for task in (0, 1):
        view = stream.network(learned, task)
        assert stream.test[1][task] == ac.probe(view, quarters(task, 48, 2)).scores
        assert stream.matrix(depth=2).rows[1][task] == stream.test[1][task][2]
        assert stream.matrix(split="validation").rows[1][task] == stream.validation[1][task][-1]
    assert stream.matrix().rows[1][1] > 0.9


def test_the_first_head_is_left_alone_by_the_second_task() -> None:
    learned = net()
    one = learn(net(), tasks(1), SETTINGS)
    two = learn(learned, tasks(2), SETTINGS)
    assert same(weights(one.heads[0]), weights(two.heads[0]))


@pytest.mark.parametrize(
    "protect",
    [ac.SynapticIntelligence(strength=1.0), ac.ElasticWeightConsolidation(), Replay()],
    ids=["si", "ewc", "replay"],
)
def test_protection_forgets_less(protect: Any) -> None:
    naive = learn(net(), tasks(), SETTINGS).matrix()
    kept = learn(net(), tasks(), SETTINGS, protect=protect).matrix()
    assert naive.average_forgetting > 0.2
    assert kept.average_forgetting < naive.average_forgetting


def test_a_released_head_is_not_pulled() -> None:
    protect = ac.SynapticIntelligence()
    learned = net()
    learn(learned, tasks(1), SETTINGS, protect=protect)
    assert protect.importance
    assert not any(name.startswith("head.") for name in (*protect.importance, *protect.anchor))
    before = float(protect.penalty(learned).detach())  # type: ignore[union-attr]
    with torch.no_grad():
        for parameter in learned.head.parameters():
            parameter.add_(1.0)
    assert float(protect.penalty(learned).detach()) == before  # type: ignore[union-attr]


def test_replay_is_the_loss_of_old_examples_through_their_head() -> None:
    learned, old = net(), nn.Sequential(nn.LayerNorm(16), nn.Linear(16, 3))
    data = quarters(0, 8)
    replay = Replay(examples=8, batch=8, strength=2.0)
    assert replay.penalty(learned) is None
    learned.preprocess = {"scale": 1 / 255, "mean": [0.0], "std": [1.0]}
    mine = learned.head
    learned.head = old
    replay.consolidate(learned, data)
    learned.head = mine
    logits = with_head(learned, old)(data.images.float() / 255)
    by_hand = 2.0 * nn.functional.cross_entropy(logits, data.labels)
    torch.testing.assert_close(replay.penalty(learned), by_hand)


def test_a_view_with_another_head_shares_the_rest() -> None:
    first = net()
    head = nn.Sequential(nn.LayerNorm(16), nn.Linear(16, 3))
    view = with_head(first, head)
    assert view.trunk is first.trunk
    assert first.head is not head
    assert torch.equal(view(images()), head(first.trunk(first.stem(images()))))


def test_what_is_refused() -> None:
    with pytest.raises(ConfigError, match="at least one task"):
        learn(net(), [])
    wrong = Task("pairs", quarters(0), quarters(0), quarters(0), 2)
    with pytest.raises(ConfigError, match="'pairs' has 2 classes, the network 3"):
        learn(net(), [wrong])
    with pytest.raises(ConfigError, match="too few"):
        Replay(examples=0)


class Host(nn.Module):
    """A network of no library, whose head is a part of it."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.head = nn.Linear(4, 8), nn.Linear(8, 3)
        layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        self.layers = nn.ModuleList([layer])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.embed(x.flatten(1, 2))
        for layer in self.layers:
            x = layer(x)
        return self.head(x.mean(1))  # type: ignore[no-any-return]


def test_networks_without_one_head_are_refused_before_a_step() -> None:
    """The last depth of a branched network is read by a head that no task would replace."""
    converted = ac.convert(Host().eval(), "residual", example=images())
    converted.config["classes"] = 3
    for learned in (converted, make("branched", "acn")):
        before = weights(learned)
        with pytest.raises(ConfigError, match=f"not one module .* {type(learned).__name__}"):
            learn(learned, tasks(), SETTINGS)
        assert same(before, weights(learned))


@pytest.mark.parametrize(
    "options",
    [
        {"path": ac.PathConfig()},
        {"live": ac.LiveConfig()},
        {"grow": ac.GrowConfig()},
        {"cut": ac.CutConfig(layers=(2,))},
    ],
    ids=lambda options: str(*options),
)
def test_what_would_change_the_network_in_each_task_is_refused(options: Any) -> None:
    (name,) = options
    with pytest.raises(ConfigError, match=rf"fit\.{name} changes the network"):
        learn(net(), tasks(), replace(SETTINGS, **options))


@pytest.mark.parametrize(
    ("make_one", "words"),
    [
        (lambda: ac.ElasticWeightConsolidation(examples=0), "examples 0 must be at least 1"),
        (lambda: ac.ElasticWeightConsolidation(examples=-1), "examples -1 must be at least 1"),
        (lambda: ac.ElasticWeightConsolidation(strength=-2.0), "must be 0 or more"),
        (lambda: ac.SynapticIntelligence(strength=float("nan")), "strength nan must be 0 or more"),
        (lambda: ac.SynapticIntelligence(damping=0.0), "damping 0.0 must be above 0"),
        (lambda: ac.SynapticIntelligence(damping=float("inf")), "damping inf must be above 0"),
        (lambda: Replay(strength=-1.0), "strength -1.0 must be 0 or more"),
    ],
)
def test_numbers_that_protect_nothing(make_one: Any, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        make_one()


def test_the_matrix_is_of_depths_that_exist() -> None:
    curves = [[0.2, 0.5], [0.4, 0.7]]
    stream = Stream(["a", "b"], test=[curves[:1], curves])
    assert stream.matrix(depth=0).rows == [[0.2], [0.2, 0.4]]
    for depth in (2, -1):
        with pytest.raises(DepthError, match=f"depth {depth} is out of range.*0..1"):
            stream.matrix(depth=depth)


def trained_on(protect: Any, learned: ac.Network, shift: int, **options: Any) -> None:
    quiet_fit(learned, quarters(shift, 32), None, config(epochs=2, **options), hooks=[protect])


PULLS = [lambda: ac.SynapticIntelligence(strength=2.0), ac.ElasticWeightConsolidation]


@pytest.mark.parametrize("protection", PULLS, ids=["si", "ewc"])
@pytest.mark.parametrize("rule", ["hacn", "per-channel", "denseformer"])
def test_a_cut_between_the_tasks_shortens_what_is_protected(protection: Any, rule: str) -> None:
    """The pull by hand: what mattered of the gates that are left, each moved by one."""
    protect, learned = protection(), make("mlp", rule)
    trained_on(protect, learned, 0)
    protect.consolidate(learned, quarters(0, 32))
    whole = dict(protect.importance)
    small = ac.cut(learned, 2)
    expected = 0.0
    with torch.no_grad():
        for name, gate in small.trunk.connectivity.named_parameters():
            gate.add_(1.0)
            mattered = whole[f"trunk.connectivity.{name}"]
            expected += float(mattered[tuple(slice(size) for size in gate.shape)].sum())
    assert expected > 0
    found = float(protect.penalty(small).detach())
    assert found == pytest.approx(protect.strength * expected, rel=1e-4)


@pytest.mark.parametrize("protection", PULLS, ids=["si", "ewc"])
@pytest.mark.parametrize("rule", ["hacn", "denseformer"])
def test_a_cut_within_a_task_goes_on(protection: Any, rule: str) -> None:
    protect, learned = protection(), make("mlp", rule)
    trained_on(protect, learned, 0)
    protect.consolidate(learned, quarters(0, 32))
    trained_on(protect, learned, 1, cut=ac.CutConfig(at=(0.5,), layers=(2,)))
    protect.consolidate(learned, quarters(1, 32))
    assert learned.depth == 2
    for name, gate in learned.trunk.connectivity.named_parameters():
        assert torch.equal(protect.anchor[f"trunk.connectivity.{name}"], gate)
        assert protect.importance[f"trunk.connectivity.{name}"].shape == gate.shape


def test_another_network_needs_a_protection_of_its_own() -> None:
    protect, learned = ac.SynapticIntelligence(), net()
    trained_on(protect, learned, 0)
    protect.consolidate(learned, quarters(0, 32))
    with pytest.raises(ConfigError, match="another network needs a protection of its own"):
        trained_on(protect, make("mlp", "acn", width=24), 1)


@pytest.mark.parametrize("protection", PULLS, ids=["si", "ewc"])
def test_weights_that_rested_for_a_task_are_pulled_after_it(protection: Any) -> None:
    """They were anchored before, and have not moved since."""
    protect, learned = protection(), net()
    trained_on(protect, learned, 0)
    protect.consolidate(learned, quarters(0, 32))
    learned.stem.requires_grad_(False)
    trained_on(protect, learned, 1)
    protect.consolidate(learned, quarters(1, 32))
    learned.stem.requires_grad_(True)
    with torch.no_grad():
        before = float(protect.penalty(learned))
        assert before == pytest.approx(0)
        for weight in learned.stem.parameters():
            weight.add_(1.0)
        mattered = sum(float(v.sum()) for k, v in protect.importance.items() if "stem" in k)
        assert float(protect.penalty(learned)) == pytest.approx(protect.strength * mattered, 1e-4)


def test_weights_that_join_in_the_middle_of_a_task_matter_from_there() -> None:
    protect, learned = ac.SynapticIntelligence(), net()
    learned.stem.requires_grad_(False)
    trained_on(protect, learned, 0)
    learned.stem.requires_grad_(True)
    trained_on(protect, learned, 0)
    protect.consolidate(learned, quarters(0, 32))
    assert all(float(v.sum()) > 0 for k, v in protect.importance.items() if "stem" in k)
    assert any("stem" in name for name in protect.importance)


def test_what_is_frozen_in_a_head_is_frozen_in_all_heads() -> None:
    learned = net()
    norm, linear = learned.head
    norm.requires_grad_(False)
    stream = learn(learned, tasks(), config(epochs=1), protect=Replay())
    for head in stream.heads:
        assert [p.requires_grad for p in head.parameters()] == [False, False, True, True]
    assert linear.weight.requires_grad


def test_a_stream_that_fails_leaves_no_head_frozen(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: object) -> None:
        raise KeyboardInterrupt

    learned = net()
    monkeypatch.setattr("autocompress.continual.stream.probe", failing)
    with pytest.raises(KeyboardInterrupt):
        learn(learned, tasks(), config(epochs=1))
    assert all(p.requires_grad for p in learned.parameters())


def test_a_stream_is_learned_within_inference_mode() -> None:
    net = ac.models.MLP(depth=2, width=8, classes=2)
    with torch.inference_mode():
        learn(net, split_classes(ac.load_data(), 5)[:2], ac.FitConfig(epochs=1))
    assert not any(p.is_inference() for p in net.parameters())
