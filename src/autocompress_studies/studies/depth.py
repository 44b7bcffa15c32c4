"""The depth needed for equal accuracy: ACN, residual, and two rivals of equal size."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from autocompress.pipeline import RunConfig
from autocompress.printing import markdown
from autocompress_studies.figures import depth_panel
from autocompress_studies.results import Arm, Results, name_of
from autocompress_studies.settings import CPU, CPU_VIT, PAPER, PAPER_VIT, SMOKE, control
from autocompress_studies.statements import Statement, accuracy, fewer_layers, points
from autocompress_studies.study import Study
from autocompress_studies.words import cut_score, full_score, layers_needed, parameters_kept
from autocompress_studies.work import Work

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["STUDY", "Key", "Settings"]


class Key(NamedTuple):
    """A family of networks, and which of its four."""

    family: str
    kind: str


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings of the training.

    Args:
        networks: Training of the ACN by name; its ``control`` is the residual network's.
        heal: Epochs of training of the residual network after it was cut.
        margin: Difference of accuracy below which two networks count as equal (a fraction).
    """

    networks: dict[str, RunConfig]
    heal: int
    margin: float = 0.01


def arms(settings: Settings) -> list[Arm[Key]]:
    found = []
    for family in settings.networks:
        acn, residual = Key(family, "ACN"), Key(family, "residual")
        found += [Arm(acn), Arm(residual), Arm(Key(family, "shallow"), after=(acn,))]
        found.append(Arm(Key(family, "healed"), after=(acn, residual)))
    return found


def run(settings: Settings, key: Key, work: Work) -> dict[str, Any]:
    config = work.seeded(settings.networks[key.family])
    if key.kind == "ACN":
        return work.examined(config)
    if key.kind == "residual":
        return work.examined(control(config))
    depth = max(1, work.before[Key(key.family, "ACN")]["selected"])
    rival = config.rival(depth)
    if key.kind == "shallow":
        return work.examined(rival)
    start = work.network(Key(key.family, "residual")).cut(depth)
    return work.examined(rival.healing(settings.heal), start=start)


def statements(settings: Settings, results: Results[Key]) -> Iterator[Statement]:
    rivals = {
        "residual": "the residual network with all its layers",
        "shallow": "a residual network of that depth from scratch",
        "healed": "the residual network cut to that depth and healed",
    }
    for family in settings.networks:
        acn = Key(family, "ACN")
        words = f"{family}: the ACN needs fewer layers than the residual network"
        yield fewer_layers(words, results, acn, Key(family, "residual"))
        for rival, named in rivals.items():
            yield points(
                f"{family}: the cut ACN is as good as {named}",
                accuracy(results, acn, Key(family, rival), ours_cut=True),
                margin=settings.margin,
                of_paper=rival == "residual",
            )


def table(settings: Settings, results: Results[Key]) -> str:
    rows = []
    for key in results.keys:
        runs = results.of(key)
        epochs = f"{runs[0]['epochs']}{' more' if key.kind == 'healed' else ''}"
        cells = (cell(runs) for cell in (full_score, layers_needed, cut_score, parameters_kept))
        rows.append((name_of(key), *cells, epochs))
    headings = ("network", "test, full", "layers needed", "test, cut", "parameters, cut", "epochs")
    return markdown(headings, rows)


def draw(figure: Figure, settings: Settings, results: Results[Key]) -> None:
    panels = figure.subplots(1, len(settings.networks), squeeze=False)[0]
    for axes, family in zip(panels, settings.networks, strict=True):
        curves, stars = (
            {kind: Key(family, kind) for kind in kinds}
            for kinds in (("ACN", "residual"), ("shallow", "healed"))
        )
        depth_panel(axes, family, results, curves, stars)
    panels[0].legend()


STUDY = Study(
    name="depth",
    shows="the layers needed for equal accuracy, by a Mixer and by a ViT",
    paper="On ImageNet-1K the ACN ViT scores 70.8 % with 6 of 12 layers, the residual ViT 70.7 % "
    "with all 12. On CIFAR-10 the ACN Mixer scores 92.0 % with 75 % of its 16 layers, the "
    "residual Mixer 90.3 % with all.",
    presets={
        "smoke": Settings(networks={"Mixer": SMOKE}, heal=1),
        "cpu": Settings(
            networks={
                name: replace(run, fit=replace(run.fit, epochs=16))
                for name, run in (("Mixer", CPU), ("ViT", CPU_VIT))
            },
            heal=4,
        ),
        "paper": Settings(networks={"Mixer": PAPER, "ViT": PAPER_VIT}, heal=30),
    },
    costs={
        "smoke": "seconds",
        "cpu": "16 core-minutes",
        "paper": "the Mixer a GPU for days, the ViT several for weeks",
    },
    arms=arms,
    run=run,
    statements=statements,
    table=table,
    draw=draw,
)
