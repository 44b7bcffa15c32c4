"""Accuracy under noise and common corruptions."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch

from autocompress.data import Splits, noisy
from autocompress.depth import probe
from autocompress.network import Network
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
from autocompress.reproduce.settings import CPU, PAPER, SMOKE, control
from autocompress.reproduce.words import per_cent
from autocompress.reproduce.work import Work, examine, pack, unpack
from autocompress.statistics import Estimate, paired, paired_examples

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["NoiseClaim", "NoiseSettings"]

_NETS = {"ACN": "acn", "residual": "residual", "feed-forward": "ffn"}
_COLOURS = {"ACN": "#0072b2", "residual": "#d55e00", "feed-forward": "#009e73"}
_CLEAN = "gaussian:0"
_PAPERS = (
    "gaussian:0.1",
    "gaussian:0.2",
    "gaussian:0.4",
    "salt_pepper:0.01",
    "salt_pepper:0.05",
    "salt_pepper:0.1",
)
_CORRUPTIONS = (
    "gaussian_noise",
    "shot_noise",
    "impulse_noise",
    "speckle_noise",
    "gaussian_blur",
    "brightness",
    "contrast",
    "pixelate",
    "jpeg",
)


@dataclass(frozen=True, kw_only=True)
class NoiseSettings:
    """What is trained, and what it is shown.

    Args:
        network: how each network is trained, without noise.
        noises: kinds and levels of the paper; on pixels in 0..1.
        corruptions: kinds, at each of ``severities``.
        severities: of the corruptions.
        images: of the test set, the first ones; None takes all.
    """

    network: RunConfig
    noises: tuple[str, ...] = _PAPERS
    corruptions: tuple[str, ...] = _CORRUPTIONS
    severities: tuple[int, ...] = (3,)
    images: int | None = None


_PRESETS = {
    "smoke": NoiseSettings(
        network=SMOKE, noises=("gaussian:0.4", "salt_pepper:0.1"), corruptions=("jpeg", "contrast")
    ),
    "cpu": NoiseSettings(
        network=replace(
            CPU, data=replace(CPU.data, train_limit=6_000), fit=replace(CPU.fit, epochs=8)
        ),
        images=4_000,
    ),
    "paper": NoiseSettings(network=PAPER, severities=(1, 2, 3, 4, 5)),
}
_COSTS = {"smoke": "seconds", "cpu": "3 core-minutes", "paper": "a GPU for days"}


@register_claim
class NoiseClaim(Claim[NoiseSettings]):
    """ACN, residual and feed-forward under Gaussian and salt-and-pepper noise and corruptions."""

    name = "noise"
    shows = "accuracy under noise and common corruptions, before and after the cut"
    paper = (
        "ViT on ImageNet-1K, ACN / residual: Gaussian noise of 0.1, 0.2, 0.4: 69.5 / 67.7, 64.5 / "
        "62.8, 51.9 / 45.5 %; salt and pepper on 1, 5, 10 % of the pixels: 59.8 / 56.8, 36.4 / "
        "27.5, 20.0 / 10.3 %; without noise 70.8 / 70.7 %."
    )
    presets = _PRESETS
    costs = _COSTS

    def arms(self, settings: NoiseSettings) -> list[Arm]:
        return [Arm(name) for name in _NETS]

    def run(self, settings: NoiseSettings, arm: str, work: Work) -> dict[str, Any]:
        config = work.seeded(settings.network)
        if arm == "residual":
            config = control(config)
        rule = {**config.model.rule(), "name": _NETS[arm]}
        config = replace(config, model=replace(config.model, connectivity=rule))
        data = work.load(config.data)
        net, seconds = work.train(config, data)
        scores = examine(net, data)
        under = _under_noise(settings, net, data, scores["selected"])
        return {**scores, **work.told(seconds), "noise": under}

    def verdict(self, settings: NoiseSettings, results: Results) -> list[Finding]:
        found = []
        for noise in settings.noises:
            for cut, words in ((False, "the ACN"), (True, "the cut ACN")):
                found.append(
                    finding(
                        f"{_words(noise)}: {words} is more accurate than the residual network",
                        _difference(results, noise, cut),
                        least=0.0,
                        unit="points",
                        scale=100,
                        of_paper=not cut,
                    )
                )
            found.append(
                finding(
                    f"{_words(noise)}: the ACN loses less than the residual network",
                    paired(_losses(results, "residual", noise), _losses(results, "ACN", noise)),
                    least=0.0,
                    unit="points",
                    scale=100,
                    of_paper=False,
                )
            )
        if settings.corruptions:
            found.append(
                finding(
                    "mean of the corruptions: the ACN is more accurate than the residual network",
                    paired(
                        *(
                            [_corrupted(settings, run) for run in results.of(name)]
                            for name in ("ACN", "residual")
                        )
                    ),
                    least=0.0,
                    unit="points",
                    scale=100,
                    of_paper=False,
                )
            )
        return found

    def table(self, settings: NoiseSettings, results: Results) -> Table:
        rows = []
        columns = [(name, cut) for name in _NETS for cut in (False, True)]
        for noise in (_CLEAN, *settings.noises, *_corruptions(settings)):
            cells = [
                per_cent([_score(run, noise, cut) for run in results.of(name)])
                for name, cut in columns
            ]
            rows.append((_words(noise), *cells))
        headings = [f"{name}{', cut' if cut else ''}" for name, cut in columns]
        return Table(("test images", *headings), rows)

    def draw(self, figure: Figure, settings: NoiseSettings, results: Results) -> None:
        shown = [_CLEAN, *settings.noises]
        panels = figure.subplots(1, len(shown), squeeze=False, sharey=True)[0]
        for axes, noise in zip(panels, shown, strict=True):
            for name, colour in _COLOURS.items():
                curves = [run["noise"][noise]["test"] for run in results.of(name)]
                mean = [100 * statistics.fmean(at) for at in zip(*curves, strict=True)]
                axes.plot(range(len(mean)), mean, color=colour, label=name)
            axes.set_xticks([0, len(mean) - 1])
            axes.set_title(_words(noise).replace(" ", "\n", 1), fontsize=8)
            axes.grid(alpha=0.25)
        panels[len(panels) // 2].set_xlabel("layers that run")
        panels[0].set_ylabel("test accuracy, %")
        panels[0].legend(fontsize=7)


def _corruptions(settings: NoiseSettings) -> list[str]:
    return [f"{kind}:{s}" for kind in settings.corruptions for s in settings.severities]


def _under_noise(
    settings: NoiseSettings, net: Network, data: Splits, selected: int
) -> dict[str, dict[str, Any]]:
    """By noise: test score of every depth, and the hits of full depth and of the chosen one."""
    test = data.test
    if settings.images is not None and settings.images < len(test):
        test = test.select(torch.arange(settings.images))
    found = {}
    for noise in (_CLEAN, *settings.noises, *_corruptions(settings)):
        curve = probe(net, noisy(test, noise))
        found[noise] = {
            "test": [round(score, 6) for score in curve.scores],
            "full": pack(curve.hits[:, -1]),
            "cut": pack(curve.hits[:, selected]),
        }
    return found


def _score(run: Mapping[str, Any], noise: str, cut: bool) -> float:
    curve = run["noise"][noise]["test"]
    return float(curve[run["selected"] if cut else -1])


def _difference(results: Results, noise: str, cut: bool) -> Estimate:
    """Accuracy of the ACN, whole or cut, less that of the whole residual network."""
    ours, theirs = (
        [unpack(run["noise"][noise][key]) for run in results.of(name)]
        for name, key in (("ACN", "cut" if cut else "full"), ("residual", "full"))
    )
    return paired_examples(ours, theirs)


def _losses(results: Results, name: str, noise: str) -> list[float]:
    """What the noise costs the whole network, seed by seed."""
    return [_score(run, _CLEAN, False) - _score(run, noise, False) for run in results.of(name)]


def _corrupted(settings: NoiseSettings, run: Mapping[str, Any]) -> float:
    return statistics.fmean(_score(run, noise, False) for noise in _corruptions(settings))


def _words(noise: str) -> str:
    kind, _, level = noise.partition(":")
    if noise == _CLEAN:
        return "as they are"
    if kind == "gaussian":
        return f"Gaussian noise of {level}"
    if kind == "salt_pepper":
        return f"salt and pepper on {100 * float(level):g} %"
    return f"{kind.replace('_', ' ')}, severity {level}"
