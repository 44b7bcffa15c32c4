"""Peak memory in cases that can be worked out by hand. A vector of 256 float32 is 1 KiB."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from autocompress.measurement import peak_memory

KIB = 1024
SCALAR = 4


@pytest.fixture
def x() -> Tensor:
    return torch.zeros(256)


def test_what_is_let_go_no_longer_counts(x: Tensor) -> None:
    def chain() -> Tensor:
        y = x
        for _ in range(10):
            y = y.exp()
        return y

    assert peak_memory(chain) == 2 * KIB
    assert peak_memory(chain, baseline=[x]) == 3 * KIB


def test_what_autograd_saves_counts_until_backward_frees_it() -> None:
    weight = nn.Parameter(torch.zeros(256))

    def step(backward: bool) -> None:
        weight.grad = None
        y = weight * 1.0
        for _ in range(10):
            y = y.exp()  # saves its result
        loss = y.sum()
        del y
        if backward:
            loss.backward()

    # the ten results; the product dies when the second is made: it is input of the first only
    assert peak_memory(lambda: step(False), baseline=[weight]) == 11 * KIB + SCALAR
    # backward of one exp: its result goes when its gradient is there, so one KiB comes on top
    peak = peak_memory(lambda: step(True), baseline=[weight])
    assert peak == 12 * KIB + 2 * SCALAR  # the loss and its gradient; 21 KiB if frees went unseen


def test_views_and_in_place_operations_cost_nothing(x: Tensor) -> None:
    def call() -> Tensor:
        return x.view(2, 128).t()[:5].add_(1.0).detach()

    assert peak_memory(call) == 0
    assert peak_memory(call, baseline=[x, x[3:]]) == KIB


@pytest.mark.parametrize("mode", [torch.inference_mode, torch.no_grad, torch.enable_grad])
def test_a_linear_layer_in_every_mode(mode: type[torch.no_grad]) -> None:
    layer, x = nn.Linear(16, 8, bias=False), torch.zeros(4, 16)
    weights, input_, output = 4 * 16 * 8, 4 * 4 * 16, 4 * 4 * 8
    with mode():
        assert peak_memory(lambda: layer(x)) == output
        assert peak_memory(lambda: layer(x), baseline=[layer, x]) == weights + input_ + output


def test_copies_inside_an_operation_are_seen_in_inference_mode() -> None:
    layer, x = nn.Linear(16, 8), torch.zeros(4, 16, 3)

    copy, output = 4 * 4 * 3 * 16, 4 * 4 * 3 * 8  # what torch.profiler sees, too
    with torch.inference_mode():
        assert peak_memory(lambda: layer(x.transpose(1, 2))) == copy + output
        assert torch.is_inference_mode_enabled()


def test_gradients_of_the_baseline_count_and_tied_weights_once() -> None:
    first, second = nn.Linear(16, 16, bias=False), nn.Linear(16, 16, bias=False)
    second.weight = first.weight
    net = nn.Sequential(first, second)
    assert peak_memory(lambda: None, baseline=[net, first]) == KIB
    net(torch.zeros(1, 16)).sum().backward()
    assert peak_memory(lambda: None, baseline=[net]) == 2 * KIB


def test_two_modules_of_equal_size_do_not_hide_each_other() -> None:
    makes = [torch.zeros(256)]

    def call() -> None:
        for _ in range(50):  # a new storage often gets the address of one that has died
            makes[0] = torch.zeros(256)

    assert peak_memory(call) == 2 * KIB


def test_the_call_runs_once_after_the_warm_up() -> None:
    calls: list[int] = []
    peak_memory(lambda: calls.append(1), warmup=3)
    assert len(calls) == 4


def test_on_cuda_it_is_the_allocators_peak(monkeypatch: pytest.MonkeyPatch, x: Tensor) -> None:
    seen: list[str] = []
    monkeypatch.setattr(torch.cuda, "synchronize", lambda _: seen.append("wait"))
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda _: seen.append("reset"))
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda _: 5000)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda _: 9000)
    peak = peak_memory(lambda: seen.append("call"), "cuda", baseline=[x, x], warmup=0)
    assert peak == KIB + 4000
    assert seen == ["wait", "reset", "call", "wait"]
