"""Networks at equal epochs, FLOPs and seconds, by the measured cost of a training step."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping
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
from autocompress_studies.results import Arm, Results

__all__ = ["COST", "Budgeted", "as_dear", "budget_arms", "by_budget", "epochs_for"]
__all__ += ["relative_cost", "step_costs", "trained"]


class Budgeted(NamedTuple):
    """The key of a network and its budget; an empty budget means as many epochs as all others."""

    rule: str
    budget: str = ""

    def __str__(self) -> str:
        return f"{self.rule}, equal {self.budget}" if self.budget else self.rule


#: The key of the arm that measures :func:`step_costs`.
COST = Budgeted("cost of a step")


def budget_arms(rules: Iterable[str], base: str, budgets: Iterable[str]) -> list[Arm[Budgeted]]:
    """Return the arms of a comparison at equal epochs and at other budgets.

    Args:
        rules: Names of the networks.
        base: The network whose cost is the budget, so that it is trained once.
        budgets: ``FLOPs``, ``seconds`` or both.
    """
    found = [Arm(COST)]
    for rule in rules:
        found.append(Arm(Budgeted(rule)))
        for budget in budgets if rule != base else ():
            found.append(Arm(Budgeted(rule, budget), after=(COST, Budgeted(rule))))
    return found


def by_budget(
    rules: Iterable[str], base: str, budgets: Iterable[str]
) -> dict[str, dict[str, Budgeted]]:
    """Return the keys of the networks at equal epochs and at every budget, by panel and name."""
    return {
        f"equal {budget or 'epochs'}": {
            rule: Budgeted(rule, "" if rule == base else budget) for rule in rules
        }
        for budget in ("", *budgets)
    }


def epochs_for(
    key: Budgeted, run: RunConfig, base: str, before: Mapping[Any, Mapping[str, Any]]
) -> RunConfig:
    """Return the run of a network with the epochs that its budget pays for.

    Args:
        key: The network and its budget.
        run: Its run, with the epochs of the base.
        base: Name of the network whose cost is the budget.
        before: Scores of the arm :data:`COST`, by key.
    """
    if not key.budget:
        return run
    costs = before[COST][key.budget]
    return as_dear(run, costs[key.rule] / costs[base])


def trained(results: Results[Budgeted], key: Budgeted) -> bool:
    """Return whether any seed of an arm was trained for itself, and not taken from equal epochs."""
    return key != COST and any(results.column(key, "trained"))


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
    warmup = min(run.fit.warmup, epochs / 2)
    return replace(run, fit=replace(run.fit, epochs=epochs, warmup_epochs=warmup))


def relative_cost(kind: str, base: str) -> Callable[[Results[Budgeted], Budgeted], str]:
    """Return a column of a table: the cost of a network's step relative to another's.

    Args:
        kind: ``FLOPs`` or ``seconds``.
        base: Name of the other network.
    """

    def cell(results: Results[Budgeted], key: Budgeted) -> str:
        costs = results.column(COST, kind)
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
