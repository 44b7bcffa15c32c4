"""Rules of connectivity side by side, at equal epochs, FLOPs and seconds."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional as F

from autocompress.data import Splits
from autocompress.measurement import compare, depth_costs, ratio
from autocompress.measurement.modes import device_of
from autocompress.pipeline import RunConfig
from autocompress.reproduce.claim import (
    Arm,
    Claim,
    Finding,
    Results,
    Table,
    finding,
    register_claim,
)
from autocompress.reproduce.comparing import accuracy, layers_saved, mean_curve
from autocompress.reproduce.settings import CPU, PAPER, SMOKE
from autocompress.reproduce.words import cut_score, full_score
from autocompress.reproduce.work import Work, examine
from autocompress.training import training_device
from autocompress.training.inputs import network_batches

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Connectivity", "ConnectivitySettings"]

#: The name of the arm that measures what a step costs.
_COST = "cost of a step"

#: The rivals beside the ACN, in Okabe and Ito's colours; all cost is relative to the residual one.
_BASE = "residual"
_COLOURS = {
    "ACN": "#0072b2",
    "residual": "#d55e00",
    "DenseNet": "#009e73",
    "DenseFormer": "#cc79a7",
    "hyper-connections": "#e69f00",
    "H-ACN": "#56b4e9",
}
_PAPERS = ("residual", "DenseNet", "DenseFormer")


@dataclass(frozen=True, kw_only=True)
class ConnectivitySettings:
    """What is trained.

    Args:
        network: how each of them is trained.
        rules: by name, what differs in ``network.model``.
        budgets: beside equal epochs, ``FLOPs`` and ``seconds``.
    """

    network: RunConfig
    rules: dict[str, dict[str, Any]]
    budgets: tuple[str, ...] = ("FLOPs", "seconds")


def _rules(width: int) -> dict[str, dict[str, Any]]:
    return {
        "ACN": {"connectivity": "acn"},
        "residual": {"connectivity": "residual"},
        "DenseNet": {"connectivity": "dense", "channels": width},
        "DenseFormer": {"connectivity": "denseformer"},
        "hyper-connections": {"connectivity": "hyper"},
        "H-ACN": {"connectivity": "hacn"},
    }


_PRESETS = {
    "smoke": ConnectivitySettings(network=SMOKE, rules=_rules(16)),
    "cpu": ConnectivitySettings(
        network=replace(
            CPU, data=replace(CPU.data, train_limit=7_200), fit=replace(CPU.fit, epochs=8)
        ),
        rules=_rules(48),
    ),
    "paper": ConnectivitySettings(
        network=replace(PAPER, fit=replace(PAPER.fit, epochs=700), control=None),
        rules=_rules(128),
    ),
}
_COSTS = {"smoke": "seconds", "cpu": "20 core-minutes", "paper": "a GPU for weeks"}


@register_claim
class Connectivity(Claim[ConnectivitySettings]):
    """ACN, residual, DenseNet, DenseFormer, hyper-connections, H-ACN.

    What a step costs is measured for all in turns on one machine, and the epochs of the others
    follow: E x (cost of the residual network's step / cost of its own step), in whole epochs.
    """

    name = "connectivity"
    shows = "accuracy, share of depth, best epoch at equal epochs, FLOPs and seconds"
    paper = (
        "Mixer of 16 layers on CIFAR-10, 700 epochs: ACN 92.0 % with 75 % of the depth; residual "
        "90.3 %, DenseNet-Mixer 90.3 %, DenseFormer-Mixer 90.4 % with all of it."
    )
    presets = _PRESETS
    costs = _COSTS

    def arms(self, settings: ConnectivitySettings) -> list[Arm]:
        arms = [Arm(_COST)]
        for rule in settings.rules:
            arms.append(Arm(rule))
            budgets = () if rule == _BASE else settings.budgets
            arms += [Arm(f"{rule}, equal {b}", after=(_COST, rule)) for b in budgets]
        return arms

    def run(self, settings: ConnectivitySettings, arm: str, work: Work) -> dict[str, Any]:
        config = work.seeded(settings.network)
        data = work.load(config.data)
        if arm == _COST:
            return _costs(settings, config, data)
        rule, _, budget = arm.partition(", equal ")
        epochs = config.fit.epochs
        if budget:
            costs = work.before[_COST][budget]
            epochs = max(1, round(epochs * costs[_BASE] / costs[rule]))
            if epochs == config.fit.epochs:
                return {**work.before[rule], "trained": False}
        fit = replace(
            config.fit, epochs=epochs, warmup_epochs=min(config.fit.warmup_epochs, epochs / 2)
        )
        config = replace(_with(config, settings.rules[rule]), fit=fit)
        net, seconds = work.train(config, data)
        return {**examine(net, data), **work.told(seconds), "trained": True}

    def verdict(self, settings: ConnectivitySettings, results: Results) -> list[Finding]:
        rivals = [rule for rule in settings.rules if rule != "ACN"]
        found = [
            finding(
                "the ACN needs fewer layers than the residual network",
                layers_saved(results, "ACN", _BASE),
                least=0.0,
                unit="layers",
            )
        ]
        for budget in ("epochs", *settings.budgets):
            for rival in rivals:
                sides = _arm("ACN", budget), _arm(rival, budget)
                if not any(run["trained"] for arm in sides for run in results.of(arm)):
                    continue  # as many epochs as before, so the same networks
                found.append(
                    finding(
                        f"equal {budget}: the ACN is more accurate than {rival}",
                        accuracy(results, *sides, ours_cut=False, theirs_cut=False),
                        least=0.0,
                        unit="points",
                        scale=100,
                        of_paper=budget == "epochs" and rival in _PAPERS,
                    )
                )
        return found

    def table(self, settings: ConnectivitySettings, results: Results) -> Table:
        rows = []
        for budget in ("epochs", *settings.budgets):
            rules = [r for r in settings.rules if budget == "epochs" or r != _BASE]
            for rule in rules:
                runs = results.of(_arm(rule, budget))
                if budget != "epochs" and not any(run["trained"] for run in runs):
                    continue
                depth = len(runs[0]["test"]) - 1
                share = statistics.fmean(run["selected"] for run in runs) / depth
                best = [1 + run["by_epoch"].index(max(run["by_epoch"])) for run in runs]
                rows.append(
                    (
                        f"{rule}, equal {budget}",
                        full_score(runs),
                        cut_score(runs),
                        f"{100 * share:.0f} %",
                        _listed([run["epochs"] for run in runs]),
                        _listed(best),
                        *(_relative(results.column(_COST, b), rule) for b in ("FLOPs", "seconds")),
                    )
                )
        headings = (
            "network",
            "test, full",
            "test, cut",
            "depth used",
            "epochs",
            "best epoch",
            "FLOPs a step",
            "time a step",
        )
        return Table(headings, rows)

    def draw(self, figure: Figure, settings: ConnectivitySettings, results: Results) -> None:
        left, right = figure.subplots(1, 2, width_ratios=(1.4, 1))
        for rule in settings.rules:
            curve = mean_curve(results, rule)
            colour = _COLOURS.get(rule)
            left.plot(range(len(curve)), curve, color=colour, marker="o", ms=4, label=rule)
            for place, budget in enumerate(("epochs", *settings.budgets)):
                scores = [100 * run["test"][-1] for run in results.of(_arm(rule, budget))]
                at = place + 0.1 * (list(settings.rules).index(rule) - 2.5)
                right.plot([at] * len(scores), scores, "o", color=colour, ms=4)
        left.set(xlabel="layers that run", ylabel="test accuracy, %", title="equal epochs")
        names = [f"equal {budget}" for budget in ("epochs", *settings.budgets)]
        right.set_xticks(range(len(names)), names)
        right.set_title("full depth, by seed")
        for axes in (left, right):
            axes.grid(alpha=0.25)
        left.legend()


def _arm(rule: str, budget: str) -> str:
    """The arm of a rule at a budget; the residual network's budget is that of all."""
    return rule if budget == "epochs" or rule == _BASE else f"{rule}, equal {budget}"


def _relative(costs: list[dict[str, float]], rule: str) -> str:
    return f"{statistics.fmean(cost[rule] / cost[_BASE] for cost in costs):.2f} x"


def _with(config: RunConfig, changes: dict[str, Any]) -> RunConfig:
    options = {key: value for key, value in changes.items() if key != "connectivity"}
    rule = {"name": changes["connectivity"], **options}
    return replace(config, model=replace(config.model, connectivity=rule))


def _costs(settings: ConnectivitySettings, config: RunConfig, data: Splits) -> dict[str, Any]:
    """Of one training step of each rule: FLOPs of an image, and seconds relative to the base."""
    device = training_device(config.fit)
    flops, steps = {}, {}
    for rule, changes in settings.rules.items():
        net = _with(config, changes).model.build(data, config.fit.seed).to(device)
        flops[rule] = 3 * (depth_costs(net, net.example(1))[-1].flops or 0)
        steps[rule] = _step(net, data, config.fit.batch_size)
    timings = compare(steps, device, repeats=15)
    seconds = {rule: round(ratio(t, timings[_BASE]), 4) for rule, t in timings.items()}
    return {"FLOPs": flops, "seconds": seconds}


def _step(net: Any, data: Splits, batch_size: int) -> Callable[[], None]:
    """Forward and backward of one batch."""
    inputs, labels = next(network_batches(net, data.train.to(device_of(net)), batch_size))
    net.train()

    def step() -> None:
        torch.autograd.backward(F.cross_entropy(net(inputs), labels))
        net.zero_grad()

    return step


def _listed(values: list[int]) -> str:
    return str(values[0]) if len(set(values)) == 1 else ", ".join(map(str, values))
