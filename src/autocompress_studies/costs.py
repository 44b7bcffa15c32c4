"""The cost of a training step, measured for several networks in turns."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch.nn import functional as F

from autocompress.data import Splits
from autocompress.measurement import compare, depth_costs, ratio
from autocompress.measurement.modes import device_of
from autocompress.network import Network
from autocompress.pipeline import RunConfig, build_network
from autocompress.training import training_device
from autocompress.training.inputs import network_batches
from autocompress_studies.results import Results

__all__ = ["Budgeted", "as_dear", "relative_cost", "step_costs"]


class Budgeted(NamedTuple):
    """The key of a network and its budget; an empty budget means as many epochs as all others."""

    rule: str
    budget: str = ""

    def __str__(self) -> str:
        return f"{self.rule}, equal {self.budget}" if self.budget else self.rule


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


def as_dear(run: RunConfig, ratio: float) -> RunConfig:
    """Return a run with the number of epochs for which a rival's budget pays.

    Args:
        run: The run, with the rival's epochs.
        ratio: Cost of a step of the run's network over that of the rival's.

    Example:
        >>> as_dear(RunConfig(), 2.0).fit.epochs * 2 == RunConfig().fit.epochs
        True
    """
    epochs = max(1, round(run.fit.epochs / ratio))
    warmup = min(run.fit.warmup_epochs, epochs / 2)
    return replace(run, fit=replace(run.fit, epochs=epochs, warmup_epochs=warmup))


def relative_cost(
    cost: Budgeted, kind: str, base: str
) -> Callable[[Results[Budgeted], Budgeted], str]:
    """Return a column of a table: the cost of a network's step relative to another's.

    Args:
        cost: Key of the arm that measured :func:`step_costs`.
        kind: ``FLOPs`` or ``seconds``.
        base: Name of the other network.
    """

    def cell(results: Results[Budgeted], key: Budgeted) -> str:
        costs = results.column(cost, kind)
        return f"{statistics.fmean(each[key.rule] / each[base] for each in costs):.2f} x"

    return cell


def _step(net: Network, data: Splits, batch_size: int) -> Callable[[], None]:
    """Return a function that runs forward and backward of one batch."""
    inputs, labels = next(network_batches(net, data.train.to(device_of(net)), batch_size))
    net.train()

    def step() -> None:
        torch.autograd.backward(F.cross_entropy(net(inputs), labels))
        net.zero_grad()

    return step
