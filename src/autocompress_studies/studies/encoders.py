"""Masked-word pretraining on novels, then SST-2: ACN encoders, a residual one, a shallow one.

Four networks are pretrained on the same tokens (one seed): an ACN from the first step, one that is
annealed to it, a residual and a shallow residual one. Each is fine-tuned with three seeds. The
shallow one has as many layers as the annealed one keeps: the median over its seeds. Depths are
chosen on data carved from train; test is GLUE's validation split.
"""

from __future__ import annotations

import math
import statistics as stats
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from autocompress.data import Splits
from autocompress.data.places import locate
from autocompress.depth import probe
from autocompress.measurement import measure_together
from autocompress.pipeline import ModelConfig, RunConfig, load_for
from autocompress.pipeline.compressing import first_examples
from autocompress.printing import markdown
from autocompress.training import find_path
from autocompress_studies.figures import Figure, curve, legend_below
from autocompress_studies.results import Arm, Results, Runs
from autocompress_studies.settings import CPU_TASK, CPU_WORDS, INNER, changed
from autocompress_studies.study import Study
from autocompress_studies.words import each, per_cent
from autocompress_studies.work import TOLERANCE, Work

__all__ = ["STUDY", "TASK", "WORDS", "Key", "Settings"]

#: recipes/bert-mlm-cpu.yaml and recipes/glue-sst2-cpu.yaml, with data from the hub.
WORDS = changed(
    CPU_WORDS,
    {"data.length": 32, "model.depth": 12, "fit.epochs": 3, "fit.batch_size": 32},
)
TASK = RunConfig(
    data=replace(CPU_TASK.data, length=32, validation=0.2),
    model=ModelConfig(connectivity="acn"),
    fit=CPU_TASK.fit,
)

#: By network, its rule, and the path to it in pretraining.
NETS: dict[str, tuple[Any, str | None]] = {
    "ACN": ("acn", None),
    "annealed": (INNER, "anneal"),
    "residual": ("residual", None),
    "shallow": ("residual", None),
}
_NAMES = {
    "ACN": "ACN",
    "annealed": "annealed to an ACN",
    "residual": "residual",
    "shallow": "residual, as many layers as the annealed one keeps",
}


class Key(NamedTuple):
    """A network, what it learns, and the seed of fine-tuning."""

    net: str
    task: str = "words"
    tuning: int | None = None

    def __str__(self) -> str:
        seed = "" if self.tuning is None else f", tuned with seed {self.tuning}"
        return f"{self.net}, {self.task}{seed}"


#: The arm that measures the cost of all networks.
COSTS = Key("all", "costs")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings of the training."""

    words: RunConfig  #: on masked words
    task: RunConfig  #: of fine-tuning
    tunings: tuple[int, ...] = (0, 1, 2)  #: seeds of fine-tuning

    def tuned(self, net: str) -> tuple[Key, ...]:
        """Return the keys of a network's fine-tunings."""
        return tuple(Key(net, "SST-2", seed) for seed in self.tunings)


def arms(settings: Settings) -> list[Arm[Key]]:
    found: list[Arm[Key]] = []
    for net in NETS:
        after = settings.tuned("annealed") if net == "shallow" else ()
        found.append(Arm(Key(net), after, seeds=1))
        found += [Arm(key, (Key(net),), seeds=1) for key in settings.tuned(net)]
    everything = tuple(key for net in NETS for key in settings.tuned(net))
    return [*found, Arm(COSTS, everything, seeds=1)]


def run(settings: Settings, key: Key, work: Work) -> dict[str, Any]:
    if key == COSTS:
        return _costs(settings, work)
    return _pretrained(settings, key, work) if key.tuning is None else _tuned(settings, key, work)


def _pretrained(settings: Settings, key: Key, work: Work) -> dict[str, Any]:
    rule, path = NETS[key.net]
    depth = settings.words.model.depth
    if key.net == "shallow":
        depth = _kept([work.before[tuned] for tuned in settings.tuned("annealed")])
    model = {"model.depth": depth, "model.connectivity": rule}
    config = changed(settings.words, {**model, "fit.path": find_path(path)})
    data = work.load(config.data)
    net, _ = work.train(config, data)
    seen = probe(net, data.validation)
    return {"scores": seen.scores, "losses": seen.losses}


def _task(settings: Settings, key: Key, work: Work) -> tuple[RunConfig, Splits]:
    """Return the fine-tuning of a pretrained network, and its data by that network's tokenizer."""
    start = {"model.init": str(work.home(Key(key.net))), "model.connectivity": NETS[key.net][0]}
    data = {"data.name": locate(settings.task.data.name, work.data)}
    config = changed(settings.task, {**data, **start, "fit.seed": key.tuning or 0})
    return config, load_for(config)


