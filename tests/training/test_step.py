"""A training step neither waits for the device nor copies from the host, and compiles to one graph.

There is no GPU in these tests. ``meta`` is the device instead: what would wait for it raises
there, and a dispatch mode sees each copy that crosses between it and the CPU.
"""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

import autocompress as ac
from autocompress.connectivity import make_rule
from autocompress.data import Augment, TensorSource
from autocompress.training.inputs import Normalise, batches
from marks import slow_but

WAITS = (torch.ops.aten._local_scalar_dense.default, torch.ops.aten.nonzero.default)


class Watch(TorchDispatchMode):
    """Counts what waits for a device (``waits``) and what crosses devices (``copies``)."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.aten._sample_dirichlet.default and args[0].is_meta:
            return torch.empty_like(args[0])  # torch has no meta kernel for it
        out = func(*args, **(kwargs or {}))
        if func in WAITS:
            self.seen["waits"] += 1
        devices = {t.device.type for t in (*args, out) if isinstance(t, torch.Tensor)}
        if len(devices) > 1:
            self.seen["copies"] += 1
        return out


def images(n: int = 64, classes: int = 4) -> TensorSource:
    torch.manual_seed(0)
    pixels = torch.randint(0, 256, (n, 3, 8, 8), dtype=torch.uint8)
    return TensorSource(pixels, torch.arange(n) % classes)


def mixer(**options: Any) -> ac.Network:
    torch.manual_seed(1)
    return ac.models.Mixer(
        **{"depth": 3, "width": 16, "classes": 4, "image_size": 8, "patch_size": 4, "channels": 3}
        | options
    )


AUGMENT = ac.AugmentConfig(crop_padding=2, flip=True, cutmix=0.5, mixup=0.3, cutmix_beta=0.7)


def test_watch_sees_a_wait_and_a_copy() -> None:
    with Watch() as watch:
        float(torch.ones(()))
        torch.ones(3).to("meta")
    assert watch.seen == {"waits": 1, "copies": 1}


@pytest.mark.parametrize("seed", range(6))  # some draw CutMix, some MixUp, some neither
def test_augmentation_stays_on_the_device(seed: int) -> None:
    torch.manual_seed(seed)
    augment = Augment(AUGMENT, classes=4)
    pixels = torch.empty(8, 3, 8, 8, device="meta")
    labels = torch.empty(8, dtype=torch.long, device="meta")
    normalise = Normalise({"scale": 1 / 255, "mean": [0.5] * 3, "std": [0.2] * 3}, pixels.device)
    with Watch() as watch:
        out, targets = augment.mix(normalise(augment.pixels(pixels)), labels)
    assert out.device.type == targets.device.type == "meta"
    assert not watch.seen


def test_an_epoch_of_batches_is_one_copy() -> None:
    source = images().to("meta")
    with Watch() as watch:
        number = sum(1 for _ in batches(source, 8, torch.device("meta"), torch.randperm(64)))
    assert number == 8
    assert watch.seen == {"copies": 1}  # the order of the epoch


@pytest.mark.parametrize("values", [0.5, [0.5, 0.5, 0.5], [0.1, 0.2, 0.3]])
def test_gates_move_without_a_copy(values: Any) -> None:
    rule = make_rule({"name": "plane", "short": 1.0, "long": 0.0, "gates": "scheduled"}, 3)
    rule.to("meta")
    with Watch() as watch:
        rule.move(values, values)
    assert not watch.seen
    here = make_rule({"name": "plane", "short": 1.0, "long": 0.0, "gates": "scheduled"}, 3)
    here.move(values, values)
    expected = torch.tensor(values).expand(3)
    assert torch.equal(here.gates.short, expected)
    assert torch.equal(here.gates.long, expected)


@pytest.mark.parametrize(
    "options", slow_but([{}, {"path": ac.PathConfig(order="top")}, {"ema": 0.9}], [{}])
)
def test_only_the_check_of_the_loss_reads_a_number(options: dict[str, Any]) -> None:
    """Twice the steps read no more numbers: the loss is looked at every 50 steps and at the end."""

    def waits(examples: int) -> int:
        config = ac.FitConfig(epochs=1, batch_size=4, clip_norm=1.0, **options)
        with Watch() as watch:
            ac.fit(mixer(), images(examples), config=config, augment=AUGMENT, progress=False)
        return watch.seen["waits"]

    assert waits(32) == waits(128)


@pytest.mark.parametrize(
    "options",
    slow_but([{}, {"path": "anneal"}, {"path": "bottom"}], [{"path": "anneal"}]),
    ids=["acn", "annealed", "in turn"],
)
def test_compiled_step_is_one_graph(
    monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]
) -> None:
    counters = torch._dynamo.utils.counters
    torch._dynamo.reset()
    counters.clear()
    monkeypatch.setattr(torch, "compile", partial(_compile_eagerly, torch.compile))
    data = images()
    config = ac.FitConfig(epochs=3, batch_size=24, compile="default", precision="bf16")
    ac.fit(mixer(), data, data, config, augment=AUGMENT, progress=False, **options)
    assert not counters["graph_break"]
    assert counters["stats"]["unique_graphs"] == 1


def _compile_eagerly(compile: Any, fn: Any, mode: str) -> Any:
    return compile(fn, backend="eager")  # the graph is what is asked about, not its kernels
