"""``bench``: every format by size, score and time, and ratios that admit their uncertainty."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import autocompress as ac
from autocompress.cli import main
from autocompress.deploy import Speedup, bench
from autocompress.deploy.benchmark import FORMATS
from autocompress.deploy.quantising import quantise_weights
from autocompress.errors import ConfigError, DepthError, UnknownNameError
from autocompress.measurement.timing import Timing
from models_table import images, make


def data(count: int = 12) -> torch.utils.data.TensorDataset:
    return torch.utils.data.TensorDataset(images(count), torch.arange(count) % 3)


def test_rows_and_a_format_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> tuple[object, int]:
        raise RuntimeError("no compiler here\nand a long story")

    monkeypatch.setitem(FORMATS, "compiled", broken)
    net = make("mlp", "acn")
    found = bench(
        net, data(), depths=[1, 4], formats=["eager", "compiled"], batch_sizes=[1, 3], seconds=0.2
    )
    said = found.to_json()
    assert [(row["depth"], row["format"]) for row in said["rows"]] == [
        (1, "eager"),
        (1, "compiled"),
        (4, "eager"),
        (4, "compiled"),
    ]
    first, second, full, _ = said["rows"]
    scores = ac.probe(net, data()).scores
    assert (first["score"], full["score"]) == pytest.approx((scores[1], scores[4]))
    assert first["bytes"] < full["bytes"]
    for size in ("1", "3"):
        timing = first["batch_sizes"][size]
        assert 0 < timing["p50_ms"] <= timing["p90_ms"]
        assert timing["speedup"]["low"] <= timing["speedup"]["high"]
    assert "no compiler here; torch.compile needs" in second["failure"]
    assert "long story" not in second["failure"]
    assert "depth 1, compiled: no compiler here" in str(found)


def test_an_interruption_loses_nothing_that_is_measured(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def stopped(net: ac.Network, *rest: Any) -> tuple[Any, int]:
        if net.depth == 4:
            raise KeyboardInterrupt
        return FORMATS["eager"](net, *rest)

    monkeypatch.setitem(FORMATS, "compiled", stopped)
    ac.save(make("mlp", "acn"), tmp_path / "net")
    words = ["bench", str(tmp_path / "net"), "--depths", "1", "4", "--seconds", "0.2", "--json"]
    assert main([*words, "--formats", "eager", "compiled", "--batch_sizes", "2"]) == 130
    out, errors = capsys.readouterr()
    assert out == ""  # there is no result, so what is measured stands among the messages
    (said,) = (line for line in errors.splitlines() if line.startswith("{"))
    rows = json.loads(said)["rows"]
    assert [row["batch_sizes"] != {} for row in rows] == [True, True, False]
    assert rows[2]["bytes"] > 0  # of full depth, eager was made and not yet timed


def test_a_format_that_fails_at_another_batch_size(monkeypatch: pytest.MonkeyPatch) -> None:
    def picky(net: ac.Network, *rest: Any) -> tuple[Any, int]:
        run, size = FORMATS["eager"](net, *rest)

        def once(given: Any) -> Any:
            if len(given["images"]) == 3:
                raise RuntimeError("cannot compile for 3")
            return run(given)

        return once, size

    monkeypatch.setitem(FORMATS, "pt2", picky)
    net, formats = make("mlp", "acn"), ["pt2", "eager"]
    rows = bench(net, depths=[1], formats=formats, batch_sizes=[1, 3], seconds=0.1).rows
    assert rows[0].failure == "cannot compile for 3; ship onnx"
    assert rows[1].failure == ""
    assert sorted(rows[1].times) == [1, 3]


@pytest.mark.slow
def test_every_format_computes_the_same() -> None:
    pytest.importorskip("onnxscript")
    found = bench(make("mixer", "acn"), data(), depths=[2], batch_sizes=[2], seconds=0.2).to_json()[
        "rows"
    ]
    assert [row["format"] for row in found] == list(FORMATS)
    by = {row["format"]: row for row in found}
    for name in ("onnx", "pt2", "int8", "int8-weights"):
        assert by[name]["failure"] is None
    assert by["onnx"]["score"] == by["eager"]["score"] == by["pt2"]["score"]


def test_the_threads_of_a_run_stop_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By default they spin on and slow whatever is timed next: eager took twice as long."""
    onnxruntime, stops = pytest.importorskip("onnxruntime"), []
    real = onnxruntime.InferenceSession

    def watched(path: str, options: Any, **rest: Any) -> Any:
        stops.append(options.get_session_config_entry("session.force_spinning_stop"))
        return real(path, options, **rest)

    monkeypatch.setattr(onnxruntime, "InferenceSession", watched)
    bench(make("mlp", "residual"), depths=[1], formats=["onnx"], batch_sizes=[2], seconds=0.1)
    assert stops == ["1"]


