"""Data and training as people have them: sets, streams, hooks, trackers, scores of their own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import datasets
import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

import autocompress as ac
from autocompress.errors import ConfigError, DataError, InterruptedRunError

MAPPING = {"num_labels": 3, "vocab_size": 20, "hidden_size": 8, "num_hidden_layers": 2}
MAPPING |= {"num_attention_heads": 2, "intermediate_size": 8, "hidden_dropout_prob": 0.0}
CONFIG = {"batch_size": 4, "warmup_epochs": 0.0}


def bert() -> Any:
    import transformers

    torch.manual_seed(0)
    config = transformers.BertConfig(**MAPPING, attention_probs_dropout_prob=0.0)
    return ac.convert(transformers.BertForSequenceClassification(config), "residual")


def mlp() -> Any:
    torch.manual_seed(0)
    return ac.models.MLP(depth=2, width=8, classes=3, image_size=2, channels=1)


def rows() -> list[dict[str, Any]]:
    torch.manual_seed(1)
    ids = torch.randint(3, 20, (20, 5)).tolist()
    return [{"input_ids": row, "labels": sum(row) % 3, "text": "left out"} for row in ids]


class Stream(IterableDataset[Any]):
    """What cannot be asked for its length; it notes what it was asked to be."""

    def __init__(self, rows: list[Any]) -> None:
        self.rows, self.epochs, self.given = rows, [], 0
        self.epochs: list[int] = []

    def set_epoch(self, epoch: int) -> None:
        self.epochs.append(epoch)

    def __iter__(self) -> Iterator[Any]:
        for row in self.rows:
            self.given += 1
            yield row


def train(net: Any, data: Any, validation: Any = None, **options: Any) -> Any:
    hooks, run = options.pop("hooks", ()), options.pop("run", None)
    resume = options.pop("resume", False)
    config = ac.FitConfig(**(CONFIG | {"epochs": 2} | options))
    return ac.fit(
        net, data, validation, config, hooks=hooks, run=run, resume=resume, progress=False
    )


def weights(net: Any) -> Tensor:
    return torch.cat([p.detach().flatten() for p in net.parameters()])


def test_datasets_in_each_of_their_forms() -> None:
    """A set with lists, one with tensors, and their streams; the labels among the inputs."""
    plain = datasets.Dataset.from_list(rows())
    for data in (plain, plain.with_format("torch"), rows()):
        run = train(bert(), data, data)
        assert len(run.history[-1]["depths"]) == 3
        assert ac.probe(bert(), data).hits.shape == (20, 3)
    stream = plain.to_iterable_dataset()
    for data in (stream, stream.with_format("torch"), DataLoader(stream.with_format("torch"), 4)):
        assert ac.probe(bert(), data).scores == ac.probe(bert(), plain).scores
        with pytest.raises(DataError, match=r"FitConfig\(steps_per_epoch=N\)"):
            train(bert(), data)
        assert len(train(bert(), data, plain, steps_per_epoch=3).history) == 2


def test_a_stream_trains_as_the_list_of_its_batches_in_that_order() -> None:
    """Two epochs of 7 steps over 5 batches: the second goes on where the first stopped."""
    data = rows()
    stream, streamed, listed = Stream(data), bert(), bert()
    train(streamed, stream, steps_per_epoch=7, seed=3)
    assert stream.epochs == [0, 1, 2]
    assert stream.given - 2 == 14 * 4  # those of the check before the first step aside
    order = [data[k % 20] for k in range(14 * 4)]
    train(listed, DataLoader(order, 4, collate_fn=as_batch), epochs=1, seed=3)
    assert not torch.equal(weights(streamed), weights(bert()))
    # the schedule is by steps, so one epoch of 14 and two of 7 are the same run
    torch.testing.assert_close(weights(streamed), weights(listed))


def as_batch(some: list[dict[str, Any]]) -> dict[str, Tensor]:
    return {key: torch.tensor([row[key] for row in some]) for key in ("input_ids", "labels")}


def test_a_resumed_stream_goes_on_where_it_was(tmp_path: Path) -> None:
    whole, resumed = bert(), bert()
    train(whole, Stream(rows()), steps_per_epoch=3, epochs=4)

    class Stop(ac.Hook):
        def before_epoch(self, net: Any, epoch: int, epochs: int, steps: int) -> None:
            if epoch == 3:
                raise KeyboardInterrupt

    options: dict[str, Any] = {"steps_per_epoch": 3, "epochs": 4, "run": tmp_path}
    with pytest.raises(InterruptedRunError):
        train(bert(), Stream(rows()), hooks=[Stop()], **options)

    class Go(ac.Hook):
        pass

    Go.__name__ = "Stop"
    train(resumed, Stream(rows()), hooks=[Go()], resume=True, **options)
    assert torch.equal(weights(resumed), weights(whole))


def test_what_steps_per_epoch_may_be() -> None:
    data = TensorDataset(torch.randn(20, 1, 2, 2), torch.arange(20) % 3)
    with pytest.raises(ConfigError, match="steps_per_epoch 0"):
        ac.FitConfig(steps_per_epoch=0)
    with pytest.raises(DataError, match="6 is more than the 5 batches"):
        train(mlp(), data, steps_per_epoch=6)
    with pytest.raises(DataError, match="empty"):
        train(mlp(), Stream([]), steps_per_epoch=2)

    class Steps(ac.Hook):
        taken = 0

        def after_step(self, net: Any) -> None:
            self.taken += 1

    counted = Steps()
    train(mlp(), data, steps_per_epoch=3, hooks=[counted])
    assert counted.taken == 6


def test_data_that_hold_less_than_their_length_says() -> None:
    class Short(Stream):
        def __len__(self) -> int:
            return 2 * len(self.rows)

    data = Short([(torch.randn(1, 2, 2), n % 3) for n in range(12)])
    for given in (data, DataLoader(data, 4)):
        with pytest.raises(DataError, match="ended after 3 of 6 steps.*fewer examples than"):
            train(mlp(), given)
        train(mlp(), given, steps_per_epoch=3)


def test_hooks_and_trackers_get_each_epochs_metrics(tmp_path: Path) -> None:
    data = TensorDataset(torch.randn(20, 1, 2, 2), torch.arange(20) % 3)
    records: list[Mapping[str, Any]] = []
    logged: dict[int, dict[str, float]] = {}

    class Watch(ac.Hook):
        def after_evaluation(self, net: Any, record: Mapping[str, Any]) -> None:
            records.append(record)

    def log(numbers: dict[str, float], step: int) -> None:
        logged[step] = numbers

    hooks = [Watch(), ac.Track(log)]
    run = train(mlp(), data, data, hooks=hooks, epochs=3, evaluate_every=2)
    assert records == run.history
    assert list(logged) == [1, 2, 3]
    assert set(logged[1]) == {"loss", "lr", "seconds"}
    assert logged[2]["depths/1"] == run.history[1]["depths"][1]
    assert logged[3]["validation"] == run.history[2]["validation"]


# -- a score of the user's own ---------------------------------------------------------------------


def test_a_score_of_ones_own_is_read_at_every_depth() -> None:
    """Embeddings have no classes; the right value is the function of each depth's own output."""
    import transformers

    torch.manual_seed(0)
    config = transformers.BertConfig(**{k: v for k, v in MAPPING.items() if k != "num_labels"})
    net = ac.convert(transformers.BertModel(config, add_pooling_layer=False).eval(), "acn")
    wanted = torch.randn(20, 8)
    data = [
        {"input_ids": row["input_ids"], "attention_mask": [1, 1, 1, 1, n % 2], "labels": wanted[n]}
        for n, row in enumerate(rows())
    ]

    def nearness(states: Tensor, labels: Tensor, inputs: Mapping[str, Tensor]) -> Tensor:
        mask = inputs["attention_mask"][..., None]
        mean = (states * mask).sum(1) / mask.sum(1)
        return torch.cosine_similarity(mean, labels)

    curve = ac.probe(net, data, batch_size=8, score=nearness)
    assert (curve.metric, curve.losses, curve.depth) == ("nearness", None, 2)
    inputs = {k: torch.tensor([row[k] for row in data]) for k in ("input_ids", "attention_mask")}
    with torch.no_grad():
        for depth in range(3):
            expected = nearness(net(inputs, depth=depth), wanted, inputs)
            torch.testing.assert_close(curve.hits[:, depth], expected.double())
    assert "nearness" in str(curve)
    assert curve.select(layers=1).depth == 1


@pytest.mark.parametrize(
    ("score", "error", "match"),
    [
        (lambda out, labels: out, DataError, r"returns shape \(20, 3\) for a batch of 20"),
        (lambda out, labels: out.mean(), DataError, r"returns shape \(\)"),
        (lambda out, labels: "good", DataError, "returns a str"),
        (lambda out, labels: out[:, 0] / 0, DataError, "NaN or infinity"),
        (lambda out: out, ConfigError, "is called as"),
        ("accuracy", ConfigError, "is not a function"),
    ],
)
def test_what_is_no_score(score: Any, error: type[Exception], match: str) -> None:
    data = TensorDataset(torch.randn(20, 1, 2, 2), torch.arange(20) % 3)
    with pytest.raises(error, match=match):
        ac.probe(mlp(), data, score=score)
