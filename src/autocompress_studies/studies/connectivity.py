"""Connectivity rules side by side, at equal epochs, FLOPs and seconds.

The cost of a step is measured for all rules in turns on one machine, and the epochs of the others
follow: E x (cost of the residual network's step / cost of its own step), in whole epochs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from autocompress.pipeline import RunConfig
from autocompress_studies import Results, Statement, Study, Work, costs
from autocompress_studies.costs import COST, trained
from autocompress_studies.costs import Budgeted as Key
from autocompress_studies.figures import by_depth
from autocompress_studies.settings import DIGITS, PAPER, SMOKE, changed, control
from autocompress_studies.statements import fewer_layers, more_accurate
from autocompress_studies.words import by_arm

__all__ = ["STUDY", "Settings"]

#: The rule to which all costs are relative.
BASE = "residual"
#: Rules without short connections. The others learn at the rate of the residual network.
LONG = ("ACN", "H-ACN")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings of the training."""

    network: RunConfig  #: of the ACNs; its ``control`` is that of the others
    rules: dict[str, dict[str, Any]]  #: the connectivity and its options, by name
    budgets: tuple[str, ...] = ("FLOPs", "seconds")  #: besides equal epochs


def run(settings: Settings, key: Key, work: Work) -> dict[str, Any]:
    config = work.seeded(settings.network)
    kinds = {name: config if name in LONG else control(config) for name in settings.rules}
    runs = {
        name: changed(kinds[name], {"model.connectivity": rule})
        for name, rule in settings.rules.items()
    }
    if key == COST:
        return costs.step_costs(runs, work.load(config.data), BASE)
    config = costs.epochs_for(key, runs[key.rule], BASE, work.before)
    if key.budget and config.fit.epochs == settings.network.fit.epochs:
        return {**work.before[Key(key.rule)], "trained": False}
    return {**work.examined(config), "trained": True}


def statements(settings: Settings, results: Results[Key]) -> Iterator[Statement]:
    words = "the ACN needs fewer layers than the residual network"
    yield fewer_layers(words, results, Key("ACN"), Key(BASE))
    for budget in ("", *settings.budgets):
        for rival in [rule for rule in settings.rules if rule != "ACN"]:
            sides = Key("ACN", budget), Key(rival, "" if rival == BASE else budget)
            if any(trained(results, key) for key in sides):  # else they are the same as before
                words = f"equal {budget or 'epochs'}: the ACN is more accurate than {rival}"
                of_paper = not budget and rival in ("residual", "DenseNet", "DenseFormer")
                yield more_accurate(words, results, *sides, of_paper=of_paper)


def _rules(width: int) -> dict[str, dict[str, Any]]:
    return {
        **{name: {"name": name.lower()} for name in ("ACN", "residual")},
        "DenseNet": {"name": "dense", "channels": width},
        "DenseFormer": {"name": "denseformer"},
        "hyper-connections": {"name": "hyper"},
        "H-ACN": {"name": "hacn"},
    }


STUDY = Study(
    name="connectivity",
    shows="accuracy and layers needed at equal epochs, equal FLOPs and equal seconds",
    paper="After 700 epochs on CIFAR-10, a Mixer of 16 layers scores 92.0 % as an ACN, with 75 % "
    "of its depth. The residual Mixer scores 90.3 %, the DenseNet-Mixer 90.3 % and the "
    "DenseFormer-Mixer 90.4 %, all at full depth.",
    presets={
        "smoke": Settings(network=SMOKE, rules=_rules(16)),
        "cpu": Settings(network=DIGITS, rules=_rules(64)),
        "paper": Settings(
            network=changed(PAPER, {"fit.epochs": 700, "control": None}), rules=_rules(128)
        ),
    },
    costs={"smoke": "seconds", "cpu": "50 core-minutes", "paper": "a GPU for weeks"},
    arms=lambda settings: costs.budget_arms(settings.rules, BASE, settings.budgets),
    run=run,
    headlines=(
        "the ACN needs fewer layers than the residual network",
        "equal epochs: the ACN is more accurate than residual",
        "equal epochs: the ACN is more accurate than DenseNet",
    ),
    statements=statements,
    table=by_arm(
        "network",
        *("test, full", "test, cut", "depth used", "epochs", "best epoch"),
        of_key={
            "FLOPs a step": costs.relative_cost("FLOPs", BASE),
            "time a step": costs.relative_cost("seconds", BASE),
        },
        where=trained,
    ),
    draw=by_depth(lambda settings: costs.by_budget(settings.rules, BASE, settings.budgets)),
)
