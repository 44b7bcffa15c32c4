"""Depth per example: the six rows of appendix H."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from autocompress.data import DataConfig, Splits
from autocompress.depth import exit_curve
from autocompress.models import Branched
from autocompress.network import Network
from autocompress.pipeline import ModelConfig, RunConfig
from autocompress.reproduce.claim import (
    Arm,
    Claim,
    Finding,
    Results,
    Table,
    finding,
    register_claim,
)
from autocompress.reproduce.settings import CPU, PAPER, SMOKE
from autocompress.reproduce.words import cut_score, full_score, per_cent, spread
from autocompress.reproduce.work import Work, examine
from autocompress.statistics import paired
from autocompress.training import DistilConfig, FitConfig

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["EarlyExit", "EarlyExitSettings"]

_PLAIN, _BRANCHES, _SHARED = "plain", "branches", "shared head"
_NETS = {"residual": "#d55e00", "ACN": "#0072b2"}


@dataclass(frozen=True, kw_only=True)
class EarlyExitSettings:
    """What is trained.

    Args:
        networks: by task, how the ACN is trained; ``control`` there is the residual network's.
        branches: depths with heads of their own, and the weights of their losses.
        threshold: entropy, in nats, below which an example leaves.
        drop: accuracy that a calibrated threshold may cost on validation data (a fraction).
    """

    networks: dict[str, RunConfig]
    branches: dict[int, float]
    threshold: float = 0.7
    drop: float = 0.01


def _without_smoothing(config: RunConfig) -> RunConfig:
    """Smoothed labels teach a network never to be sure."""
    control = config.control and replace(config.control, label_smoothing=0.0)
    return replace(config, fit=replace(config.fit, label_smoothing=0.0), control=control)


#: On digits networks become sure, on a subset of CIFAR-10 hardly ever.
_DIGITS = RunConfig(
    data=DataConfig(name="digits"),
    model=ModelConfig(
        depth=8,
        connectivity="acn",
        options={"width": 32, "patch_size": 2, "token_width": 16, "channel_width": 64},
    ),
    fit=FitConfig(epochs=20, batch_size=64, lr=3e-3, warmup_epochs=1.0, device="cpu"),
)
_PRESETS = {
    "smoke": EarlyExitSettings(networks={"digits": _without_smoothing(SMOKE)}, branches={1: 0.8}),
    "cpu": EarlyExitSettings(
        networks={
            "digits": _without_smoothing(_DIGITS),
            "CIFAR-10": _without_smoothing(
                replace(
                    CPU, data=replace(CPU.data, train_limit=4_800), fit=replace(CPU.fit, epochs=7)
                )
            ),
        },
        branches={2: 0.8, 4: 0.6, 6: 0.4},
    ),
    "paper": EarlyExitSettings(networks={"CIFAR-10": PAPER}, branches={4: 0.8, 8: 0.6, 12: 0.4}),
}
_COSTS = {"smoke": "seconds", "cpu": "5 core-minutes", "paper": "a GPU for days"}


@register_claim
class EarlyExit(Claim[EarlyExitSettings]):
    """Residual and ACN: all layers or the cut, heads of their own, the shared head."""

    name = "early-exit"
    shows = "FLOPs saved by leaving early, with branches or the shared head"
    paper = (
        "Mixer of 16 layers on CIFAR-10, entropy below 0.7 nats: speed-up in FLOPs 1.0 "
        "(residual), 2.2 (with branches), 2.4 (shared head); ACN cut at layer 12 1.5 (16 / 12 is "
        "1.33), 2.6 and 3.3."
    )
    presets = _PRESETS
    costs = _COSTS

    def describe(self, settings: EarlyExitSettings) -> str:
        """Beside the settings: what is left out."""
        return (
            f"{super().describe(settings)}\n- what is saved counts every head that looks; where at "
            "a threshold no example leaves before full depth, there is no statement"
        )

    def arms(self, settings: EarlyExitSettings) -> list[Arm]:
        kinds = (_PLAIN, _BRANCHES, _SHARED)
        return [
            Arm(f"{task}, {net}, {kind}")
            for task in settings.networks
            for net in _NETS
            for kind in kinds
        ]

    def run(self, settings: EarlyExitSettings, arm: str, work: Work) -> dict[str, Any]:
        task, name, kind = arm.split(", ")
        config = work.seeded(settings.networks[task])
        depth = config.model.depth or 0
        if name == "residual":
            config = config.rival(depth)
        data = work.load(config.data)
        start, distil, depths = None, None, list(range(1, depth + 1))
        if kind == _BRANCHES:
            start = _branched(config.model.build(data, work.seed), settings.branches)
            distil, depths = DistilConfig(teacher="labels", at=settings.branches), start.branches
        elif kind == _SHARED:
            distil = DistilConfig.aligned(depth)
        config = replace(config, fit=replace(config.fit, distil=distil))
        net, seconds = work.train(config, data, start=start)
        return {
            **examine(net, data),
            **work.told(seconds),
            "exits": _exits(settings, net, data, depths),
        }

    def verdict(self, settings: EarlyExitSettings, results: Results) -> list[Finding]:
        found = []
        for task in settings.networks:
            found += self._verdict(results, task)
        return found

    def _verdict(self, results: Results, task: str) -> list[Finding]:
        found = []
        for kind in (_BRANCHES, _SHARED):
            ours, theirs = f"{task}, ACN, {kind}", f"{task}, residual, {kind}"
            for rule, words in _RULES.items():
                if not _anyone_leaves(results, (ours, theirs), rule):
                    continue
                found.append(
                    finding(
                        f"{task}, {kind}, {words}: the ACN saves more FLOPs than residual",
                        paired(*(_saved(results, arm, rule) for arm in (ours, theirs))),
                        least=0.0,
                        unit="times",
                        of_paper=rule == "fixed",
                    )
                )
            if not _anyone_leaves(results, (ours, theirs), "fixed"):
                continue
            found.append(
                finding(
                    f"{task}, {kind}, {_RULES['fixed']}: the ACN is as accurate as residual",
                    paired(*(_scores(results, arm, "fixed") for arm in (ours, theirs))),
                    least=-0.01,
                    unit="points",
                    scale=100,
                )
            )
        acns = [f"{task}, ACN, {kind}" for kind in (_BRANCHES, _SHARED)]
        if not _anyone_leaves(results, acns, "fixed"):
            return found
        found.append(
            finding(
                f"{task}: the ACN saves more through the shared head than through branches",
                paired(
                    *(
                        _saved(results, f"{task}, ACN, {kind}", "fixed")
                        for kind in (_SHARED, _BRANCHES)
                    )
                ),
                least=0.0,
                unit="times",
            )
        )
        return found

    def table(self, settings: EarlyExitSettings, results: Results) -> Table:
        rows = []
        for arm in self.arms(settings):
            runs = results.of(arm.name)
            plain = arm.name.endswith(_PLAIN)
            full = full_score(runs)
            if plain:
                cut = [run["flops"][-1] / run["flops"][run["selected"]] for run in runs]
                cells = [cut_score(runs), spread(cut, 2)]
                depths = [float(run["selected"]) for run in runs]
                rows.append((f"{arm.name}, cut", full, *cells, spread(depths), "", "", ""))
                continue
            cells = []
            for rule in _RULES:
                cells += [
                    per_cent(_scores(results, arm.name, rule)),
                    spread(_saved(results, arm.name, rule), 2),
                    spread([run["exits"][rule]["depth"] for run in runs]),
                ]
            rows.append((arm.name, full, *cells))
        headings = ["network", "test, full"]
        for words in (f"{settings.threshold:g} nats, or cut", "calibrated"):
            headings += [f"test, {words}", "full / mean FLOPs", "mean depth"]
        return Table(headings, rows)

    def draw(self, figure: Figure, settings: EarlyExitSettings, results: Results) -> None:
        shown = [(task, kind) for task in settings.networks for kind in (_BRANCHES, _SHARED)]
        panels = figure.subplots(1, len(shown))
        for axes, (task, kind) in zip(panels, shown, strict=True):
            for name, colour in _NETS.items():
                curves = [run["exits"]["curve"] for run in results.of(f"{task}, {name}, {kind}")]
                for curve in curves:
                    saved, scores = zip(*curve, strict=True)
                    axes.plot(saved, [100 * s for s in scores], color=colour, lw=1, alpha=0.8)
                axes.plot([], [], color=colour, label=name)
            axes.set(title=f"{task}, {kind}", xlabel="full / mean FLOPs")
            axes.grid(alpha=0.25)
        panels[0].set_ylabel("test accuracy, %")
        panels[0].legend(title="a line for each seed")


_RULES = {"fixed": "at the paper's threshold", "calibrated": "at a calibrated threshold"}


def _branched(net: Network, branches: Mapping[int, float]) -> Branched:
    """The same network with heads of its own at these depths."""
    arguments = {k: v for k, v in net.config.items() if k not in ("depth", "connectivity")}
    start = Branched(
        net.model_name,
        arguments,
        branches=sorted(branches),
        depth=net.depth,
        connectivity=net.rule(),
    )
    for part in ("stem", "trunk", "head"):
        getattr(start, part).load_state_dict(getattr(net, part).state_dict())
    start.preprocess = net.preprocess
    return start


def _exits(
    settings: EarlyExitSettings, net: Network, data: Splits, depths: list[int]
) -> dict[str, Any]:
    """Test scores at the fixed and at the calibrated threshold, and by threshold.

    What is saved is relative to full depth with its one head.
    """
    test = exit_curve(net, data.test, depths=depths)
    chosen = exit_curve(net, data.validation, depths=depths).calibrate(settings.drop).threshold
    found: dict[str, Any] = {}
    for rule, threshold in (("fixed", settings.threshold), ("calibrated", chosen)):
        point = test.at(threshold)
        found[rule] = {
            "threshold": round(point.threshold, 4),
            "score": round(point.score, 6),
            "saved": round(test.full_flops / point.flops, 4),
            "depth": round(point.depth, 4),
        }
    found["curve"] = [
        [round(test.full_flops / p.flops, 4), round(p.score, 4)] for p in test.points(25)
    ]
    return found


def _anyone_leaves(results: Results, arms: Sequence[str], rule: str) -> bool:
    """Whether examples leave before full depth; where none does there is nothing to compare.

    A tenth of a layer, in the mean of examples and seeds, is nothing.
    """
    saved = (
        statistics.fmean(
            len(run["test"]) - 1 - run["exits"][rule]["depth"] for run in results.of(arm)
        )
        for arm in arms
    )
    return max(saved) > 0.1


def _saved(results: Results, arm: str, rule: str) -> list[float]:
    return [float(run["exits"][rule]["saved"]) for run in results.of(arm)]


def _scores(results: Results, arm: str, rule: str) -> list[float]:
    return [float(run["exits"][rule]["score"]) for run in results.of(arm)]
