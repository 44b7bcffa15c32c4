"""Accuracy under noise and common corruptions: ACN, residual and feed-forward networks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from autocompress.data import Noise, noisy
from autocompress.depth import probe
from autocompress.pipeline import RunConfig
from autocompress_studies import Arm, Results, Statement, Study, Work
from autocompress_studies.figures import by_depth
from autocompress_studies.settings import PAPER, SMOKE, SPARE, as_net, changed, sized
from autocompress_studies.statements import as_good, loses_less, more_accurate, more_on_average
from autocompress_studies.words import by_data
from autocompress_studies.work import examine, on_test

__all__ = ["STUDY", "Settings"]

NETS = {"ACN": "acn", "residual": "residual", "feed-forward": "ffn"}
SIDES, CLEAN = ("ACN", "residual"), "gaussian:0"
_NOISES = tuple(f"gaussian:{level}" for level in (0.1, 0.2, 0.4))
_NOISES += tuple(f"salt_pepper:{level}" for level in (0.01, 0.05, 0.1))
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
    scores = examine(net, data)
    curves = {noise: probe(net, noisy(data.test, noise)) for noise in settings.shown}
    seen = {noise: on_test(curve, scores["selected"]) for noise, curve in curves.items()}
    return {**scores, **work.told(seconds), "noise": seen}


def statements(settings: Settings, results: Results[str]) -> Iterator[Statement]:
    clean, more = seen_under(results, CLEAN), "ACN is more accurate than the residual network"
    for noise in settings.noises:
        said, seen = named(noise), seen_under(results, noise)
        yield more_accurate(f"{said}: the {more}", seen, *SIDES)
        yield as_good(f"{said}: the cut {more}", seen, *SIDES, 0.0, of_paper=False)
        words = f"{said}: the ACN loses less than the residual network"
        yield loses_less(words, clean, seen, *SIDES, of_paper=False)
    corrupted = [seen_under(results, kind) for kind in settings.shown[1 + len(settings.noises) :]]
    words = f"mean of the corruptions: the {more}"
    yield more_on_average(words, corrupted, *SIDES, of_paper=False)


def seen_under(results: Results[str], noise: str) -> Results[str]:
    return results.on("noise", noise)


def named(noise: str) -> str:
    return Noise.parse(noise).words


STUDY = Study(
    name="noise",
    shows="accuracy under noise and common corruptions, before and after the cut",
    paper="ViTs on ImageNet-1K (ACN / residual) score 70.8 / 70.7 % without noise; 69.5 / 67.7, "
    "64.5 / 62.8 and 51.9 / 45.5 % under Gaussian noise of 0.1, 0.2 and 0.4; and 59.8 / 56.8, "
    "36.4 / 27.5 and 20.0 / 10.3 % with salt and pepper on 1, 5 and 10 % of the pixels.",
    presets={
        "smoke": Settings(network=SMOKE, noises=_NOISES[2::3], corruptions=("jpeg", "contrast")),
        "cpu": Settings(network=changed(sized(SPARE, 6_000, epochs=36), {"control.epochs": 36})),
        "paper": Settings(network=PAPER, severities=(1, 2, 3, 4, 5)),
    },
    costs={"smoke": "seconds", "cpu": "18 core-minutes a seed", "paper": "a GPU for days"},
    arms=lambda settings: [Arm(net) for net in NETS],
    run=run,
    headlines=(
        "Gaussian noise of 0.1: the ACN is more accurate than the residual network",
        "Gaussian noise of 0.4: the ACN is more accurate than the residual network",
        "mean of the corruptions: the ACN is more accurate than the residual network",
    ),
    statements=statements,
    table=by_data("test images", NETS, lambda settings: settings.shown, seen_under, named),
    draw=by_depth(
        lambda settings: {n: {net: net for net in NETS} for n in (CLEAN, *settings.noises)},
        seen=seen_under,
        titled=named,
    ),
)
