"""``accumulate``: several small batches make the step of one large batch."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

import autocompress as ac
from autocompress.errors import ConfigError, InterruptedRunError
from autocompress.training.hooks import Hook
from models_table import make


class Gradients(Hook):
    """Keeps the gradients of every step."""

    def __init__(self) -> None:
        self.seen: list[torch.Tensor] = []

    def before_step(self, net: ac.Network) -> None:
        grads = [p.grad.flatten() for p in net.parameters() if p.grad is not None]
        self.seen.append(torch.cat(grads).clone())


class StopAfter(Hook):
    """Sends Ctrl-C after a number of steps."""

    def __init__(self, steps: int) -> None:
        self.left = steps

    def after_step(self, net: ac.Network) -> None:
        import signal

        self.left -= 1
        if self.left == 0:
            signal.raise_signal(signal.SIGINT)


def data() -> torch.utils.data.TensorDataset:
    generator = torch.Generator().manual_seed(0)
    pictures = torch.randn(100, 1, 4, 4, generator=generator)
    return torch.utils.data.TensorDataset(pictures, torch.arange(100) % 3)


def trained(
    batch_size: int, accumulate: int, hooks: tuple[Hook, ...] = (), **more: object
) -> tuple[ac.Network, ac.training.Run]:
    torch.manual_seed(1)
    net = ac.models.MLP(depth=3, width=8, classes=3, image_size=4, channels=1)
    config = ac.FitConfig(
        epochs=2, batch_size=batch_size, accumulate=accumulate, warmup_epochs=0, clip_norm=0.5
    )
    run = ac.fit(net, data(), config=config, hooks=hooks, progress=False, **more)  # type: ignore
    return net, run


def test_gradients_are_those_of_the_large_batch() -> None:
    """100 examples make three steps of 32; the last four examples are left out of both."""
    small, large = Gradients(), Gradients()
    net, run = trained(8, 4, (small,))
    other, known = trained(32, 1, (large,))
    assert len(small.seen) == len(large.seen) == 6
    for one, two in zip(small.seen, large.seen, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-6)
    for one, two in zip(net.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(one, two, rtol=1e-3, atol=1e-5)
    losses = [[record["loss"] for record in each.history] for each in (run, known)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_batches_of_unequal_sizes_count_by_their_examples() -> None:
    """A DataLoader's last batch is shorter: 3 batches of 8, 8 and 4 equal one of 20."""
    few = torch.utils.data.Subset(data(), range(20))
    seen = []
    for size, accumulate in ((8, 3), (20, 1)):
        torch.manual_seed(1)
        net = ac.models.MLP(depth=2, width=8, classes=3, image_size=4, channels=1)
        hook = Gradients()
        config = ac.FitConfig(epochs=1, accumulate=accumulate)
        loader = torch.utils.data.DataLoader(few, size)
        ac.fit(net, loader, config=config, hooks=[hook], progress=False)
        seen.append(hook.seen)
    assert len(seen[0]) == len(seen[1]) == 1
    torch.testing.assert_close(seen[0][0], seen[1][0], rtol=1e-4, atol=1e-6)


