"""``measure``: all figures of one network, and of several side by side."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import autocompress as ac
from autocompress.errors import ConfigError, ShapeError
from autocompress.measurement import Timing, measure, measure_together, ratio
from models_table import every_model, images, inputs, make


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Tiny networks on a busy machine wait for their second thread most of the time."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def test_figures_of_a_tiny_network() -> None:
    net = ac.models.MLP(depth=2, width=4, classes=3, image_size=2, channels=1, connectivity="ffn")
    x = torch.zeros(3, 1, 2, 2)
    found = measure(net, x, (1, 8))
    assert (found.depth, found.parameters, found.flops, found.flops_paper) == (2, 99, 120, 120)
    # weights; and at the activation of the second block, 8 rows each of: the input, x_0 (the
    # trunk's argument), x_1, the norm's result, the linear layer's and the activation's
    assert found.peak_memory_bytes == 4 * 99 + 4 * 8 * (4 + 4 + 4 + 4 + 4 + 4)
    assert set(found.latency_ms) == {"1", "8"}


def test_to_json_holds_numbers_only() -> None:
    net = make("mixer", "acn")
    found = measure(net, images(), (4, 1, 1))
    read = json.loads(json.dumps(found.to_json()))
    assert read == found.to_json()
    assert list(read["latency_ms"]) == ["1", "4"]
    low, high = read["latency_spread_ms"]["4"]
    assert 0 < low <= read["latency_ms"]["4"] <= high
    assert "latency, batch 4" in str(found)


def test_latency_left_out() -> None:
    found = measure(make("mlp", "acn"), images(), latency=False)
    assert found.to_json()["latency_ms"] == {"1": None, "256": None}
    assert found.to_json()["latency_spread_ms"] == {"1": None, "256": None}
    assert "not measured" in str(found)


@every_model
def test_bytes_are_those_of_the_file(model: str, tmp_path: Path) -> None:
    net = make(model, "learned")
    ac.save(net, tmp_path / "net")
    on_disk = (tmp_path / "net" / "model.safetensors").stat().st_size
    assert measure(net, inputs(model), (1,), latency=False).bytes == on_disk


def test_several_networks_are_timed_in_the_same_rounds() -> None:
    net = make("mixer", "acn").train()
    found = measure_together({"full": net, "small": net.cut(1)}, images(), (2,))
    full, small = found["full"].latency_ms["2"], found["small"].latency_ms["2"]
    assert isinstance(full, Timing)
    assert isinstance(small, Timing)
    assert ratio(small, full) < 1
    assert found["small"].parameters < found["full"].parameters
    assert net.training


def test_bad_requests() -> None:
    net = make("mlp", "acn")
    with pytest.raises(ConfigError, match="batch sizes"):
        measure(net, images(), ())
    with pytest.raises(ConfigError, match="each at least 1"):
        measure(net, images(), (0, 2))
    with pytest.raises(ConfigError, match="holds no input"):
        measure(net, torch.zeros(0, 1, 4, 4))
    with pytest.raises(ShapeError, match="takes"):
        measure(net, torch.zeros(1, 3, 4, 4))
    with pytest.raises(ConfigError, match=r"2 devices \(cpu, meta\)"):
        measure_together({"a": net, "b": net.cut(1).to("meta")}, images())
