"""The depth needed for equal accuracy: ACN, residual, and two rivals of equal size."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from autocompress.pipeline import RunConfig
from autocompress_studies import Arm, Results, Statement, Study, Work
from autocompress_studies.figures import by_depth
from autocompress_studies.settings import PAPER, PAPER_VIT, SMOKE, SPARE, as_net
from autocompress_studies.statements import compresses
from autocompress_studies.words import by_arm

__all__ = ["STUDY", "Key", "Settings"]

#: The networks of a family, and those of the same family that must be trained before.
KINDS = {"ACN": (), "residual": (), "shallow": ("ACN",), "healed": ("ACN", "residual")}


class Key(NamedTuple):
    """A family of networks, and which of its four."""

    family: str
    kind: str


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings of the training."""

    networks: dict[str, RunConfig]  #: of the ACNs; their ``control`` is the residual network's
    heal: int  #: epochs of training of the residual network after it was cut
    margin: float = 0.01  #: accuracies (fractions) that differ by less count as equal


def run(settings: Settings, key: Key, work: Work) -> dict[str, Any]:
    config = work.seeded(settings.networks[key.family])
    if key.kind in ("ACN", "residual"):
        return work.examined(as_net(key.kind, config))
    depth = max(1, work.before[Key(key.family, "ACN")]["selected"])
    rival = config.rival(depth)
    if key.kind == "shallow":
        return work.examined(rival)
    start = work.network(Key(key.family, "residual")).cut(depth)
    return work.examined(rival.healing(settings.heal), start=start)


def statements(settings: Settings, results: Results[Key]) -> Iterator[Statement]:
    rivals = {
        "shallow": "a residual network of that depth from scratch",
        "healed": "the residual network cut to that depth and healed",
    }
    for family in settings.networks:
        others = {named: Key(family, rival) for rival, named in rivals.items()}
        sides = Key(family, "ACN"), Key(family, "residual")
        yield from compresses(family, results, *sides, settings.margin, rivals=others)


def keys(family: str, *kinds: str) -> dict[str, Key]:
    return {kind: Key(family, kind) for kind in kinds}


STUDY = Study(
    name="depth",
    shows="the layers needed for equal accuracy",
    paper="On ImageNet-1K the ACN ViT scores 70.8 % with 6 of 12 layers, the residual ViT 70.7 % "
    "with all 12. On CIFAR-10 the ACN Mixer scores 92.0 % with 75 % of its 16 layers, the "
    "residual Mixer 90.3 % with all.",
    presets={
        "smoke": Settings(networks={"Mixer": SMOKE}, heal=1),
        "cpu": Settings(networks={"Mixer": SPARE}, heal=6),
        "paper": Settings(networks={"Mixer": PAPER, "ViT": PAPER_VIT}, heal=30),
    },
    costs={
        "smoke": "seconds",
        "cpu": "140 core-minutes",
        "paper": "the Mixer a GPU for days, the ViT several for weeks",
    },
    arms=lambda settings: [
        Arm(Key(family, kind), after=tuple(Key(family, other) for other in after))
        for family in settings.networks
        for kind, after in KINDS.items()
    ],
    run=run,
    headlines=(
        "Mixer: the ACN needs fewer layers than the residual network",
        "Mixer: the cut ACN is as good as the residual network with all its layers",
        "Mixer: the cut ACN is as good as a residual network of that depth from scratch",
    ),
    statements=statements,
    table=by_arm(
        "network", "test, full", "layers needed", "test, cut", "parameters, cut", "epochs"
    ),
    draw=by_depth(
        lambda settings: {f: keys(f, "ACN", "residual") for f in settings.networks},
        stars=lambda settings: {f: keys(f, "shallow", "healed") for f in settings.networks},
    ),
)