@given(labels=st.lists(st.sampled_from([-100, 0, 1, 2]), min_size=8, max_size=8))
@settings(max_examples=15, deadline=None)
@example(labels=[0, -100, 2, -100, -100, 1, -100, -100])
@example(labels=[1] + [-100] * 7)
@example(labels=[-100] * 8)
def test_examples_without_a_label_count_nothing(labels: list[int]) -> None:
    """Whatever batch they are in, and if a batch has no others; a set without labels is refused."""
    pictures = torch.randn(8, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    rows = torch.utils.data.TensorDataset(pictures, torch.tensor(labels))
    found = []
    for size, accumulate in ((8, 1), (4, 2), (2, 4)):
        torch.manual_seed(1)
        net = ac.models.MLP(depth=2, width=8, classes=3, image_size=4, channels=1)
        hook, plan = Gradients(), ac.FitConfig(epochs=1, batch_size=size, accumulate=accumulate)
        if set(labels) == {-100}:
            with pytest.raises(ac.errors.DataError, match="every label of the train"):
                ac.fit(net, rows, config=plan, hooks=[hook], progress=False)
            continue
        run = ac.fit(net, rows, config=plan, hooks=[hook], progress=False)
        found.append([*hook.seen, torch.tensor(run.history[0]["loss"])])
    for one in found[1:]:
        torch.testing.assert_close(one, found[0], rtol=1e-4, atol=1e-6)


def test_tokens_of_a_batch_without_labels_count_nothing() -> None:
    torch.manual_seed(0)
    tokens = torch.randint(9, (4, 6))
    labels = torch.full((4, 6), -100)
    labels[2, 3], labels[3, 1] = 4, 5
    seen = []
    for size, accumulate in ((4, 1), (1, 4)):
        hook = Gradients()
        plan = ac.FitConfig(epochs=1, batch_size=size, accumulate=accumulate)
        net, rows = make("encoder", "residual"), torch.utils.data.TensorDataset(tokens, labels)
        ac.fit(net, rows, config=plan, hooks=[hook], progress=False)
        seen.append(hook.seen[0])
    torch.testing.assert_close(seen[1], seen[0], rtol=1e-4, atol=1e-6)


def padded(*lengths: int) -> torch.utils.data.TensorDataset:
    """Return texts of these lengths, padded with 0, with labels."""
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(1, 20, (len(lengths), 12), generator=generator)
    for row, length in zip(tokens, lengths, strict=True):
        row[length:] = 0
    return torch.utils.data.TensorDataset(tokens, torch.arange(len(lengths)) % 3)


def student_and_teacher() -> tuple[ac.Network, ac.Teacher]:
    torch.manual_seed(0)
    student, teacher = (
        ac.models.Encoder(
            depth, 16, vocabulary=20, length=12, classes=3, heads=2, connectivity="residual"
        )
        for depth in (2, 4)
    )
    return student, ac.Teacher(teacher, hidden=10.0)


def test_hidden_states_of_padded_texts_count_by_token() -> None:
    """A batch of short texts weighs as much as its tokens do in the large batch."""
    found = []
    for size, accumulate in ((8, 1), (4, 2), (1, 8)):
        hook, (net, teacher) = Gradients(), student_and_teacher()
        plan = ac.FitConfig(epochs=1, batch_size=size, accumulate=accumulate)
        run = ac.fit(
            net,
            padded(12, 2, 12, 3, 1, 1, 2, 12),
            config=plan,
            hooks=[hook],
            teacher=teacher,
            progress=False,
        )
        found.append([hook.seen[0], torch.tensor(run.history[0]["loss"])])
    for one in found[1:]:
        torch.testing.assert_close(one, found[0], rtol=1e-4, atol=1e-6)


def test_a_text_of_padding_alone_teaches_no_hidden_state() -> None:
    net, teacher = student_and_teacher()
    plan = ac.FitConfig(epochs=1, batch_size=1)
    run = ac.fit(net, padded(3, 0, 2), config=plan, teacher=teacher, progress=False)
    assert math.isfinite(run.history[0]["loss"])


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_step_without_labels_teaches_nothing(accumulate: int, smoothing: float) -> None:
    """Its loss and its gradients are 0, and the steps beside it are as without it."""
    torch.manual_seed(0)
    tokens = torch.randint(9, (4, 6))
    labels = torch.full((4, 6), -100)
    labels[:2, 3] = 4
    rows = torch.utils.data.TensorDataset(tokens, labels)
    loader = torch.utils.data.DataLoader(rows, 2 // accumulate)  # in their order
    hook, net = Gradients(), make("encoder", "residual")
    plan = ac.FitConfig(
        epochs=1,
        accumulate=accumulate,
        label_smoothing=smoothing,
        distil=ac.DistilConfig(teacher="labels"),
    )
    run = ac.fit(net, loader, config=plan, hooks=[hook], progress=False)
    first, second = hook.seen
    assert bool(first.any())
    assert not bool(second.any())
    alone = torch.utils.data.DataLoader(torch.utils.data.Subset(rows, [0, 1]), 2)
    known = ac.fit(make("encoder", "residual"), alone, config=replace(plan, accumulate=1))
    assert 2 * run.history[0]["loss"] == pytest.approx(known.history[0]["loss"], rel=1e-5)


def test_it_resumes_within_an_epoch(tmp_path: Path) -> None:
    net, run = trained(8, 4)
    with pytest.raises(InterruptedRunError):
        trained(8, 4, (StopAfter(2),), run=tmp_path / "run")
    resumed, again = trained(8, 4, (StopAfter(9),), run=tmp_path / "run", resume=True)
    assert [record["loss"] for record in again.history] == [
        record["loss"] for record in run.history
    ]
    for one, two in zip(net.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(one, two)


def test_what_it_refuses() -> None:
    with pytest.raises(ConfigError, match="accumulate 0 must be greater than 0"):
        ac.FitConfig(accumulate=0)
    config = ac.FitConfig(batch_size=8, accumulate=4, steps_per_epoch=4)
    net = ac.models.MLP(depth=1, width=4, classes=3, image_size=4, channels=1)
    with pytest.raises(ac.errors.DataError, match="more than the 3 steps"):
        ac.fit(net, data(), config=config, progress=False)
