"""One task after another: what is kept, and what is forgotten."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import torch

from autocompress.continual import Stream, StreamConfig, Task, TaskMatrix, learn
from autocompress.continual.config import Protect
from autocompress.data import DataConfig, Labelled, Splits
from autocompress.pipeline import ModelConfig, RunConfig, StreamRun
from autocompress.reproduce.authors import Passages, write_passages
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
from autocompress.reproduce.words import per_cent
from autocompress.reproduce.work import TOLERANCE, Work, described, locate
from autocompress.statistics import paired
from autocompress.training import FitConfig

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Forgetting", "ForgettingSettings"]

_NAIVE, _SI = "naive", "SI"

#: What the paper protects by; other protections are controls of ours.
_PAPERS = (_NAIVE, _SI)
_NETS = {"ACN": "#0072b2", "residual": "#d55e00"}
_KINDS: dict[str, Protect] = {
    _NAIVE: "none",
    _SI: "si",
    "SI x100": "si",
    "EWC": "ewc",
    "replay": "replay",
}
_STYLES = {_NAIVE: "o-", _SI: "s--", "SI x100": "^:"}
_SHALLOW = "shallow"


@dataclass(frozen=True, kw_only=True)
class ForgettingSettings:
    """What is learned.

    Args:
        streams: by name, how each task is trained; the model's depth is one of ``depths``.
        tasks: by stream, how many parts its classes are split into.
        depths: layers of the networks.
        protections: for every depth, of ``naive``, ``SI``, ``SI x100``, ``EWC``, ``replay``.
        controls: the same, for one depth only.
        control_depth: which.
        strengths: of the protections.
        replayed: examples that replay keeps of each task.
        measured: examples of each task that EWC measures importance on.
        images: of the test set of each task, the first ones; None takes all.
        passages: what the streams of texts are made of; their data are a library of novels.
    """

    streams: dict[str, RunConfig]
    tasks: dict[str, int]
    depths: tuple[int, ...] = (5, 10, 15)
    protections: tuple[str, ...] = (_NAIVE, _SI)
    controls: tuple[str, ...] = ("EWC", "replay")
    control_depth: int = 10
    strengths: dict[str, float] = field(
        default_factory=lambda: {_SI: 1.0, "SI x100": 100.0, "EWC": 100.0, "replay": 1.0}
    )
    replayed: int = 50
    measured: int = 64
    images: int | None = None
    passages: Passages = field(default_factory=Passages)


def _epochs(
    config: RunConfig, epochs: int, batch_size: int, warmup: float = 0.5, lr: float = 1e-3
) -> RunConfig:
    fit = replace(config.fit, epochs=epochs, batch_size=batch_size, warmup_epochs=warmup, lr=lr)
    return replace(config, fit=fit, control=None)


_NARROW = CPU.model.having(width=32, channel_width=64)
_DIGITS = RunConfig(
    data=DataConfig(name="digits"),
    model=ModelConfig(
        depth=10,
        connectivity="acn",
        options={"width": 32, "patch_size": 4, "token_width": 8, "channel_width": 64},
    ),
    fit=FitConfig(device="cpu"),
)
_AUTHORS = RunConfig(
    data=DataConfig(
        task="text-classification",
        name="computationalstylistics/english_novels_100",
        vocabulary=2048,
        length=32,
        truncate=True,
        validation_limit=600,  # which is all of it: the passages bring their own
    ),
    model=ModelConfig(
        name="encoder",
        depth=10,
        connectivity={"name": "acn", "inner": 1.0},
        options={
            "width": 32,
            "heads": 2,
            "mlp_width": 64,
            "norm": "pre",  # about 1 / sqrt(width): at 0.02 so few steps teach next to nothing
            "weight_std": 0.18,
        },
    ),
    fit=FitConfig(device="cpu"),
)
_PRESETS = {
    "smoke": ForgettingSettings(
        streams={"digits": _epochs(SMOKE, 1, 64)},
        tasks={"digits": 2},
        depths=(2, 3),
        control_depth=2,
        replayed=10,
        measured=4,
    ),
    "cpu": ForgettingSettings(
        streams={
            "Split digits": _epochs(_DIGITS, 8, 32),
            "Split CIFAR-10": _epochs(
                replace(CPU, model=_NARROW, data=replace(CPU.data, train_limit=3_600)), 5, 64
            ),
            # At 1e-3 neither network of 10 layers learned the later tasks (validation, one seed).
            "Author against author": _epochs(_AUTHORS, 1, 16, 0.1, 5e-4),
        },
        tasks={"Split digits": 5, "Split CIFAR-10": 5, "Author against author": 10},
        # At the paper's strength SI pulls with less than 0.002 nats in runs this short and changes
        # nothing; 100 is what validation data of two seeds of digits chose of 1, 10 and 100.
        protections=(_NAIVE, _SI, "SI x100"),
        images=500,
    ),
    "paper": ForgettingSettings(
        streams={
            "Split CIFAR-100": _epochs(
                replace(PAPER, data=DataConfig(name="uoft-cs/cifar100", validation=0.1)), 10, 64
            )
        },
        tasks={"Split CIFAR-100": 20},
    ),
}
_COSTS = {"smoke": "seconds", "cpu": "40 core-minutes", "paper": "a GPU for days"}


@register_claim
class Forgetting(Claim[ForgettingSettings]):
    """Naive fine-tuning and Synaptic Intelligence at three depths; EWC and replay as controls.

    Each ACN is also held against a residual network of its cut depth, from scratch.
    """

    name = "forgetting"
    shows = "accuracy and forgetting over a stream of tasks, by depth and protection"
    paper = (
        "Mixer, Split CIFAR-100 in 20 tasks, ACN / residual, 5, 10, 15 layers. Naive: accuracy "
        "33.0 / 31.8, 32.9 / 28.2, 31.6 / 26.1 %, forgetting 46.6 / 52.8, 45.5 / 54.9, 46.9 / "
        "54.5 points. SI: accuracy 44.5 / 43.5, 46.1 / 36.1, 46.2 / 32.1 %, forgetting 35.7 / "
        "42.4, 33.8 / 44.6, 32 / 50 points."
    )
    presets = _PRESETS
    costs = _COSTS

    def describe(self, settings: ForgettingSettings) -> str:
        """Beside the settings: what SI's strength means in runs of this length, and the texts."""
        said = [
            super().describe(settings),
            "- SI has the paper's strength of 1, which in tasks as "
            "short as those of the cpu preset is a pull of thousandths of a nat; the 100 of SI "
            "x100 is what validation data chose of 1, 10 and 100 (digits, two seeds)",
        ]
        for name, config in settings.streams.items():
            if config.data.is_text:
                said.append(f"- {name}: {settings.passages.describe()}")
        return "\n".join(said)

    def arms(self, settings: ForgettingSettings) -> list[Arm]:
        arms = []
        for stream in settings.streams:
            for depth, protection in _pairs(settings):
                names = [_arm(stream, net, depth, protection) for net in _NETS]
                arms += [Arm(name) for name in names]
                if protection in settings.protections:
                    shallow = _arm(stream, _SHALLOW, depth, protection)
                    arms.append(Arm(shallow, after=tuple(names)))
        return arms

    def run(self, settings: ForgettingSettings, arm: str, work: Work) -> dict[str, Any]:
        stream, kind, layers, protection = arm.split(", ")
        depth = int(layers.split()[0])
        config = work.seeded(settings.streams[stream])
        if kind == _SHALLOW:
            cut, residual = (work.before[_arm(stream, n, depth, protection)] for n in _NETS)
            if cut["selected"] == depth:  # that network is trained already
                return dict(residual)
            depth = max(1, cut["selected"])
        model = replace(config.model, depth=depth)
        if kind != "ACN":
            model = model.residual(depth)
        data = _data(settings, config.data, work)
        how = _protected(settings, protection, settings.tasks[stream])
        run = StreamRun(model=model, fit=config.fit, augment=config.augment, stream=how)
        tasks = [_shortened(task, settings.images) for task in run.tasks(data)]
        net = run.build(data)
        learned = learn(net, tasks, run.fit, protect=how.protection(), augment=run.augment)
        return {"depth": depth, "model": described(net), **_kept(learned)}

    def verdict(self, settings: ForgettingSettings, results: Results) -> list[Finding]:
        found = []
        for stream in settings.streams:
            for depth, protection in _pairs(settings):
                ours, theirs = (_arm(stream, net, depth, protection) for net in _NETS)
                words = f"{stream}, {depth} layers, {protection}"
                of_paper = protection in _PAPERS
                for key, claim, sides in (
                    ("average_accuracy", "ends more accurate", (ours, theirs)),
                    ("average_forgetting", "forgets less", (theirs, ours)),
                ):
                    found.append(
                        finding(
                            f"{words}: the ACN {claim} than the residual network",
                            paired(*(_column(results, arm, key) for arm in sides)),
                            least=0.0,
                            unit="points",
                            scale=100,
                            of_paper=of_paper,
                        )
                    )
                if protection in settings.protections:
                    found.append(_against_shallow(results, stream, depth, protection))
            found += _depth_findings(settings, results, stream)
        return found

    def table(self, settings: ForgettingSettings, results: Results) -> Table:
        rows = []
        for arm in self.arms(settings):
            runs = results.of(arm.name)
            cut = [_matrix(run, run["selected"]).average_accuracy for run in runs]
            depths = ", ".join(f"{run['selected']}/{run['depth']}" for run in runs)
            rows.append(
                (
                    arm.name,
                    per_cent(_column(results, arm.name, "average_accuracy")),
                    per_cent(_column(results, arm.name, "average_forgetting")),
                    depths,
                    per_cent(cut),
                )
            )
        headings = (
            "stream, network, protection",
            "average accuracy",
            "average forgetting",
            "layers needed",
            "average accuracy, cut",
        )
        return Table(headings, rows)

    def draw(self, figure: Figure, settings: ForgettingSettings, results: Results) -> None:
        keys = ("average_accuracy", "average_forgetting")
        figure.set_size_inches(8.4, 1.0 + 2.2 * len(settings.streams))
        panels = figure.subplots(len(settings.streams), 2, squeeze=False, sharex=True)
        for row, stream in zip(panels, settings.streams, strict=True):
            for axes, key in zip(row, keys, strict=True):
                for net, colour in _NETS.items():
                    for protection in settings.protections:
                        means = [
                            100
                            * statistics.fmean(
                                _column(results, _arm(stream, net, depth, protection), key)
                            )
                            for depth in settings.depths
                        ]
                        label = f"{net}, {protection}"
                        style = _STYLES[protection]
                        axes.plot(settings.depths, means, style, color=colour, ms=4, label=label)
                axes.set_title(f"{stream}: {key.replace('_', ' ')}, %", fontsize=8)
                axes.set_xticks(settings.depths)
                axes.grid(alpha=0.25)
        for axes in panels[-1]:
            axes.set_xlabel("layers")
        figure.legend(
            *panels[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=3
        )


def _pairs(settings: ForgettingSettings) -> list[tuple[int, str]]:
    """Depths and protections that are tried together."""
    return [
        *((depth, protection) for depth in settings.depths for protection in settings.protections),
        *((settings.control_depth, protection) for protection in settings.controls),
    ]


def _arm(stream: str, net: str, depth: int, protection: str) -> str:
    return f"{stream}, {net}, {depth} layers, {protection}"


def _data(settings: ForgettingSettings, config: DataConfig, work: Work) -> Splits:
    """What a stream splits; of texts, passages by author, which the study's folder keeps."""
    if not config.is_text:
        return work.load(config)
    folder = work.folder / "data" / f"authors-seed{work.seed}"
    write_passages(locate(config.name, work.data), folder, settings.passages, work.seed)
    return replace(work, data=()).load(replace(config, name=str(folder)))


def _protected(settings: ForgettingSettings, name: str, tasks: int) -> StreamConfig:
    """The stream's tasks, and what protects them."""
    kind = _KINDS[name]
    return StreamConfig(
        tasks=tasks,
        protect=kind,
        strength=settings.strengths.get(name),
        examples={"ewc": settings.measured, "replay": settings.replayed}.get(kind),
        shuffle=True,
    )


def _shortened(task: Task, images: int | None) -> Task:
    """The task with the first examples of its test set only."""
    if images is None or not isinstance(task.test, Labelled):
        return task
    return replace(task, test=task.test.select(torch.arange(min(images, len(task.test)))))


def _kept(learned: Stream) -> dict[str, Any]:
    """All matrices by depth, the averages at full depth, and the depth that validation chooses."""
    rows = [[[round(v, 4) for v in curve] for curve in row] for row in learned.test]
    return {
        "tasks": learned.tasks,
        "selected": learned.select(TOLERANCE),
        "by_depth": rows,
        **learned.matrix().to_json(),
    }


def _matrix(run: Any, depth: int) -> TaskMatrix:
    return TaskMatrix([[curve[depth] for curve in row] for row in run["by_depth"]])


def _column(results: Results, arm: str, key: str) -> list[float]:
    return [float(run[key]) for run in results.of(arm)]


def _against_shallow(results: Results, stream: str, depth: int, protection: str) -> Finding:
    """The cut ACN, and a residual network that had as many layers from the start."""
    runs = results.of(_arm(stream, "ACN", depth, protection))
    cut = [_matrix(run, run["selected"]).average_accuracy for run in runs]
    shallow = _column(results, _arm(stream, _SHALLOW, depth, protection), "average_accuracy")
    return finding(
        f"{stream}, {depth} layers, {protection}: the cut ACN ends as accurate as a residual "
        "network of that depth from scratch",
        paired(cut, shallow),
        least=-0.01,
        unit="points",
        scale=100,
        of_paper=False,
    )


def _depth_findings(settings: ForgettingSettings, results: Results, stream: str) -> list[Finding]:
    """What depth does to each network."""
    shallowest, deepest = settings.depths[0], settings.depths[-1]
    found = []
    for protection in settings.protections:
        gains = {
            net: [
                more - less
                for more, less in zip(
                    _column(results, _arm(stream, net, deepest, protection), "average_accuracy"),
                    _column(results, _arm(stream, net, shallowest, protection), "average_accuracy"),
                    strict=True,
                )
            ]
            for net in _NETS
        }
        found.append(
            finding(
                f"{stream}, {protection}: from {shallowest} to {deepest} layers the ACN gains more "
                "(or loses less) accuracy than the residual network",
                paired(gains["ACN"], gains["residual"]),
                least=0.0,
                unit="points",
                scale=100,
                of_paper=protection in _PAPERS,
            )
        )
    return found
