"""Do harder tasks need more layers?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from autocompress.data import DataConfig
from autocompress.pipeline import RunConfig
from autocompress_studies import Arm, Results, Statement, Study, Work
from autocompress_studies.figures import by_depth
from autocompress_studies.settings import PAPER, SMOKE, SPARE, as_net, changed, sized
from autocompress_studies.statements import compresses, fewer_layers
from autocompress_studies.words import by_arm

__all__ = ["STUDY", "Key", "Settings"]

NETS = ("ACN", "residual")


class Key(NamedTuple):
    """A task and a network."""

    classes: int
    net: str

    def __str__(self) -> str:
        return f"{self.classes} classes, {self.net}"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings of the training; all tasks have the same number of images."""

    network: RunConfig  #: of the ACN; its ``control`` is the residual network's
    classes: tuple[int, ...] = (2, 5, 10)  #: the set's first classes, ascending
    epochs: Mapping[int, int] = field(default_factory=dict)  #: of tasks that converge later
    margin: float = 0.01  #: accuracies (fractions) that differ by less count as equal


def run(settings: Settings, key: Key, work: Work) -> dict[str, Any]:
    config = as_net(key.net, settings.network)
    epochs = settings.epochs.get(key.classes, config.fit.epochs)
    changes = {"data.classes": tuple(range(key.classes)), "fit.epochs": epochs}
    return work.examined(changed(config, changes))


def statements(settings: Settings, results: Results[Key]) -> Iterator[Statement]:
    fewest, *_, most = settings.classes
    words = f"the ACN needs more layers for {most} classes than for {fewest}"
    few, many = Key(fewest, "ACN"), Key(most, "ACN")
    yield fewer_layers(words, results, few, many, shared="none")
    for n in settings.classes:
        task, keys = f"{n} classes", (Key(n, "ACN"), Key(n, "residual"))
        named = "the residual network"
        yield from compresses(task, results, *keys, settings.margin, named=named)


STUDY = Study(
    name="difficulty",
    shows="the layers needed, which grow with the number of classes",
    paper="With 2, 5 and 10 classes of CIFAR-10, an ACN Mixer of 16 layers needs 8, 10 and 12 of "
    "them. The residual Mixer needs all 16 each time.",
    presets={  # all three tasks get the same number of images; two classes of MNIST have 12,000
        "smoke": Settings(network=SMOKE, classes=(2, 10)),
        "cpu": Settings(network=sized(SPARE, 6_000), epochs={10: 36}),
        "paper": Settings(
            network=replace(PAPER, data=DataConfig(name=PAPER.data.name, train_limit=10_000))
        ),
    },
    costs={"smoke": "seconds", "cpu": "2 core-hours", "paper": "a GPU for days"},
    arms=lambda settings: [Arm(Key(n, net)) for n in settings.classes for net in NETS],
    run=run,
    headlines=(
        "the ACN needs more layers for 10 classes than for 2",
        "10 classes: the ACN needs fewer layers than the residual network",
        "10 classes: the cut ACN is as good as the residual network",
    ),
    statements=statements,
    table=by_arm("task, network", "test, full", "layers needed", "test, cut"),
    draw=by_depth(
        lambda settings: {f"{n} classes": {k: Key(n, k) for k in NETS} for n in settings.classes},
        needed=True,
        legend="dotted: layers needed, by seed",
    ),
)
