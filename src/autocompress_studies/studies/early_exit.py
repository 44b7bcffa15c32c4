"""Exits, a depth for each example: the six rows of appendix H."""

from __future__ import annotations

import statistics as stats
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from autocompress.data import Splits
from autocompress.depth import exit_curve
from autocompress.models import Branched
from autocompress.network import Network
from autocompress.pipeline import RunConfig, build_network
from autocompress.printing import markdown
from autocompress.statistics import paired
from autocompress.training import DistilConfig
from autocompress_studies.figures import Figure, colour_of, legend_below
from autocompress_studies.results import Arm, Results, name_of
from autocompress_studies.settings import DIGITS, PAPER, SMOKE, as_net, changed
from autocompress_studies.statements import Statement, more
from autocompress_studies.study import Study
from autocompress_studies.words import cut_score, describe_settings, full_score, per_cent, spread
from autocompress_studies.work import Work, examine

__all__ = ["STUDY", "Key", "Settings", "anyone_leaves", "branched"]

NETS = ("residual", "ACN")
PLAIN, BRANCHES, SHARED = KINDS = ("plain", "branches", "shared head")
_RULES = {"fixed": "at the paper's threshold", "calibrated": "at a calibrated threshold"}


class Key(NamedTuple):
    """A task, a network, and the heads that read its depths."""

    task: str
    net: str
    kind: str


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings of the training."""

    networks: dict[str, RunConfig]  #: of the ACNs; their ``control`` is the residual network's
    branches: dict[int, float]  #: depths with their own heads, and the weights of their losses
    threshold: float = 0.7  #: entropy, in nats, below which an example exits
    drop: float = 0.01  #: accuracy that a calibrated threshold may cost on validation (a fraction)


def describe(settings: Settings) -> str:
    return (
        f"{describe_settings(settings)}\n- the FLOPs count every head that is evaluated; there is "
        "no statement on a threshold at which no example leaves before full depth"
    )


def arms(settings: Settings) -> list[Arm[Key]]:
    return [Arm(Key(t, net, kind)) for t in settings.networks for net in NETS for kind in KINDS]


def run(settings: Settings, key: Key, work: Work) -> dict[str, Any]:
    config = as_net(key.net, work.seeded(settings.networks[key.task]))
    depth = config.model.depth or 0
    data = work.load(config.data)
    start, distil, depths = None, None, list(range(1, depth + 1))
    if key.kind == BRANCHES:
        start = branched(build_network(config.model, data, work.seed), settings.branches)
        distil, depths = DistilConfig(teacher="labels", at=settings.branches), start.branches
    elif key.kind == SHARED:
        distil = DistilConfig.aligned(depth)
    net, seconds = work.train(changed(config, {"fit.distil": distil}), data, start=start)
    exits = _exits(settings, net, data, depths)
    return {**examine(net, data), **work.told(seconds), "exits": exits}


def branched(net: Network, branches: Mapping[int, float]) -> Branched:
    """Return the same network with its own heads at these depths."""
    own = {k: v for k, v in net.config.items() if k not in ("depth", "connectivity")}
    same: Any = {"depth": net.depth, "connectivity": net.rule()}
    start = Branched(net.model_name, own, branches=sorted(branches), **same)
    for part in ("stem", "trunk", "head"):
        getattr(start, part).load_state_dict(getattr(net, part).state_dict())
    start.preprocess = net.preprocess
    return start


def _exits(settings: Settings, net: Network, data: Splits, depths: list[int]) -> dict[str, Any]:
    """Return test scores at the fixed and the calibrated threshold, and by threshold.

    Savings are relative to full depth with its one head.
    """
    test = exit_curve(net, data.test, depths=depths)
    chosen = exit_curve(net, data.validation, depths=depths).calibrate(settings.drop).threshold
    found: dict[str, Any] = {}
    for rule, point in (("fixed", test.at(settings.threshold)), ("calibrated", test.at(chosen))):
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


def statements(settings: Settings, results: Results[Key]) -> Iterator[Statement]:
    for task in settings.networks:
        for kind in (BRANCHES, SHARED):
            ours, theirs = Key(task, "ACN", kind), Key(task, "residual", kind)
            for rule, words in _RULES.items():
                if anyone_leaves(results, (ours, theirs), rule):
                    yield Statement(
                        f"{task}, {kind}, {words}: the ACN saves more FLOPs than residual",
                        paired(*(_exit(results, key, rule, "saved") for key in (ours, theirs))),
                        unit="times",
                        of_paper=rule == "fixed",
                    )
            if anyone_leaves(results, (ours, theirs), "fixed"):
                yield more(
                    f"{task}, {kind}, {_RULES['fixed']}: the ACN is as accurate as residual",
                    *(_exit(results, key, "fixed", "score") for key in (ours, theirs)),
                    margin=0.01,
                )
        acns = [Key(task, "ACN", kind) for kind in (SHARED, BRANCHES)]
        if anyone_leaves(results, acns, "fixed"):
            yield Statement(
                f"{task}: the ACN saves more through the shared head than through branches",
                paired(*(_exit(results, key, "fixed", "saved") for key in acns)),
                unit="times",
            )


def anyone_leaves(results: Results[Key], keys: Iterable[Key], rule: str) -> bool:
    """Return whether examples exit before full depth; otherwise there is nothing to compare.

    A mean over examples and seeds below a tenth of a layer does not count.
    """
    saved = (
        stats.fmean(len(run["test"]) - 1 - run["exits"][rule]["depth"] for run in results.of(key))
        for key in keys
    )
    return max(saved) > 0.1


def _exit(results: Results[Key], key: Key, rule: str, what: str) -> list[float]:
    return [float(run["exits"][rule][what]) for run in results.of(key)]


def table(settings: Settings, results: Results[Key]) -> str:
    rows: list[tuple[str, ...]] = []
    for key in results.keys:
        runs, cells = results.of(key), []
        if key.kind == PLAIN:
            saved = [run["flops"][-1] / run["flops"][run["selected"]] for run in runs]
            depths = spread([run["selected"] for run in runs])
            name = f"{name_of(key)}, cut"
            rows.append((name, full_score(runs), cut_score(runs), spread(saved, 2), depths))
            continue
        for rule in _RULES:
            score, saved, at = (_exit(results, key, rule, k) for k in ("score", "saved", "depth"))
            cells += [per_cent(score), spread(saved, 2), spread(at)]
        rows.append((name_of(key), full_score(runs), *cells))
    headings = ["network", "test, full"]
    for words in (f"{settings.threshold:g} nats, or cut", "calibrated"):
        headings += [f"test, {words}", "full / mean FLOPs", "mean depth"]
    return markdown(headings, rows)


def draw(figure: Figure, settings: Settings, results: Results[Key]) -> None:
    shown = [(task, kind) for task in settings.networks for kind in (BRANCHES, SHARED)]
    panels = figure.subplots(1, len(shown))
    for axes, (task, kind) in zip(panels, shown, strict=True):
        for net in NETS:
            style: Any = {"color": colour_of(net), "lw": 1, "alpha": 0.8}
            for run in results.of(Key(task, net, kind)):
                saved, scores = zip(*run["exits"]["curve"], strict=True)
                axes.plot(saved, [100 * s for s in scores], **style)
            axes.plot([], [], label=net, color=colour_of(net))
        axes.set(title=f"{task}, {kind}", xlabel="full / mean FLOPs")
    panels[0].set_ylabel("test accuracy, %")
    legend_below(figure, panels[:1], "a line for each seed")


#: Label smoothing teaches a network never to be certain.
_SHARP = {"fit.label_smoothing": 0.0}
_DIGITS = changed(DIGITS, {**_SHARP, "control.label_smoothing": 0.0})

STUDY = Study(
    name="early-exit",
    shows="FLOPs saved by early exit, with branches or with the shared head",
    paper="Examples of CIFAR-10 leave a Mixer of 16 layers when the entropy falls below 0.7 nats. "
    "The speed-up in FLOPs of the residual Mixer is 1.0, with branches 2.2, and with the shared "
    "head 2.4. Of the ACN, cut at layer 12, it is 1.5 (although 16 / 12 is 1.33), 2.6 and 3.3.",
    presets={
        "smoke": Settings(networks={"digits": changed(SMOKE, _SHARP)}, branches={1: 0.8}),
        "cpu": Settings(
            networks={"digits": _DIGITS},
            branches={3: 0.8, 6: 0.6, 9: 0.4},
        ),
        "paper": Settings(networks={"CIFAR-10": PAPER}, branches={4: 0.8, 8: 0.6, 12: 0.4}),
    },
    costs={"smoke": "seconds", "cpu": "55 core-minutes", "paper": "a GPU for days"},
    arms=arms,
    run=run,
    headlines=(
        "digits, shared head, at the paper's threshold: the ACN saves more FLOPs than residual",
        "digits, shared head, at a calibrated threshold: the ACN saves more FLOPs than residual",
        "digits: the ACN saves more through the shared head than through branches",
    ),
    statements=statements,
    table=table,
    draw=draw,
    describe=describe,
)
