"""Few examples of each class."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from autocompress.data.splitting import balanced
from autocompress.depth import probe
from autocompress.errors import ConfigError
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
from autocompress.reproduce.comparing import accuracy
from autocompress.reproduce.settings import CPU, PAPER, SMOKE, control
from autocompress.reproduce.words import full_score, layers_needed, per_cent, spread
from autocompress.reproduce.work import Work, examine
from autocompress.statistics import paired

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["LowData", "LowDataSettings"]

_KINDS = {"ACN": "#0072b2", "residual": "#d55e00"}


@dataclass(frozen=True, kw_only=True)
class LowDataSettings:
    """What is trained.

    Args:
        network: how the ACN is trained; ``control`` there is the residual network's. Its epochs do
            not count: ``steps`` do.
        samples: training images of each class.
        of_paper: the one of them that the paper has.
        steps: optimizer steps, the same for every number of samples.
    """

    network: RunConfig
    samples: tuple[int, ...] = (10, 30, 100, 300)
    of_paper: int = 100
    steps: int = 600


_PRESETS = {
    "smoke": LowDataSettings(network=SMOKE, samples=(10, 30), of_paper=30, steps=20),
    "cpu": LowDataSettings(network=CPU, steps=500),
    "paper": LowDataSettings(network=replace(PAPER, control=None), steps=15 * 150),
}
_COSTS = {"smoke": "seconds", "cpu": "10 core-minutes", "paper": "a GPU for hours"}


@register_claim
class LowData(Claim[LowDataSettings]):
    """10, 30, 100 and 300 images of each class; ACN against residual."""

    name = "low-data"
    shows = "losses and accuracies with few images of each class"
    paper = (
        "Mixer of 16 layers, the first 100 images of each class of CIFAR-10, 150 epochs: the "
        "residual network overfits, the ACN ends with the lower test loss and the higher accuracy."
    )
    presets = _PRESETS
    costs = _COSTS

    def arms(self, settings: LowDataSettings) -> list[Arm]:
        return [Arm(f"{n} a class, {kind}") for n in settings.samples for kind in _KINDS]

    def run(self, settings: LowDataSettings, arm: str, work: Work) -> dict[str, Any]:
        config = work.seeded(settings.network)
        if arm.endswith("residual"):
            config = control(config)
        data = work.load(config.data)  # validation is carved from all, so it is large enough
        count = int(arm.split()[0]) * len(data.classes)
        if count > len(data.train):
            raise ConfigError(f"{count} images are wanted of the {len(data.train)} of train")
        few = data.train.select(balanced(data.train.labels, count, work.seed))
        batch = min(config.fit.batch_size, count)
        epochs = max(1, round(settings.steps / (count // batch)))
        fit = replace(
            config.fit,
            batch_size=batch,
            epochs=epochs,
            warmup_epochs=0.1 * epochs,
            evaluate_every=epochs,
            checkpoint_every=epochs,
        )
        net, seconds = work.train(replace(config, fit=fit), replace(data, train=few))
        train = probe(net, few)
        return {
            **examine(net, data),
            **work.told(seconds),
            "train": [round(score, 6) for score in train.scores],
            "train_loss": [round(loss, 6) for loss in train.losses or []],
        }

    def verdict(self, settings: LowDataSettings, results: Results) -> list[Finding]:
        found = []
        for n in settings.samples:
            ours, theirs = f"{n} a class, ACN", f"{n} a class, residual"
            losses = [
                [by_depth[-1] for by_depth in results.column(arm, "test_loss")]
                for arm in (theirs, ours)
            ]
            found += [
                finding(
                    f"{n} a class: the ACN is more accurate on test",
                    accuracy(results, ours, theirs, ours_cut=False, theirs_cut=False),
                    least=0.0,
                    unit="points",
                    scale=100,
                    of_paper=n == settings.of_paper,
                ),
                finding(
                    f"{n} a class: the ACN has the lower test loss",
                    paired(*losses),
                    least=0.0,
                    unit="nats",
                    of_paper=n == settings.of_paper,
                ),
            ]
        return found

    def table(self, settings: LowDataSettings, results: Results) -> Table:
        rows = []
        for arm in self.arms(settings):
            runs = results.of(arm.name)
            rows.append(
                (
                    arm.name,
                    full_score(runs),
                    per_cent([run["train"][-1] for run in runs]),
                    spread([run["test_loss"][-1] for run in runs], 2),
                    spread([run["train_loss"][-1] for run in runs], 2),
                    layers_needed(runs),
                )
            )
        headings = ("images, network", "test", "train", "test loss", "train loss", "layers needed")
        return Table(headings, rows)

    def draw(self, figure: Figure, settings: LowDataSettings, results: Results) -> None:
        left, right = figure.subplots(1, 2)
        for kind, colour in _KINDS.items():
            for seed in results.seeds:
                runs = [results.scores[f"{n} a class, {kind}", seed] for n in settings.samples]
                label = kind if seed == results.seeds[0] else None
                style: Any = {"color": colour, "marker": "o", "ms": 4, "lw": 0.9}
                left.plot(
                    settings.samples, [100 * run["test"][-1] for run in runs], label=label, **style
                )
                right.plot(settings.samples, [run["test_loss"][-1] for run in runs], **style)
                style |= {"ls": ":", "marker": ""}
                right.plot(settings.samples, [run["train_loss"][-1] for run in runs], **style)
        for axes in (left, right):
            axes.set(xscale="log", xlabel="training images of each class")
            axes.grid(alpha=0.25)
        left.set_ylabel("test accuracy, %")
        right.set_ylabel("loss, nats: test, and train (dotted)")
        left.legend()