def test_weights_of_8_bits_are_rounded_by_channel(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    values = np.random.RandomState(0).randn(40, 30).astype(np.float32) * np.arange(30)
    table = np.random.RandomState(1).randn(7, 40).astype(np.float32)
    node = onnx.helper.make_node
    graph = onnx.helper.make_graph(
        [
            node("Gather", ["table", "ids"], ["x"]),
            node("MatMul", ["x", "matrix"], ["y"]),
            node("Add", ["y", "bias"], ["out"]),
        ],
        "net",
        [onnx.helper.make_tensor_value_info("ids", onnx.TensorProto.INT64, ["n"])],
        [onnx.helper.make_tensor_value_info("out", onnx.TensorProto.FLOAT, ["n", 30])],
        [
            onnx.numpy_helper.from_array(array.astype(np.float32), name)
            for name, array in (
                ("table", table),
                ("matrix", values),
                ("bias", np.full((1, 30), 0.123)),
            )
        ],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)])
    model.ir_version = 9
    onnx.save(model, tmp_path / "net.onnx")
    quantise_weights(tmp_path / "net.onnx", tmp_path / "small.onnx")
    stored = {t.name: t for t in onnx.load(tmp_path / "small.onnx").graph.initializer}
    kinds = {name: stored[name].data_type for name in ("table.int8", "matrix.int8", "bias")}
    assert kinds == {"table.int8": 3, "matrix.int8": 3, "bias": 1}

    def rounded(array: Any, axis: int) -> Any:
        scale = np.abs(array).max(axis, keepdims=True) / 127
        return np.round(array / np.where(scale == 0, 1, scale)) * scale

    session = runtime.InferenceSession(tmp_path / "small.onnx")
    ids = np.array([0, 6, 3])
    (out,) = session.run(None, {"ids": ids})
    expected = rounded(table, 1)[ids] @ rounded(values, 0) + 0.123
    np.testing.assert_allclose(out, expected, rtol=1e-4, atol=1e-4)


def test_a_ratio_is_never_better_than_its_own_uncertainty() -> None:
    base = Timing((4.0, 4.4, 3.6, 4.2, 3.8))
    sure = Speedup.of(base, Timing((2.0, 2.1, 1.9, 2.0, 2.0)))
    assert not sure.noisy
    assert sure.median == pytest.approx(2.0)
    wild = Speedup.of(base, Timing((2.0, 9.0, 1.0, 6.0, 3.0)))
    assert wild.noisy
    assert str(wild).startswith("noisy (")
    assert wild.to_json()["ratio"] is None


def test_options_that_make_no_sense() -> None:
    net = make("mlp", "acn")
    with pytest.raises(UnknownNameError, match="did you mean 'onnx'"):
        bench(net, formats=["onxn"])
    with pytest.raises(DepthError):
        bench(net, depths=[9])
    with pytest.raises(ConfigError, match="batch sizes from 1"):
        bench(net, batch_sizes=[0])
    with pytest.raises(ConfigError, match=r"ac\.convert"):
        bench(torch.nn.Linear(2, 2))  # type: ignore[arg-type]
