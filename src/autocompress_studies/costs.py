"""The cost of a training step, measured for several networks in turns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch.nn import functional as F

from autocompress.data import Splits
from autocompress.measurement import compare, depth_costs, ratio
from autocompress.measurement.modes import device_of
from autocompress.network import Network
from autocompress.pipeline import RunConfig, build_network
from autocompress.training import training_device
from autocompress.training.inputs import network_batches

__all__ = ["step_costs"]


def step_costs(runs: Mapping[str, RunConfig], data: Splits, base: str) -> dict[str, dict[str, Any]]:
    """Return what one training step of each network costs.

    Args:
        runs: Runs by name, which differ in their networks.
        data: Their data.
        base: Name of the run to which times are relative.

    Returns:
        ``FLOPs``, of one example, and ``seconds``, as a ratio, each by name.
    """
    device = training_device(runs[base].fit)
    flops, steps = {}, {}
    for name, run in runs.items():
        net = build_network(run.model, data, run.fit.seed).to(device)
        flops[name] = 3 * (depth_costs(net, net.example(1))[-1].flops or 0)
        steps[name] = _step(net, data, run.fit.batch_size)
    timings = compare(steps, device, repeats=15)
    seconds = {name: round(ratio(timing, timings[base]), 4) for name, timing in timings.items()}
    return {"FLOPs": flops, "seconds": seconds}


def _step(net: Network, data: Splits, batch_size: int) -> Callable[[], None]:
    """Return a function that runs forward and backward of one batch."""
    inputs, labels = next(network_batches(net, data.train.to(device_of(net)), batch_size))
    net.train()

    def step() -> None:
        torch.autograd.backward(F.cross_entropy(net(inputs), labels))
        net.zero_grad()

    return step