def _tuned(settings: Settings, key: Key, work: Work) -> dict[str, Any]:
    config, data = _task(settings, key, work)
    net, _ = work.train(config, data)
    seen = probe(net, data.validation)
    selection = seen.select(tolerance=TOLERANCE)
    return {
        "depth": net.depth,
        "validation": seen.scores,
        "test": probe(net, data.test).scores,
        "selected": selection.depth,
        "rule": selection.rule,
    }


def _costs(settings: Settings, work: Work) -> dict[str, Any]:
    """Return what the networks cost before and after the cut, measured side by side."""
    nets = {net: work.network(settings.tuned(net)[0]) for net in NETS}
    kept = {net: _kept([work.before[key] for key in settings.tuned(net)]) for net in NETS}
    cuts = {f"{name} cut": net.cut(kept[name]) for name, net in nets.items()}
    data = _task(settings, settings.tuned("ACN")[0], work)[1]
    corpus, words = work.load(settings.words.data), settings.words
    costs = measure_together({**nets, **cuts}, first_examples(data.validation, nets["ACN"]))
    return {
        "tokens": words.fit.epochs * len(corpus.train) * int(words.data.length or 0),
        "words": corpus.description,
        "task": data.description,
        "costs": {name: cost.to_json() for name, cost in costs.items()},
    }


def _kept(runs: Sequence[Mapping[str, Any]]) -> int:
    """Return the number of layers that the rule keeps: the median over a network's fine-tunings."""
    return int(stats.median_low(run["selected"] for run in runs))


def _runs(settings: Settings, results: Results[Key], net: str) -> Runs:
    return [run for key in settings.tuned(net) for run in results.of(key)]


def table(settings: Settings, results: Results[Key]) -> str:
    depths = range((settings.words.model.depth or 0) + 1)
    words, task, costs = [], [], []
    (measured,) = results.of(COSTS)
    for net, name in _NAMES.items():
        (learned,) = results.of(Key(net))
        words.append((name, *(f"{math.exp(nats):.0f}" for nats in learned["losses"])))
        runs = _runs(settings, results, net)
        means = [stats.mean(at) for at in zip(*(run["test"] for run in runs), strict=True)]
        task.append((name, *(f"{100 * mean:.1f}" for mean in means)))
        full = [run["test"][-1] for run in runs]
        costs.append(_cost(name, [runs[0]["depth"]], full, measured["costs"][net]))
        if net != "shallow":
            kept = [run["selected"] for run in runs]
            cut = [run["test"][run["selected"]] for run in runs]
            name = f"{name}, cut by the rule"
            costs.append(_cost(name, kept, cut, measured["costs"][f"{net} cut"]))
    columns = [str(k) for k in depths]
    headings = ("network", "layers", "SST-2 test, %", "parameters", "file", "batch 1", "batch 256")
    return "\n\n".join(
        (
            markdown(("masked words: perplexity at depth", *columns), words),
            markdown(("SST-2: test accuracy at depth, %", *columns), task),
            markdown(headings, costs),
        )
    )


def _cost(
    name: str, layers: Sequence[int], scores: Sequence[float], cost: Mapping[str, Any]
) -> tuple[str, ...]:
    times = (f"{cost['latency_ms'][batch]:.2f} ms" for batch in ("1", "256"))
    size = f"{cost['bytes'] / 1e6:.2f} MB"
    return (name, each(layers), per_cent(scores), f"{cost['parameters']:,}", size, *times)


def draw(figure: Figure, settings: Settings, results: Results[Key]) -> None:
    left, right = figure.subplots(1, 2)
    for net in NETS:
        (learned,) = results.of(Key(net))
        curve(left, learned["losses"], net)
        tests = [run["test"] for run in _runs(settings, results, net)]
        curve(right, [100 * stats.mean(at) for at in zip(*tests, strict=True)], net)
    left.set(title="masked words", ylabel="validation loss, nats", xlabel="layers that run")
    right.set(title="SST-2", ylabel="test accuracy, %", xlabel="layers that run")
    legend_below(figure, [right])


STUDY = Study(
    name="encoders",
    shows="encoders, from masked words to SST-2, before and after the cut, and their costs",
    presets={"cpu": Settings(words=WORDS, task=TASK)},
    costs={"cpu": "an hour"},
    arms=arms,
    run=run,
    table=table,
    draw=draw,
    marks={"language": table},
)
