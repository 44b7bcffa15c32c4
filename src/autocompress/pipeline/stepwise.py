"""Cut in steps: remove layers, train on, and go on for as long as the score comes back."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from autocompress.data import Splits
from autocompress.depth import DepthCurve, Selection, choose_layers, cut, probe
from autocompress.depth.choosing import Choice
from autocompress.depth.select import choose, tolerance_rule
from autocompress.errors import ConfigError
from autocompress.network import Network
from autocompress.pipeline.building import build_network
from autocompress.pipeline.config import RunConfig
from autocompress.printing import counted, layer_words
from autocompress.statistics import least_within

__all__ = ["Stepwise", "cut_in_steps", "ladder"]

#: Trains a network further: (settings, name of its folder, title, network, what teaches it).
Train = Callable[[RunConfig, str, str, Network, Network | None], Network]


@dataclass(frozen=True)
class Stepwise:
    """The result of :func:`cut_in_steps`.

    Attributes:
        net: The smallest network whose score came back, or the one that was given.
        curve: Its probe on validation data.
        selection: Its depth, compared with the full network.
        healed: Number of successful steps.
        trainings: Number of trainings.
    """

    net: Network
    curve: DepthCurve
    selection: Selection
    healed: int
    trainings: int


def ladder(depth: int) -> list[int]:
    """Return the depths to try one after the other, each three quarters of the one before.

    Example:
        >>> ladder(12), ladder(6), ladder(1)
        ([9, 6, 4, 3, 2, 1], [4, 3, 2, 1], [])
    """
    found = []
    while depth > 1:
        depth = min(depth - 1, int(0.75 * depth))
        found.append(depth)
    return found


def cut_in_steps(
    net: Network, curve: DepthCurve, config: RunConfig, data: Splits, train: Train
) -> Stepwise:
    """Remove layers in steps; after each, train for ``config.heal`` epochs, as ``teach`` says.

    A step succeeds if the validation score comes back to within the tolerance of the full
    network's; the first one that does not is the last. A residual network loses the layers whose
    loss on validation data costs least (:func:`autocompress.choose_layers`), any other its last
    ones. With ``cut_first``, the first step that fails is tried once more in another way:
    :func:`_from_start`. Nothing is decided on test data.

    Args:
        net: The trained network.
        curve: Its probe on validation data.
        config: Settings of the run, resolved.
        data: Data of the run.
        train: Function that trains a network further.

    Raises:
        ConfigError: The rule of ``config.select`` is not a tolerance.
    """
    slack = config.select.slack
    if slack is None or config.select.confidence is not None:
        raise ConfigError("stepwise finds the depth by select.tolerance: name no other rule")
    residual = _is_residual(net)
    goal = least_within(curve.scores[-1], slack)
    kept, best, other = net, curve, 0
    healed: dict[int, Tensor] = {}
    for number, depth in enumerate(ladder(net.depth), 1):
        layers = choose_layers(kept, depth, data.validation, by="loss" if residual else "first")
        settings = config.healing(config.heal or 1)
        title = f"{layer_words(depth)}, healed"
        teacher = net if config.teach else None
        one = train(settings, f"step-{depth}", title, cut(kept, layers), teacher)
        found = probe(one, data.validation)
        if found.scores[-1] < goal and config.cut_first and not other:
            one = _from_start(net, depth, number, config, data, train)
            found, other = probe(one, data.validation), depth
        healed[depth] = found.hits[:, -1]
        if found.scores[-1] < goal:
            break
        kept, best = one, found
    count = sum(depth >= kept.depth for depth in healed)
    chosen = _selection(curve, best, healed, slack, config)
    if other:
        chosen = replace(chosen, rule=f"{chosen.rule}; {_other_way(other, other >= kept.depth)}")
    return Stepwise(kept, best, chosen, count, len(healed) + bool(other))


def _is_residual(net: Network) -> bool:
    """Return whether a network may lose any layers, and not the last ones only."""
    return all(trunk.connectivity.is_residual() for trunk in net.trunks)


def _from_start(
    net: Network, depth: int, steps: int, config: RunConfig, data: Splits, train: Train
) -> Network:
    """Cut the initial weights, not the trained ones, and train what is left.

    It is the best of the ways to a known depth that docs/pretrained.md compares: evenly spread
    layers are trained for as many epochs as the network and all steps up to here, and the trained
    whole network teaches them.

    Args:
        net: The whole network, trained.
        depth: Number of layers.
        steps: Number of steps up to here.
        config: Settings of the run, resolved.
        data: Data of the run.
        train: Function that trains a network further.
    """
    initial = build_network(config.model, data, config.fit.seed)
    by: Choice = "spread" if _is_residual(net) else "first"
    small = cut(initial, choose_layers(initial, depth, data.validation, by=by))
    longer = config.fit.plain().over(steps * (config.heal or 1))
    settings = replace(config, path=None, fit=longer)
    title = f"{layer_words(depth)} cut before training, taught by the whole network"
    return train(settings, f"cut-first-{depth}", title, small, net)


def _other_way(depth: int, back: bool) -> str:
    came = "came back only" if back else "did not come back either"
    return f"{layer_words(depth)} {came} when cut before training and taught by the whole network"


def _selection(
    curve: DepthCurve,
    best: DepthCurve,
    healed: dict[int, Tensor],
    slack: float,
    config: RunConfig,
) -> Selection:
    """Return the choice among the depths that were tried, with its uncertainty."""
    hits = torch.zeros_like(curve.hits)
    hits[:, -1] = curve.hits[:, -1]
    for depth, column in healed.items():
        hits[:, depth] = column
    within, tried = tolerance_rule(slack)[0], {*healed, curve.depth}

    def rule(scores: Sequence[float]) -> int:
        """Return the shallowest depth within the tolerance among those that were tried."""
        return within([s if k in tried else -math.inf for k, s in enumerate(scores)])

    epochs = config.heal or 1
    words = (
        "the shallowest of the depths tried in steps whose validation score came back to within "
        f"{100 * slack:g} points of full depth in {counted(epochs, 'epoch')} of training"
        f"{', taught by the whole network' if config.teach else ''}"
    )
    chosen = replace(choose(hits, rule, words), metric=curve.metric)
    if curve.losses is None or best.losses is None:
        return chosen
    return replace(chosen, loss=best.losses[-1], full_loss=curve.losses[-1], unit=curve.unit)
