"""Few examples of each class: ACN against residual."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from autocompress.data.splitting import balanced
from autocompress.depth import probe
from autocompress.errors import ConfigError
from autocompress.pipeline import RunConfig
from autocompress_studies import Arm, Results, Statement, Study, Work
from autocompress_studies.figures import Figure, legend_below, over
from autocompress_studies.settings import PAPER, SMOKE, SPARE, as_net, changed, for_steps
from autocompress_studies.statements import lower_loss, more_accurate
from autocompress_studies.words import by_arm
from autocompress_studies.work import examine, rounded

__all__ = ["STUDY", "Key", "Settings"]

NETS = ("ACN", "residual")


class Key(NamedTuple):
    """A number of images per class, and a network."""

    samples: int
    net: str

    def __str__(self) -> str:
        return f"{self.samples} a class, {self.net}"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings of the training; ``steps`` say how long it is, not the epochs of ``network``."""

    network: RunConfig  #: of the ACN; its ``control`` is the residual network's
    samples: tuple[int, ...] = (10, 30, 100, 300)  #: numbers of training images per class
    of_paper: int = 100  #: the number that the paper uses
    steps: int = 600  #: number of optimizer steps, equal for all numbers of images


def run(settings: Settings, key: Key, work: Work) -> dict[str, Any]:
    config = work.seeded(as_net(key.net, settings.network))
    data = work.load(config.data)  # validation is split off all of it, so it is large enough
    count = key.samples * len(data.classes)
    if count > len(data.train):
        raise ConfigError(f"{count} images are requested; train has {len(data.train)}")
    few = data.train.select(balanced(data.train.labels, count, work.seed))
    config = for_steps(config, settings.steps, count)
    net, seconds = work.train(config, replace(data, train=few))
    train = probe(net, few)
    learned = {"train": rounded(train.scores), "train_loss": rounded(train.losses)}
    return {**examine(net, data), **work.told(seconds), **learned}


def statements(settings: Settings, results: Results[Key]) -> Iterator[Statement]:
    for n in settings.samples:
        sides, of_paper = [Key(n, net) for net in NETS], n == settings.of_paper
        words = f"{n} a class: the ACN is more accurate on test"
        yield more_accurate(words, results, *sides, of_paper=of_paper)
        words = f"{n} a class: the ACN has the lower test loss"
        yield lower_loss(words, results, *sides, of_paper=of_paper)


def draw(figure: Figure, settings: Settings, results: Results[Key]) -> None:
    left, right = figure.subplots(1, 2)
    for net in NETS:
        keys = {n: Key(n, net) for n in settings.samples}
        over(left, results, keys, "test", net, marker="o")
        over(right, results, keys, "test_loss", net, marker="o")
        over(right, results, keys, "train_loss", net, ls=":")
    for axes, read in ((left, "test accuracy, %"), (right, "loss, nats: test, and train (dotted)")):
        axes.set(xscale="log", xlabel="training images of each class", ylabel=read)
    legend_below(figure, [left])


STUDY = Study(
    name="low-data",
    shows="losses and accuracies with few training images per class",
    paper="Mixers of 16 layers are trained on the first 100 images of each class of CIFAR-10 for "
    "150 epochs. The residual one overfits, and the ACN ends with the lower test loss and the "
    "higher accuracy.",
    presets={
        "smoke": Settings(network=SMOKE, samples=(10, 30), of_paper=30, steps=20),
        "cpu": Settings(network=SPARE, steps=1_000),
        "paper": Settings(network=changed(PAPER, {"control": None}), steps=15 * 150),
    },
    costs={"smoke": "seconds", "cpu": "15 core-minutes a seed", "paper": "a GPU for hours"},
    arms=lambda settings: [Arm(Key(n, net)) for n in settings.samples for net in NETS],
    run=run,
    headlines=(
        "100 a class: the ACN is more accurate on test",
        "100 a class: the ACN has the lower test loss",
    ),
    statements=statements,
    table=by_arm(
        "images, network", "test, full", "train", "test loss", "train loss", "layers needed"
    ),
    draw=draw,
)
