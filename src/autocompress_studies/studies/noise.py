"""Accuracy under noise and common corruptions: ACN, residual and feed-forward networks."""

from __future__ import annotations

import statistics as stats
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from autocompress.data import noisy
from autocompress.depth import probe
from autocompress.io.bits import pack_bits
from autocompress.pipeline import RunConfig
from autocompress.printing import markdown
from autocompress_studies.figures import Figure, curve, mean_curve
from autocompress_studies.results import Arm, Results
from autocompress_studies.settings import CPU, PAPER, SMOKE, as_net, changed, sized
from autocompress_studies.statements import Statement, accuracy, more, points
from autocompress_studies.study import Study
from autocompress_studies.words import cut_score, full_score
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


def under(results: Results[str], noise: str) -> Results[str]:
    """Return the results with the scores on noisy test images in place of the others."""
    return results.each(lambda run: {**run, **run["noise"][noise], "hits": run["noise"][noise]})


def statements(settings: Settings, results: Results[str]) -> Iterator[Statement]:
    for noise in settings.noises:
        said, clean, noisy_ = words_of(noise), under(results, CLEAN), under(results, noise)
        for cut, words in ((False, "the ACN"), (True, "the cut ACN")):
            difference = accuracy(noisy_, "ACN", "residual", ours_cut=cut)
            words = f"{said}: {words} is more accurate than the residual network"
            yield points(words, difference, of_paper=not cut)
        lost = (
            [a - b for a, b in zip(clean.last(net), noisy_.last(net), strict=True)]
            for net in ("residual", "ACN")
        )
        words = f"{said}: the ACN loses less than the residual network"
        yield more(words, *lost, of_paper=False)
    if settings.corruptions:
        corrupted = [under(results, noise) for noise in settings.corrupted()]
        means = (
            [
                stats.fmean(at)
                for at in zip(*(scores.last(net) for scores in corrupted), strict=True)
            ]
            for net in ("ACN", "residual")
        )
        words = "mean of the corruptions: the ACN is more accurate than the residual network"
        yield more(words, *means, of_paper=False)


def table(settings: Settings, results: Results[str]) -> str:
    columns = {"": full_score, ", cut": cut_score}
    rows = [
        (words_of(noise), *(cell(scores.of(net)) for net in NETS for cell in columns.values()))
        for noise in (CLEAN, *settings.noises, *settings.corrupted())
        for scores in (under(results, noise),)
    ]
    return markdown(("test images", *(f"{net}{cut}" for net in NETS for cut in columns)), rows)


def draw(figure: Figure, settings: Settings, results: Results[str]) -> None:
    shown = [CLEAN, *settings.noises]
    panels = figure.subplots(1, len(shown), squeeze=False, sharey=True)[0]
    for axes, noise in zip(panels, shown, strict=True):
        for net in NETS:
            mean = mean_curve(under(results, noise), net)
            curve(axes, mean, net, marker="")
        axes.set_xticks([0, len(mean) - 1])
        axes.set_title(words_of(noise).replace(" ", "\n", 1), fontsize=8)
    panels[len(panels) // 2].set_xlabel("layers that run")
    panels[0].set_ylabel("test accuracy, %")
    panels[0].legend(fontsize=7)


def words_of(noise: str) -> str:
    """Return a noise in words."""
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
