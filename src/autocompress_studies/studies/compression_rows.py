"""Rows of training: how one is trained, what it costs, and the table of a task.

Depth is selected on validation data, scores are test scores. Training FLOPs are three times those
of the forward pass, for the layers that ran and every head that was read.
"""

from __future__ import annotations

import statistics as stats
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, NamedTuple

import torch

from autocompress import io
from autocompress.depth import choose_layers, probe
from autocompress.measurement import depth_costs
from autocompress.network import build
from autocompress.printing import markdown
from autocompress.training import FitConfig, Hook, Moment, PathConfig, fit
from autocompress_studies.results import Arm, Results
from autocompress_studies.settings import INNER
from autocompress_studies.studies.compression_tasks import CompressionTask, examples_of
from autocompress_studies.words import each, per_cent, spread
from autocompress_studies.work import TOLERANCE, Work, rounded

__all__ = ["ANNEAL", "ANNEALED_HALF", "CUT_AND_HEALED", "Key", "Row", "Settings", "arms"]
__all__ += ["Sandwich", "describe", "forward_flops", "run", "table", "table_of"]


class Key(NamedTuple):
    """A task, and a row of its table."""

    task: str
    row: str


@dataclass(frozen=True)
class Row:
    """One way to a network."""

    seeds: Mapping[str, int]  #: number of seeds by task; a lead has one, and a missing task none
    connectivity: Any = "residual"
    depth: float = 1.0  #: share of the task's layers
    epochs: float = 1.0  #: share of the task's; a shallow network at equal FLOPs has more of them
    fit: dict[str, Any] = field(default_factory=dict)  #: differences from the task's settings
    start: str | None = None  #: row from whose trained network this one starts
    by: Literal["first", "spread", "loss"] = "first"  #: which layers of it (``choose_layers``)
    sandwich: float | None = None  #: share of the task's layers that every second step runs


class Sandwich(Hook):
    """Runs only the first layers of the network in every second step.

    Args:
        few: Number of these layers.
    """

    def __init__(self, few: int) -> None:
        self.few = few

    def layers(self, depth: int, moment: Moment) -> int:
        return min(depth, self.few) if moment.step % 2 else depth


