"""Accuracy under noise and common corruptions: ACN, residual and feed-forward networks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from autocompress.data import Noise, noisy
from autocompress.depth import probe
from autocompress.pipeline import RunConfig
from autocompress.printing import markdown
from autocompress_studies import Arm, Results, Statement, Study, Work
from autocompress_studies.figures import by_depth
from autocompress_studies.settings import PAPER, SMOKE, SPARE, as_net, changed, sized
from autocompress_studies.statements import accuracy, more, points
from autocompress_studies.words import cut_score, full_score
from autocompress_studies.work import examine, first, on_test

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

    @property
    def shown(self) -> list[str]:
        """Return what test images are seen under: nothing, the paper's noises, corruptions."""
        corrupted = [f"{kind}:{s}" for kind in self.corruptions for s in self.severities]
        return [CLEAN, *self.noises, *corrupted]


def run(settings: Settings, key: str, work: Work) -> dict[str, Any]:
    config = as_net(key, work.seeded(settings.network))
    config = changed(config, {"model.connectivity": {**config.model.rule(), "name": NETS[key]}})
    data = work.load(config.data)
    net, seconds = work.train(config, data)
    scores, images = examine(net, data), first(data.test, settings.images)
    curves = {noise: probe(net, noisy(images, noise)) for noise in settings.shown}
    seen = {noise: on_test(curve, scores["selected"]) for noise, curve in curves.items()}
    return {**scores, **work.told(seconds), "noise": seen}


def under(results: Results[str], noise: str) -> Results[str]:
    """Return the results with the scores on noisy test images in place of the others."""
    return results.each(lambda run: {**run, **run["noise"][noise], "hits": run["noise"][noise]})


def statements(settings: Settings, results: Results[str]) -> Iterator[Statement]:
    clean = under(results, CLEAN)
    for noise in settings.noises:
        said, seen = Noise.parse(noise).words, under(results, noise)
        for cut, words in ((False, "the ACN"), (True, "the cut ACN")):
            difference = accuracy(seen, "ACN", "residual", ours_cut=cut)
            words = f"{said}: {words} is more accurate than the residual network"
            yield points(words, difference, of_paper=not cut)
        pairs = (zip(clean.last(n), seen.last(n), strict=True) for n in ("residual", "ACN"))
        lost = ([before - after for before, after in pair] for pair in pairs)
        words = f"{said}: the ACN loses less than the residual network"
        yield more(words, *lost, of_paper=False)
    if corrupted := [
        under(results, n) for n in settings.shown if n not in (CLEAN, *settings.noises)
    ]:
        by_seed = (zip(*(at.last(n) for at in corrupted), strict=True) for n in ("ACN", "residual"))
        means = ([fmean(scores) for scores in of] for of in by_seed)
        words = "mean of the corruptions: the ACN is more accurate than the residual network"
        yield more(words, *means, of_paper=False)


def table(settings: Settings, results: Results[str]) -> str:
    rows = []
    for noise in settings.shown:
        runs = [under(results, noise).of(net) for net in NETS]
        cells = [score(of) for of in runs for score in (full_score, cut_score)]
        rows.append((Noise.parse(noise).words, *cells))
    headings = [f"{net}{cut}" for net in NETS for cut in ("", ", cut")]
    return markdown(("test images", *headings), rows)


STUDY = Study(
    name="noise",
    shows="accuracy under noise and common corruptions, before and after the cut",
    paper="ViTs on ImageNet-1K (ACN / residual) score 70.8 / 70.7 % without noise; 69.5 / 67.7, "
    "64.5 / 62.8 and 51.9 / 45.5 % under Gaussian noise of 0.1, 0.2 and 0.4; and 59.8 / 56.8, "
    "36.4 / 27.5 and 20.0 / 10.3 % with salt and pepper on 1, 5 and 10 % of the pixels.",
    presets={
        "smoke": Settings(network=SMOKE, noises=_NOISES[2::3], corruptions=("jpeg", "contrast")),
        "cpu": Settings(network=sized(SPARE, 6_000)),
        "paper": Settings(network=PAPER, severities=(1, 2, 3, 4, 5)),
    },
    costs={"smoke": "seconds", "cpu": "an hour", "paper": "a GPU for days"},
    arms=lambda settings: [Arm(net) for net in NETS],
    run=run,
    statements=statements,
    table=table,
    draw=by_depth(
        lambda settings: {n: {net: net for net in NETS} for n in (CLEAN, *settings.noises)},
        seen=under,
        titled=lambda noise: Noise.parse(noise).words,
    ),
)
