"""Accuracy under noise and common corruptions: ACN, residual and feed-forward networks."""

from __future__ import annotations

import statistics as stats
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from autocompress.data import noisy
from autocompress.depth import probe
from autocompress.io.bits import pack_bits, unpack_bits
from autocompress.pipeline import RunConfig
from autocompress.printing import markdown
from autocompress.statistics import Estimate, paired_examples
from autocompress_studies.figures import Figure, curve
from autocompress_studies.results import Arm, Results
from autocompress_studies.settings import CPU, PAPER, SMOKE, as_net, changed, sized
from autocompress_studies.statements import Statement, more, points
from autocompress_studies.study import Study
from autocompress_studies.words import per_cent
from autocompress_studies.work import Work, examine, first, rounded

__all__ = ["STUDY", "Settings"]

NETS = {"ACN": "acn", "residual": "residual", "feed-forward": "ffn"}
CLEAN = "gaussian:0"
_NOISES = (
    *("gaussian:0.1", "gaussian:0.2", "gaussian:0.4"),
    *("salt_pepper:0.01", "salt_pepper:0.05", "salt_pepper:0.1"),
)
_CORRUPTIONS = (
    *("gaussian_noise", "shot_noise", "impulse_noise", "speckle_noise", "gaussian_blur"),
    *("brightness", "contrast", "pixelate", "jpeg"),
)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings of the training and the noise."""

    network: RunConfig  #: of each network, without noise
    noises: tuple[str, ...] = _NOISES  #: kinds and levels in the paper, on pixels in 0..1
    corruptions: tuple[str, ...] = _CORRUPTIONS  #: kinds, each at all ``severities``
    severities: tuple[int, ...] = (3,)
    images: int | None = None  #: number of test images, the first ones; None takes all

    def corrupted(self) -> list[str]:
        """Return all corruptions with their severities."""
        return [f"{kind}:{s}" for kind in self.corruptions for s in self.severities]


def run(settings: Settings, key: str, work: Work) -> dict[str, Any]:
    config = as_net(key, work.seeded(settings.network))
    config = changed(config, {"model.connectivity": {**config.model.rule(), "name": NETS[key]}})
    data = work.load(config.data)
    net, seconds = work.train(config, data)
    scores, under = examine(net, data), {}
    for noise in (CLEAN, *settings.noises, *settings.corrupted()):
        seen = probe(net, noisy(first(data.test, settings.images), noise))
        under[noise] = {
            "test": rounded(seen.scores),
            "full": pack_bits(seen.hits[:, -1]),
            "cut": pack_bits(seen.hits[:, scores["selected"]]),
        }
    return {**scores, **work.told(seconds), "noise": under}


def statements(settings: Settings, results: Results[str]) -> Iterator[Statement]:
    ours, theirs = (results.of(net) for net in ("ACN", "residual"))
    for noise in settings.noises:
        said = _words(noise)
        for cut, words in ((False, "the ACN"), (True, "the cut ACN")):
            words = f"{said}: {words} is more accurate than the residual network"
            yield points(words, _difference(results, noise, cut), of_paper=not cut)
        lost = (
            [_score(run, CLEAN) - _score(run, noise) for run in runs] for runs in (theirs, ours)
        )
        words = f"{said}: the ACN loses less than the residual network"
        yield more(words, *lost, of_paper=False)
    if settings.corruptions:
        means = (
            [stats.fmean(_score(run, noise) for noise in settings.corrupted()) for run in runs]
            for runs in (ours, theirs)
        )
        words = "mean of the corruptions: the ACN is more accurate than the residual network"
        yield more(words, *means, of_paper=False)


def _score(run: Mapping[str, Any], noise: str, cut: bool = False) -> float:
    scores = run["noise"][noise]["test"]
    return float(scores[run["selected"] if cut else -1])


def _difference(results: Results[str], noise: str, cut: bool) -> Estimate:
    """Return the accuracy of the ACN, full or cut, minus that of the full residual network."""
    ours, theirs = (
        [unpack_bits(run["noise"][noise][part]) for run in results.of(net)]
        for net, part in (("ACN", "cut" if cut else "full"), ("residual", "full"))
    )
    return paired_examples(ours, theirs)


def table(settings: Settings, results: Results[str]) -> str:
    columns = {f"{n}{', cut' if cut else ''}": (n, cut) for n in NETS for cut in (False, True)}
    rows = []
    for noise in (CLEAN, *settings.noises, *settings.corrupted()):
        scores = ([_score(run, noise, cut) for run in results.of(n)] for n, cut in columns.values())
        rows.append((_words(noise), *map(per_cent, scores)))
    return markdown(("test images", *columns), rows)


def draw(figure: Figure, settings: Settings, results: Results[str]) -> None:
    shown = [CLEAN, *settings.noises]
    panels = figure.subplots(1, len(shown), squeeze=False, sharey=True)[0]
    for axes, noise in zip(panels, shown, strict=True):
        for net in NETS:
            curves = [run["noise"][noise]["test"] for run in results.of(net)]
            mean = [100 * stats.fmean(at) for at in zip(*curves, strict=True)]
            curve(axes, mean, net, marker="")
        axes.set_xticks([0, len(mean) - 1])
        axes.set_title(_words(noise).replace(" ", "\n", 1), fontsize=8)
    panels[len(panels) // 2].set_xlabel("layers that run")
    panels[0].set_ylabel("test accuracy, %")
    panels[0].legend(fontsize=7)


def _words(noise: str) -> str:
    kind, _, level = noise.partition(":")
    if noise == CLEAN:
        return "as they are"
    if kind == "gaussian":
        return f"Gaussian noise of {level}"
    if kind == "salt_pepper":
        return f"salt and pepper on {100 * float(level):g} %"
    return f"{kind.replace('_', ' ')}, severity {level}"


STUDY = Study(
    name="noise",
    shows="accuracy under noise and common corruptions, before and after the cut",
    paper="ViTs on ImageNet-1K (ACN / residual) score 70.8 / 70.7 % without noise; 69.5 / 67.7, "
    "64.5 / 62.8 and 51.9 / 45.5 % under Gaussian noise of 0.1, 0.2 and 0.4; and 59.8 / 56.8, "
    "36.4 / 27.5 and 20.0 / 10.3 % with salt and pepper on 1, 5 and 10 % of the pixels.",
    presets={
        "smoke": Settings(
            network=SMOKE,
            noises=("gaussian:0.4", "salt_pepper:0.1"),
            corruptions=("jpeg", "contrast"),
        ),
        "cpu": Settings(network=sized(CPU, 6_000, epochs=8), images=4_000),
        "paper": Settings(network=PAPER, severities=(1, 2, 3, 4, 5)),
    },
    costs={"smoke": "seconds", "cpu": "3 core-minutes", "paper": "a GPU for days"},
    arms=lambda settings: [Arm(net) for net in NETS],
    run=run,
    statements=statements,
    table=table,
    draw=draw,
)
