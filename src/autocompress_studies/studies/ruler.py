"""Layers kept against layers needed, on powers of a cycle (docs/ruler.md).

The powers 1, 2, 4 and 8 of a random cycle need 0, 1, 2 and 3 layers. Networks of 8 layers learn all
powers up to a hardest one; which depth keeps the score of each is read off validation data.
Residual networks of 1, 2, 3, 4 and 6 layers, from scratch with as many FLOPs, show what depth is
worth here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING, Any, NamedTuple

from autocompress.data import DataConfig, Splits
from autocompress.depth import curves_by_part, probe
from autocompress.network import Network
from autocompress.pipeline import RunConfig
from autocompress.printing import markdown
from autocompress.statistics import paired
from autocompress.training import DistilConfig, FitConfig, Hook
from autocompress_studies.figures import colour_of, curve, legend_below
from autocompress_studies.results import Arm, Results, Runs
from autocompress_studies.settings import INNER, changed, network, shallow
from autocompress_studies.statements import Statement, as_good, fewer_layers
from autocompress_studies.studies.ways_known import MAIN, Way, config_of
from autocompress_studies.study import Study
from autocompress_studies.words import each, per_cent
from autocompress_studies.work import Work, examine

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["NETWORKS", "STUDY", "Key", "Settings"]

#: Score of full depth at which a power counts as learned.
LEARNED = 0.99
#: Hardest power of the task that residual networks of these fewer layers are trained on.
_MIDDLE, _SHALLOW = 4, (1, 2, 3, 4, 6)
#: The default of the library.
_DEFAULT = "residual, then taught"
#: Number of seeds of what is shown beside the main ways, and on which no statement is tested.
_FEW = 3


class Key(NamedTuple):
    """The hardest power, a way of training, and the number of layers."""

    hardest: int
    way: str
    layers: int


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings of the training.

    Args:
        tasks: Runs by hardest power.
        ways: Ways by name.
        inner: Connectivities that keep attention's skip, with their options.
    """

    tasks: dict[int, RunConfig]
    ways: dict[str, Way]
    inner: dict[str, Any]
    margin: float = 0.005  #: scores (fractions) that differ by less count as equal


class _Learning(Hook):
    """A hook that records the score of full depth on every power, a few times in a run."""

    def __init__(self, data: Splits, every: int) -> None:
        self.data, self.every = data, every
        self.scores: list[tuple[int, list[float]]] = []
        self._steps = 0

    def before_epoch(self, net: Network, epoch: int, epochs: int, steps: int) -> None:
        self._steps = epoch * steps

    def after_epoch(self, net: Network, epoch: int, epochs: int) -> None:
        if epoch % self.every == 0 or epoch == epochs:
            curves = _parts(net, self.data)
            self.scores.append((self._steps, [curve["validation"][-1] for curve in curves]))

    def learned(self) -> list[int | None]:
        """Return the step at which each power was first found learned; None if it never was."""
        return [
            next((step for step, scores in self.scores if scores[part] >= LEARNED), None)
            for part in range(len(self.data.parts))
        ]


def _parts(net: Network, data: Splits) -> list[dict[str, Any]]:
    curves = curves_by_part(probe(net, data.validation), data.validation, data.parts)
    return [curve.to_json() for curve in curves]


