"""What report.json holds of every depth: answers, classes, changing examples, costs."""

from __future__ import annotations

import base64
import io
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import autocompress as ac
from autocompress.data import DataConfig, load_data
from autocompress.data.tokenizer import train_tokenizer
from autocompress.data.tokens import TextSource
from autocompress.depth import DepthCurve
from autocompress.depth.answers import Answers
from autocompress.pipeline.costs import run_costs
from autocompress.pipeline.exploring import (
    changing_examples,
    class_tables,
    intervals,
)


@pytest.fixture(scope="module")
def data() -> Any:
    return load_data(DataConfig(name="digits"))


@pytest.fixture(scope="module")
def net(data: Any) -> Any:
    torch.manual_seed(3)
    return ac.models.MLP(depth=3, width=16, **data.arguments)


@pytest.fixture(scope="module")
def curve(net: Any, data: Any) -> DepthCurve:
    return ac.probe(net, data.test, answers=True)


def test_answers_are_those_that_were_scored(curve: DepthCurve, data: Any) -> None:
    assert curve.answers is not None
    right = curve.answers.classes == data.test.labels[:, None]
    assert torch.equal(right, curve.hits)
    assert curve.answers.probabilities.shape == curve.hits.shape
    assert float(curve.answers.probabilities.min()) >= 0.1  # the likeliest of ten classes


def test_answers_of_a_cut_network_are_those_of_its_depth(
    curve: DepthCurve, net: Any, data: Any
) -> None:
    small = ac.probe(ac.cut(net, 2), data.test, answers=True)
    assert small.answers is not None
    assert curve.answers is not None
    assert torch.equal(small.answers.classes, curve.answers.classes[:, :3])


def test_a_probe_keeps_no_answers_unless_asked(net: Any, data: Any) -> None:
    assert ac.probe(net, data.test).answers is None


def known(answers: list[list[int]], probabilities: float = 0.9) -> DepthCurve:
    """A curve of a network with these answers."""
    classes = torch.tensor(answers)
    hits = torch.zeros(classes.shape, dtype=torch.bool)
    sure = torch.full(classes.shape, probabilities)
    return DepthCurve(hits, [1], [1], answers=Answers(classes.int(), sure))


def pictures(labels: list[int], names: list[str], data: Any) -> Any:
    """The digits' data with this test split."""
    images = torch.arange(len(labels) * 64).remainder(256).byte().view(-1, 1, 8, 8)
    return replace(data, test=type(data.test)(images, torch.tensor(labels)), classes=names)


def test_class_tables_by_hand(data: Any) -> None:
    names = ["a", "b", "c"]
    three = {split: pictures([0, 0, 1], names, data).test for split in ("train", "validation")}
    some = replace(pictures([0, 0, 1], names, data), **three)
    tables = class_tables(some, known([[0, 0], [1, 0], [1, 2]]), 1)
    assert tables is not None
    assert tables["names"] == names
    assert tables["counts"]["test"] == [2, 1, 0]
    assert tables["accuracy"] == [[0.5, 1.0, None], [1.0, 0.0, None]]
    assert tables["shown"] == [0, 1, 2]
    assert tables["confusion"][0] == [[1, 1, 0], [0, 1, 0], [0, 0, 0]]
    assert tables["confusion"][1] == [[2, 0, 0], [0, 0, 1], [0, 0, 0]]


def test_a_matrix_shows_the_classes_with_the_most_errors(data: Any) -> None:
    labels = list(range(60))
    wrong = [[(k + 1) % 60 if k >= 25 else k] for k in labels]
    some = pictures(labels, [f"class {k}" for k in labels], data)
    some = replace(some, train=some.test, validation=some.test)
    tables = class_tables(some, known(wrong), 0)
    assert tables is not None
    assert len(tables["shown"]) == 50
    assert set(range(25, 60)) <= set(tables["shown"])
    assert len(tables["accuracy"][0]) == 60


def test_no_class_tables_where_answers_are_no_classes(data: Any, curve: DepthCurve) -> None:
    assert class_tables(data, replace(curve, answers=None), 1) is None
    assert changing_examples(data, replace(curve, answers=None), 1) == []