ANNEAL = PathConfig(start=0.1, stop=0.6)
#: The way with two schedules: annealed, cut to half, trained on, in 0.97 x the control's FLOPs.
ANNEALED_HALF = Row({}, epochs=0.5, fit={"path": ANNEAL})
CUT_AND_HEALED = Row({}, INNER, depth=0.5, epochs=0.92, start="annealed, half as long")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings of the training: tasks and rows by name."""

    tasks: dict[str, CompressionTask]
    rows: dict[str, Row]


def describe(settings: Settings) -> str:
    """Return a line on each task."""
    return "\n".join(f"- {name}: {task.words}" for name, task in settings.tasks.items())


def arms(settings: Settings) -> list[Arm[Key]]:
    """Return a job for each row of each task that has seeds for it."""
    found = []
    for task in settings.tasks:
        for name, row in settings.rows.items():
            if task in row.seeds:
                after = () if row.start is None else (Key(task, row.start),)
                found.append(Arm(Key(task, name), after, row.seeds[task]))
    return found


def run(settings: Settings, key: Key, work: Work) -> dict[str, Any]:
    """Train the network of a row and return its scores, cost and course."""
    task, row, seed = settings.tasks[key.task], settings.rows[key.row], work.seed
    data = examples_of(task, work)
    depth = round(task.depth * row.depth)
    torch.manual_seed(seed)
    net = build(task.model, depth=depth, connectivity=row.connectivity, **task.arguments)
    if row.start is not None:
        whole = work.network(Key(key.task, row.start))
        net = whole.cut(choose_layers(whole, depth, data.validation, by=row.by))
    epochs = max(1, round(task.fit.epochs * row.epochs))
    warmup = task.fit.warmup * min(1.0, row.epochs)
    config = replace(task.fit, epochs=epochs, warmup_epochs=warmup, seed=seed, **row.fit)
    costs = [cost.flops or 0 for cost in depth_costs(net, net.example(1))]
    few = None if row.sandwich is None else round(task.depth * row.sandwich)
    hooks, augment = [] if few is None else [Sandwich(few)], task.augment
    parts = data.train, data.validation, config
    result = fit(net, *parts, augment=augment, hooks=hooks, progress=False)
    io.save(net, work.home(key) / "model", overwrite=True)
    validation, test = probe(net, data.validation), probe(net, data.test)
    flops = 3 * data.examples * sum(forward_flops(config, costs, depth, result.history, few))
    return {
        "fit": {name: _plain(value) for name, value in row.fit.items()},
        "start": row.start,
        "epochs": epochs,
        "layers": depth,
        "validation": rounded(validation.scores, 5),
        "test": rounded(test.scores, 5),
        "selected": validation.select(tolerance=TOLERANCE).depth,
        "by_epoch": [record["validation"] for record in result.history if "validation" in record],
        "kept": [[r["epoch"], r["kept"]] for r in result.history if "kept" in r],
        "flops": flops,
        "seconds": round(result.seconds, 1),
    }


def _plain(value: Any) -> Any:
    return value if isinstance(value, int | float | str) else asdict(value)


def forward_flops(
    config: FitConfig,
    costs: list[int],
    depth: int,
    history: list[dict[str, Any]],
    few: int | None = None,
) -> list[float]:
    """Return FLOPs of one example's forward pass in every epoch, including its heads.

    Args:
        config: Settings of the run.
        costs: FLOPs of the first k layers and a head, k from 0.
        depth: Number of layers at the start.
        history: Records of the epochs.
        few: Number of layers that every second step runs; None is all of them.
    """
    found = []
    for epoch, record in enumerate(history):
        places = [(epoch + share / 8) / config.epochs for share in range(8)]
        layers = [depth if config.grow is None else config.grow.depth(p, depth) for p in places]
        if few is not None:
            layers += [min(few, k) for k in layers]
        passes = sum(costs[k] for k in layers) / len(layers)
        extra = 0.0
        if config.distil is not None:
            taught = [place >= config.distil.start for place in places]
            heads = len(config.distil.depths(depth)) - 1
            extra = heads * costs[0] * sum(taught) / len(taught)
        found.append(passes + extra)
        depth = record.get("kept", depth)
    return found


def table_of(task: str, settings: Settings, results: Results[Key]) -> str:
    """Return the table of one task; differences are paired by seed with the residual control.

    A row may have more seeds than the control. Its scores are of all of them, the differences
    and the ratios of those that both have; a task without a control has dashes there.
    """
    rows, control = [], Key(task, "residual")
    for key in [key for key in results.keys if key.task == task]:
        seeds = [seed for seed in results.seeds if (key, seed) in results.scores]
        runs = [results.scores[key, seed] for seed in seeds]
        both = [seed for seed in seeds if (control, seed) in results.scores]
        pairs = [(results.scores[key, seed], results.scores[control, seed]) for seed in both]
        cut = [run["test"][run["selected"]] for run in runs]
        gained = [100 * (run["test"][run["selected"]] - base["test"][-1]) for run, base in pairs]
        whole = [
            _with_starts(results, key, seed) / base["flops"]
            for seed, (_, base) in zip(both, pairs, strict=True)
        ]
        cells = [key.row, str(len(runs)), per_cent([run["test"][-1] for run in runs])]
        cells += [f"{each(run['selected'] for run in runs)} of {runs[0]['layers']}", per_cent(cut)]
        cells.append(spread(gained, sign="+") if gained else "-")
        cells += [_times([run["flops"] / base["flops"] for run, base in pairs]), _times(whole)]
        rows.append((*cells, each(_reached(run, base) for run, base in pairs) or "-"))
    headings = ("network", "seeds", "test, full", "layers kept", "test, cut")
    against = ("cut against residual control", "training FLOPs", "with its start")
    return markdown((*headings, *against, "epochs to control - 0.5"), rows)


def _times(shares: list[float]) -> str:
    return f"{stats.mean(shares):.2f} x" if shares else "-"


def _with_starts(results: Results[Key], key: Key, seed: int) -> float:
    """Return FLOPs of a row, plus those of the row that it starts from, and so on."""
    run = results.scores.get((key, seed))
    if run is None:
        return 0.0
    start = run["start"]
    before = 0.0 if start is None else _with_starts(results, Key(key.task, start), seed)
    return float(run["flops"]) + before


def _reached(run: Mapping[str, Any], control: Mapping[str, Any]) -> str:
    """Return the first epoch with a validation score within half a point of the control's last."""
    goal = control["by_epoch"][-1] - 0.005
    found = (str(i + 1) for i, score in enumerate(run["by_epoch"]) if score >= goal)
    return next(found, "never")


def table(settings: Settings, results: Results[Key]) -> str:
    """Return the tables of all tasks."""
    return "\n\n".join(f"{t}:\n\n{table_of(t, settings, results)}" for t in settings.tasks)