def run(settings: Settings, key: Key, work: Work) -> dict[str, Any]:
    config, way = work.seeded(settings.tasks[key.hardest]), settings.ways[key.way]
    config = shallow(config_of(config, way, settings.inner.get(way.connectivity)), key.layers)
    data = work.load(config.data)
    hook = _Learning(data, max(1, config.fit.epochs // 12))
    net, run = work.fitted(config, data, hooks=[hook])
    return {
        **examine(net, data),
        "parts": _parts(net, data),
        "learned": hook.learned(),
        "epochs": config.fit.epochs,
        "train_seconds": round(run.seconds, 1),
    }


def _kept(run: Mapping[str, Any]) -> float:
    """Return the layers kept on the hardest power; all of them if it was not learned."""
    last = run["parts"][-1]
    every = len(last["validation"]) - 1
    return float(last["kept"] if last["validation"][-1] >= LEARNED else every)


def statements(settings: Settings, results: Results[Key]) -> Iterator[Statement]:
    """State what the paper's claim comes to on this task."""
    whole = {hardest: task.model.depth or 0 for hardest, task in settings.tasks.items()}
    for hardest, layers in whole.items():
        keys = {key.way: key for key in results.keys if key[::2] == (hardest, layers)}
        residual = keys.get("residual")
        if residual is None or len(results.of(residual)) < len(results.seeds):
            continue  # leads of one seed decide nothing
        for way in (way for way in ("ACN", _DEFAULT) if way in keys):
            of_paper, own, named = way == "ACN", keys[way], f"up to k = {hardest}: {way}"
            fewer = [[_kept(run) for run in results.of(key)] for key in (residual, own)]
            words = f"{named}, needs fewer layers than the residual network"
            yield fewer_layers(words, results, own, residual, of_paper=of_paper)
            words = f"{named}, keeps fewer layers of the hardest power than the residual network"
            yield Statement(words, paired(*fewer), unit="layers", of_paper=of_paper)
            words = f"{named}, cut, is as good as the residual network"
            yield as_good(words, results, own, residual, settings.margin, of_paper=of_paper)
            short = [
                [run["parts"][-1]["validation"][depth] for run in results.of(own)]
                for depth in (-1, _theory(results.of(own)) - 1)
            ]
            words = f"{named}, fails on the hardest power below the depth of theory"
            yield Statement(words, paired(*short), least=0.1, scale=100, of_paper=of_paper)


def _kept_of(part: Mapping[str, Any]) -> str:
    """Return the layers kept on a power; a dash if full depth has not learned it."""
    return str(part["kept"]) if part["validation"][-1] >= LEARNED else "-"


def _theory(runs: Runs) -> int:
    """Return the depth that theory requires of the hardest power."""
    return int(runs[0]["parts"][-1]["theory"])


def _table(settings: Settings, results: Results[Key]) -> str:
    rows = []
    for key in results.keys:
        runs = results.of(key)
        kept = each("/".join(map(_kept_of, run["parts"])) for run in runs)
        steps = each("/".join(str(step or "-") for step in run["learned"]) for run in runs)
        full = per_cent([run["parts"][-1]["validation"][-1] for run in runs])
        names = (str(key.hardest), key.way, str(key.layers), str(len(runs)))
        rows.append((*names, full, each(run["selected"] for run in runs), kept, steps))
    headings = ("hardest power", "network", "layers", "seeds", "accuracy on it", "kept")
    return markdown((*headings, "kept of each power", "steps until learned"), rows)


def _draw(figure: Figure, settings: Settings, results: Results[Key]) -> None:
    trained = {key.hardest for key in results.keys}
    tasks = {hardest: task for hardest, task in settings.tasks.items() if hardest in trained}
    figure.set_size_inches(10, 4.2)
    panels = figure.subplots(1, len(tasks), squeeze=False)[0]
    named = "residual of that depth, from scratch"
    of_own_depth: Any = {"color": colour_of("residual"), "alpha": 0.6, "label": named}
    for axes, (hardest, task) in zip(panels, tasks.items(), strict=True):
        keys = [key for key in results.keys if key[::2] == (hardest, task.model.depth)]
        for key in keys:
            curves = [run["parts"][-1]["validation"] for run in results.of(key)]
            scores = [100 * fmean(column) for column in zip(*curves, strict=True)]
            curve(axes, scores, key.way, ms=3)
        for key in results.keys:
            if key.hardest == hardest and key.layers < (task.model.depth or 0):
                own = [100 * run["parts"][-1]["validation"][-1] for run in results.of(key)]
                axes.plot([key.layers] * len(own), own, "*", ms=9, **of_own_depth)
        axes.axvline(_theory(results.of(keys[0])), color="#888888", ls=":")
        axes.set(xlabel="layers that run", ylabel="accuracy on it, %", title=f"k = {hardest}")
    legend_below(figure, panels)


_FOUR = RunConfig(
    data=DataConfig(name="doubling", options={"positions": 11, "powers": [1, 2, 4]}),
    model=network(8, "encoder", width=64, heads=4, norm="pre", weight_std=0.125),
    fit=FitConfig(
        epochs=24,
        batch_size=64,
        lr=2e-3,
        warmup_epochs=2,
        weight_decay=0.01,
        label_smoothing=0.0,
        evaluate_every=1000,  # the hook looks instead
        schedule="wsd",
    ),
)
TASKS = {
    2: changed(_FOUR, {"data.options": {"positions": 11, "powers": [1, 2]}, "fit.epochs": 12}),
    4: _FOUR,
    8: changed(
        _FOUR, {"data.options": {"positions": 17, "powers": [1, 2, 4, 8]}, "fit.epochs": 60}
    ),
}
_SMOKE = changed(
    TASKS[2],
    {
        **{"model.depth": 2, "model.width": 16, "fit.epochs": 2, "fit.warmup_epochs": 0.5},
        "data.options": {"positions": 5, "powers": [1, 2], "examples": 256},
    },
)
#: Ways that are shown beside the main ones, on the middle task.
_BESIDE: dict[str, Way] = {
    "H-ACN": Way("hacn"),
    "ACN, direct gradients only": Way("acn", {"mediated": 0.0}),
    "residual, labels at every depth": Way(
        "residual", {"distil": DistilConfig(teacher="labels", profile="aligned")}
    ),
}
#: Ways that are shown beside the default on the harder cycle, with their number of seeds.
_HARDER: dict[str, tuple[int, Way]] = {
    f"{_DEFAULT}, twice as long": (
        _FEW,
        Way("residual", {"epochs": 2 * TASKS[8].fit.epochs}, taught=0.5),
    ),
    "input-fed ACN, then taught": (1, Way("input_fed", taught=0.5)),
}
NETWORKS = {**MAIN, **_BESIDE, **{name: way for name, (_, way) in _HARDER.items()}}
_INNER = {rule: {**INNER, "name": rule} for rule in ("acn", "hacn", "input_fed")}


def _arms(settings: Settings) -> list[Arm[Key]]:
    """Return the arms: the main ways with all seeds; others, which are leads, with few or one."""
    arms = list[Arm[Key]]()
    for hardest, task in settings.tasks.items():
        layers = task.model.depth or 0
        if hardest > _MIDDLE:
            seeds = {_DEFAULT: 1, **{name: count for name, (count, _) in _HARDER.items()}}
            arms += [Arm(Key(hardest, way, layers), seeds=count) for way, count in seeds.items()]
            continue
        arms += [Arm(Key(hardest, way, layers)) for way in MAIN]
        if hardest == _MIDDLE:
            arms += [Arm(Key(hardest, way, layers), seeds=_FEW) for way in _BESIDE]
            arms += [Arm(Key(hardest, "residual", depth), seeds=_FEW) for depth in _SHALLOW]
    return arms


def _describe(settings: Settings) -> str:
    keys = [arm.key for arm in _arms(settings) if arm.key.way == _DEFAULT]
    tasks = [(key, settings.tasks[key.hardest]) for key in keys]
    return "\n".join(
        f"- up to k = {key.hardest}: n = {task.data.options['positions']}, an encoder of "
        f"{key.layers} layers of width 64, {task.fit.epochs} epochs of 100 steps"
        for key, task in tasks
    )


STUDY = Study(
    name="ruler",
    shows="layers kept against layers needed, where theory knows the number",
    paper=(
        "An ACN packs what it learns into its first layers and needs no more of them than the task "
        "does. The paper has no task whose needed depth is known; the numbers of layers are ours."
    ),
    presets={
        "smoke": Settings(
            tasks={2: _SMOKE},
            ways=NETWORKS,
            inner=_INNER,
        ),
        "cpu": Settings(
            tasks=TASKS,
            ways=NETWORKS,
            inner=_INNER,
        ),
    },
    costs={"smoke": "seconds", "cpu": "half a core-hour a seed, the first three 70 minutes"},
    arms=_arms,
    run=run,
    headlines=(
        "up to k = 4: ACN, needs fewer layers than the residual network",
        "up to k = 4: residual, then taught, needs fewer layers than the residual network",
        "up to k = 4: residual, then taught, cut, is as good as the residual network",
    ),
    statements=statements,
    table=_table,
    marks={"ruler": _table},
    draw=_draw,
    describe=_describe,
)