def test_examples_that_change_come_first(data: Any) -> None:
    #          settled    only full right   only kept right  changes, always wrong
    answers = [[1, 1, 1], [0, 0, 1], [0, 1, 0], [0, 2, 3]]
    some = pictures([1, 1, 1, 1], ["a", "b", "c", "d"], data)
    found = changing_examples(some, known(answers), 1)
    assert [example["index"] for example in found] == [1, 2, 3]
    assert found[0]["answers"] == [0, 0, 1]
    assert found[0]["label"] == 1
    head, _, code = found[0]["picture"].partition(",")
    assert head == "data:image/png;base64"
    picture = Image.open(io.BytesIO(base64.b64decode(code)))
    assert np.asarray(picture).flatten().tolist() == some.test.images[1].flatten().tolist()


def test_examples_are_bounded(data: Any) -> None:
    many = pictures([0] * 100, ["a", "b"], data)
    assert len(changing_examples(many, known([[0, 0, 1]] * 100), 1)) == 24
    large = torch.zeros(2, 3, 200, 100, dtype=torch.uint8)
    some = replace(many, test=type(data.test)(large, torch.tensor([0, 0])))
    uri = changing_examples(some, known([[0, 0, 1]] * 2), 1)[0]["picture"]
    assert uri.startswith("data:image/jpeg;base64,")
    assert Image.open(io.BytesIO(base64.b64decode(uri.split(",")[1]))).size == (32, 64)


def test_texts_are_shown_as_text_and_cut_short() -> None:
    pytest.importorskip("tokenizers", reason="needs tokenizers")
    said = ["a good film and a story", "word " * 200]
    tokenizer = train_tokenizer([said], 200)
    rows = tokenizer.encode(said)
    wide = max(map(len, rows))
    ids = torch.tensor([[*row, *[0] * (wide - len(row))] for row in rows])
    source = TextSource(ids, torch.tensor([len(row) for row in rows]), torch.tensor([1, 0]))
    some = SimpleNamespace(test=source, classes=["bad", "good"], tokenizer=tokenizer)
    found = changing_examples(some, known([[0, 0, 1], [0, 1, 0]]), 1)  # type: ignore[arg-type]
    texts = {example["index"]: example["text"] for example in found}
    assert texts[0] == said[0]
    assert texts[1].startswith("word word")
    assert len(texts[1]) == 280
    assert [example["picture"] for example in found] == [None, None]


def test_every_depth_is_measured_as_the_network_cut_there(net: Any, data: Any) -> None:
    example = data.normalise(data.test.images[:3])
    _, rows = run_costs({"full": net}, example, None)
    assert [row["bytes"] for row in rows] == [
        ac.measure(ac.cut(net, k), example, latency=False).bytes for k in range(4)
    ]
    for row in rows:
        for batch in ("1", "256"):
            low, high = row["latency_spread_ms"][batch]
            assert 0 < low <= row["latency_ms"][batch] <= high


@pytest.mark.parametrize("kept", [1, 3, None])
def test_a_network_that_is_a_depth_has_one_time(net: Any, data: Any, kept: int | None) -> None:
    """What a tile of the report shows is what its table shows."""
    example = data.normalise(data.test.images[:3])
    other = ac.models.MLP(depth=1, width=16, **data.arguments)
    nets = {"full": net, "small": ac.cut(net, kept or 2), "shallow": other}
    costs, rows = run_costs(nets, example, kept)
    for batch in ("1", "256"):
        times = {name: cost.to_json()["latency_ms"][batch] for name, cost in costs.items()}
        assert rows[3]["latency_ms"][batch] == times["full"]
        assert rows[3]["latency_ratio"][batch] == [1, 1, 1]
        assert (rows[kept or 2]["latency_ms"][batch] == times["small"]) == (kept is not None)
        assert times["shallow"] not in [row["latency_ms"][batch] for row in rows]
    assert costs["small"].peak_memory_bytes > 0


def test_intervals_contain_the_score(curve: DepthCurve) -> None:
    for (low, high), score in zip(intervals(curve), curve.scores, strict=True):
        assert 0 <= low <= score <= high <= 1
