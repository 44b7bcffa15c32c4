"""The effect of block helpers and training settings on accuracy and depth, on the bundled digits.

Each row changes what it names in recipes/digits.yaml.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from autocompress.depth import probe
from autocompress.pipeline import RunConfig, build_network
from autocompress.training import DistilConfig, PathConfig
from autocompress_studies.figures import PALETTE, Axes, Figure, mean_curve
from autocompress_studies.results import Arm, Results, Runs
from autocompress_studies.settings import DIGITS, changed
from autocompress_studies.study import Study
from autocompress_studies.words import by_arm, each, full_score, per_cent
from autocompress_studies.work import TOLERANCE, Work, rounded

__all__ = ["DEMO", "ROWS", "STUDY", "Settings"]

#: recipes/digits.yaml.
DEMO = changed(DIGITS, {"control": None})

_ANNEAL = {"start": 0.2, "stop": 0.7, "inner": 1.0}
_PURE = {"model.end_stage": False}
_RESIDUAL = {"model.connectivity": "residual", "fit.lr": 0.003}
_VIT = {"model.name": "vit", "model.end_stage": None, "fit.lr": 0.001}

#: By row, its number of seeds (a lead has one), and its changes.
ROWS: dict[str, tuple[int, dict[str, Any]]] = {
    "ACN, the digits recipe": (3, {}),
    "lr 0.003": (3, {"fit.lr": 0.003}),
    "lr 0.001": (3, {"fit.lr": 0.001}),
    "no MixUp, no dropout": (3, {"augment.mixup": 0.0, "model.dropout": 0.0}),
    "small gradients: clipped at 1e-5": (3, {"fit.clip_norm": 1e-5}),
    "eps 1e-5": (1, {"fit.eps": 1e-5}),
    "mediated gradient x 0.5": (1, {"fit.mediated": 0.5}),
    "direct gradient only": (3, {"fit.mediated": 0.0}),
    "SGD, lr 0.1": (1, {"fit.optimizer": "sgd", "fit.lr": 0.1}),
    "SGD, lr 0.5": (1, {"fit.optimizer": "sgd", "fit.lr": 0.5}),
    "Lion, lr 0.001": (1, {"fit.optimizer": "lion", "fit.lr": 1e-3, "fit.betas": (0.9, 0.99)}),
    "Muon": (1, {"fit.optimizer": "muon"}),
    "weights of the blocks x 0.5 at the start": (1, {"start": 0.5}),
    "weights of the blocks x 2 at the start": (1, {"start": 2.0}),
    "lr x 1.15 from layer to layer downwards": (1, {"fit.layer_decay": 1.15}),
    "lr x 0.87 from layer to layer downwards": (1, {"fit.layer_decay": 0.87}),
    "no weight decay": (1, {"fit.weight_decay": 0.0}),
    "weight decay 0.3": (1, {"fit.weight_decay": 0.3}),
    "20 epochs": (1, {"fit.epochs": 20}),
    "80 epochs": (1, {"fit.epochs": 80}),
    "6 layers": (1, {"model.depth": 6}),
    "24 layers": (1, {"model.depth": 24}),
    "distilled": (1, {"fit.distil": {"temperature": 1.0}}),
    "pure blocks": (3, _PURE),
    "pure blocks, inner skip": (3, {**_PURE, "model.inner": 1.0}),
    "pure blocks, inner skip, annealed from residual": (
        3,
        {**_PURE, "fit.path": _ANNEAL, "fit.lr": 0.003},
    ),
    "residual (lr 0.003)": (3, _RESIDUAL),
    "residual, pure blocks (lr 0.003)": (3, {**_RESIDUAL, **_PURE}),
    "ViT, ACN, pure blocks (lr 0.001)": (3, _VIT),
    "ViT, ACN, Dirac and inner skip (lr 0.001)": (
        3,
        {**_VIT, "model.dirac": True, "model.inner": 1.0},
    ),
    "ViT, residual (lr 0.001)": (3, {**_VIT, "model.connectivity": "residual"}),
}


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings of the training."""

    base: RunConfig  #: the recipe
    rows: dict[str, tuple[int, dict[str, Any]]]  #: number of seeds, and changes, see ``_changed``


def _changed(base: RunConfig, changes: Mapping[str, Any]) -> RunConfig:
    """Return the recipe with a row's changes; ``start`` is a factor of the initial weights."""
    kinds: dict[str, Any] = {"fit.path": PathConfig, "fit.distil": DistilConfig}
    own: dict[str, Any] = {}
    for key, value in changes.items():
        if key == "model.name":  # the options of the Mixer that another model has as well
            own["model.options"] = {"width": 64, "patch_size": 2, "dropout": 0.1}
        if key == "model.inner":
            own["model.connectivity"] = {**base.model.rule(), "inner": value}
        elif key != "start":
            own[key] = kinds[key](**value) if key in kinds else value
    return changed(base, own)


