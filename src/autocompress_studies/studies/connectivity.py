"""Connectivity rules side by side, at equal epochs, FLOPs and seconds.

The cost of a step is measured for all rules in turns on one machine, and the epochs of the others
follow: E x (cost of the residual network's step / cost of its own step), in whole epochs.
"""

from __future__ import annotations

import statistics as stats
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from autocompress.pipeline import RunConfig
from autocompress.printing import markdown
from autocompress_studies.costs import step_costs
from autocompress_studies.figures import Figure, colour_of, depth_panel
from autocompress_studies.results import Arm, Results
from autocompress_studies.settings import CPU, PAPER, SMOKE, changed, sized
from autocompress_studies.statements import Statement, fewer_layers, more_accurate
from autocompress_studies.study import Study
from autocompress_studies.words import cut_score, each, full_score
from autocompress_studies.work import Work

__all__ = ["STUDY", "Key", "Settings"]

#: The rule to which all costs are relative.
BASE = "residual"
_PAPERS = ("residual", "DenseNet", "DenseFormer")


class Key(NamedTuple):
    """A rule and its budget; an empty budget means as many epochs as all others."""

    rule: str
    budget: str = ""

    def __str__(self) -> str:
        return f"{self.rule}, equal {self.budget}" if self.budget else self.rule


#: The arm that measures what a step costs.
COST = Key("cost of a step")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings of the training."""

    network: RunConfig  #: of each network
    rules: dict[str, dict[str, Any]]  #: the connectivity and its options, by name
    budgets: tuple[str, ...] = ("FLOPs", "seconds")  #: besides equal epochs

    def runs(self) -> list[Key]:
        """Return the networks by budget, those of the paper's budget first."""
        own = [Key(rule) for rule in self.rules]
        return own + [Key(r, b) for b in self.budgets for r in self.rules if r != BASE]


def _rules(width: int) -> dict[str, dict[str, Any]]:
    return {
        "ACN": {"connectivity": "acn"},
        "residual": {"connectivity": "residual"},
        "DenseNet": {"connectivity": "dense", "channels": width},
        "DenseFormer": {"connectivity": "denseformer"},
        "hyper-connections": {"connectivity": "hyper"},
        "H-ACN": {"connectivity": "hacn"},
    }


def arms(settings: Settings) -> list[Arm[Key]]:
    found = [Arm(COST)]
    for rule in settings.rules:
        budgets = () if rule == BASE else settings.budgets
        found += [Arm(Key(rule)), *(Arm(Key(rule, b), after=(COST, Key(rule))) for b in budgets)]
    return found


def run(settings: Settings, key: Key, work: Work) -> dict[str, Any]:
    config = work.seeded(settings.network)
    data = work.load(config.data)
    if key == COST:
        networks = {name: _with(config, rule) for name, rule in settings.rules.items()}
        return step_costs(networks, data, BASE)
    epochs = config.fit.epochs
    if key.budget:
        costs = work.before[COST][key.budget]
        epochs = max(1, round(epochs * costs[BASE] / costs[key.rule]))
        if epochs == config.fit.epochs:
            return {**work.before[Key(key.rule)], "trained": False}
    fit = {"fit.epochs": epochs, "fit.warmup_epochs": min(config.fit.warmup_epochs, epochs / 2)}
    config = changed(_with(config, settings.rules[key.rule]), fit)
    return {**work.examined(config, data), "trained": True}


def _with(config: RunConfig, rule: dict[str, Any]) -> RunConfig:
    options = {"name" if key == "connectivity" else key: value for key, value in rule.items()}
    return changed(config, {"model.connectivity": options})


def statements(settings: Settings, results: Results[Key]) -> Iterator[Statement]:
    words = "the ACN needs fewer layers than the residual network"
    yield fewer_layers(words, results, Key("ACN"), Key(BASE))
    for budget in ("", *settings.budgets):
        for rival in [rule for rule in settings.rules if rule != "ACN"]:
            # the residual network's budget is that of all
            sides = Key("ACN", budget), Key(rival, "" if rival == BASE else budget)
            if not any(run["trained"] for key in sides for run in results.of(key)):
                continue  # as many epochs as before, so the same networks
            words = f"equal {budget or 'epochs'}: the ACN is more accurate than {rival}"
            of_paper = not budget and rival in _PAPERS
            yield more_accurate(words, results, *sides, of_paper=of_paper)


def table(settings: Settings, results: Results[Key]) -> str:
    costs = [results.column(COST, budget) for budget in ("FLOPs", "seconds")]
    rows = []
    for key in settings.runs():
        runs = results.of(key)
        if key.budget and not any(run["trained"] for run in runs):
            continue
        share = stats.fmean(run["selected"] for run in runs) / (len(runs[0]["test"]) - 1)
        best = [1 + run["by_epoch"].index(max(run["by_epoch"])) for run in runs]
        relative = (stats.fmean(cost[key.rule] / cost[BASE] for cost in of) for of in costs)
        rows.append(
            (
                f"{key.rule}, equal {key.budget or 'epochs'}",
                full_score(runs),
                cut_score(runs),
                f"{100 * share:.0f} %",
                _listed([run["epochs"] for run in runs]),
                _listed(best),
                *(f"{value:.2f} x" for value in relative),
            )
        )
    headings = ("network", "test, full", "test, cut", "depth used", "epochs", "best epoch")
    return markdown((*headings, "FLOPs a step", "time a step"), rows)


def _listed(values: list[int]) -> str:
    return str(values[0]) if len(set(values)) == 1 else each(values)


def draw(figure: Figure, settings: Settings, results: Results[Key]) -> None:
    left, right = figure.subplots(1, 2, width_ratios=(1.4, 1))
    depth_panel(left, "equal epochs", results, {rule: Key(rule) for rule in settings.rules})
    budgets, rules = ("", *settings.budgets), list(settings.rules)
    for place, rule in enumerate(rules):
        for at, budget in enumerate(budgets):
            runs = results.of(Key(rule, "" if rule == BASE else budget))
            spots = [at + 0.1 * (place - 2.5)] * len(runs)
            scores = [100 * run["test"][-1] for run in runs]
            right.plot(spots, scores, "o", color=colour_of(rule), ms=4)
    right.set_xticks(range(len(budgets)), [f"equal {b or 'epochs'}" for b in budgets])
    right.set_title("full depth, by seed")
    left.legend()


STUDY = Study(
    name="connectivity",
    shows="accuracy and layers needed at equal epochs, equal FLOPs and equal seconds",
    paper="After 700 epochs on CIFAR-10, a Mixer of 16 layers scores 92.0 % as an ACN, with 75 % "
    "of its depth. The residual Mixer scores 90.3 %, the DenseNet-Mixer 90.3 % and the "
    "DenseFormer-Mixer 90.4 %, all at full depth.",
    presets={
        "smoke": Settings(network=SMOKE, rules=_rules(16)),
        "cpu": Settings(network=sized(CPU, 7_200, epochs=8), rules=_rules(48)),
        "paper": Settings(
            network=changed(PAPER, {"fit.epochs": 700, "control": None}), rules=_rules(128)
        ),
    },
    costs={"smoke": "seconds", "cpu": "20 core-minutes", "paper": "a GPU for weeks"},
    arms=arms,
    run=run,
    statements=statements,
    table=table,
    draw=draw,
)