def run(settings: Settings, key: str, work: Work) -> dict[str, Any]:
    changes = settings.rows[key][1]
    config = _changed(settings.base, {**changes, "fit.seed": work.seed})
    data = work.load(config.data)
    start = build_network(config.model, data, work.seed)
    with torch.no_grad():
        for parameter in start.trunk.blocks.parameters():
            if parameter.ndim > 1:
                parameter.mul_(changes.get("start", 1.0))
    net, seconds = work.train(config, data, start=start)
    validation, test = probe(net, data.validation), probe(net, data.test)
    return {
        "changes": changes,
        "validation": rounded(validation.scores, 4),
        "test": rounded(test.scores, 4),
        "seconds": round(seconds, 1),
    }


def _needed(runs: Runs) -> str:
    """Return the first depth within half a point of full depth, on validation."""
    curves = [run["validation"] for run in runs]
    found = ([k for k, score in enumerate(at) if score >= at[-1] - TOLERANCE] for at in curves)
    return each(depths[0] for depths in found)


def _half(runs: Runs) -> str:
    return per_cent([run["test"][len(run["test"]) // 2] for run in runs])


table = by_arm(
    "network",
    "seeds",
    {"test, all layers": full_score, "test, half of them": _half, "layers needed": _needed},
)

_DEMO = "ACN, the digits recipe"

#: By panel, its curves: each a row of the study and a short name.
_PANELS: dict[str, dict[str, str]] = {
    "learning rate": {"lr 0.001": "0.001", "lr 0.003": "0.003", _DEMO: "0.006"},
    "gradients beside eps": {
        _DEMO: "AdamW",
        "eps 1e-5": "eps 1e-5",
        "small gradients: clipped at 1e-5": "clipped at 1e-5",
    },
    "optimizer": {
        _DEMO: "AdamW",
        **{f"SGD, lr {lr}": f"SGD, lr {lr}" for lr in (0.1, 0.5)},
        **{"Lion, lr 0.001": "Lion", "Muon": "Muon"},
    },
    "mediated gradient's share": {
        _DEMO: "1",
        **{"mediated gradient x 0.5": "0.5", "direct gradient only": "0"},
    },
    "learning rate by layer": {
        _DEMO: "the same",
        "lr x 1.15 from layer to layer downwards": "lower layers faster",
        "lr x 0.87 from layer to layer downwards": "lower layers slower",
    },
    "weight decay": {"no weight decay": "0", _DEMO: "0.05", "weight decay 0.3": "0.3"},
    "weights of the blocks at the start": {
        "weights of the blocks x 0.5 at the start": "x 0.5",
        _DEMO: "x 1",
        "weights of the blocks x 2 at the start": "x 2",
    },
    "length of training": {"20 epochs": "20 epochs", _DEMO: "40", "80 epochs": "80"},
    "depth": {"6 layers": "6 layers", _DEMO: "12", "24 layers": "24"},
    "blocks": {
        _DEMO: "end stage",
        "pure blocks": "pure",
        "pure blocks, inner skip": "pure, inner skip",
        "no MixUp, no dropout": "no MixUp, no dropout",
    },
    "connectivity": {
        _DEMO: "ACN",
        "residual (lr 0.003)": "residual",
        "residual, pure blocks (lr 0.003)": "residual, pure blocks",
        "pure blocks, inner skip, annealed from residual": "annealed, pure blocks",
    },
    "self-distillation": {_DEMO: "none", "distilled": "distilled"},
}


def draw(figure: Figure, settings: Settings, results: Results[str]) -> None:
    figure.set_size_inches(10, 10.5)
    for axes, (title, curves) in zip(
        figure.subplots(4, 3, sharey=True).flat, _PANELS.items(), strict=True
    ):
        _panel(axes, results, curves)
        axes.set_title(title, loc="left", fontsize=9)
    figure.supxlabel("share of the layers that run", fontsize=9)
    figure.supylabel("test accuracy, %", fontsize=9)


def _panel(axes: Axes, results: Results[str], curves: Mapping[str, str]) -> None:
    for colour, (row, words) in zip(PALETTE, curves.items(), strict=False):
        runs = results.of(row)
        if runs:
            scores = mean_curve(results, row)
            share = [k / (len(scores) - 1) for k in range(len(scores))]
            style: Any = {"color": colour, "ls": "-" if len(runs) > 1 else "--"}  # dashed: one seed
            axes.plot(share, scores, marker="o", ms=2.5, lw=1.2, label=words, **style)
    axes.set(ylim=(50, 101))
    axes.legend(loc="lower right", fontsize=7.5)


STUDY = Study(
    name="blocks",
    shows="what block helpers and training settings do to accuracy and depth",
    presets={
        "smoke": Settings(
            base=changed(DEMO, {"model.depth": 2, "fit.epochs": 2, "fit.warmup_epochs": 0.5}),
            rows={name: ROWS[name] for name in ("ACN, the digits recipe", "eps 1e-5")},
        ),
        "cpu": Settings(base=DEMO, rows=ROWS),
    },
    costs={"smoke": "seconds", "cpu": "2 core-hours"},
    arms=lambda settings: [Arm(row, seeds=seeds) for row, (seeds, _) in settings.rows.items()],
    run=run,
    table=table,
    draw=draw,
    describe=lambda settings: "- recipes/digits.yaml, and what each row changes in it",
    marks={"table": table},
)
