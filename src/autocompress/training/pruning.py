"""Set weights to zero: at once by magnitude, or during training by a score of each weight."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from autocompress.bounds import check_numbers
from autocompress.checks import check_network
from autocompress.errors import ConfigError, UnknownNameError
from autocompress.network import Network
from autocompress.printing import layer_words
from autocompress.training.hooks import Hook, HookOptions

__all__ = ["PruneConfig", "Pruner", "prune", "sparsity"]

Score = Literal["magnitude", "movement", "saliency"]


def prune(net: Network, share: float) -> None:
    """Set the smallest ``share`` of all prunable weights to zero, in place (global magnitude).

    The matrices of the blocks are prunable; stem, head, norms, biases and gates are kept.

    Args:
        net: The network, changed in place.
        share: Share of the weights, 0..1, including those that are zero already.

    Raises:
        ConfigError: The share is outside 0..1, ``net`` is not a network of this library, or it has
            no prunable weights.

    Example:
        >>> import autocompress as ac
        >>> net = ac.models.MLP(depth=2, width=8, image_size=2, channels=1)
        >>> ac.prune(net, 0.5)
        >>> ac.sparsity(net)
        0.5
    """
    check_network(net, "prune")
    weights = _prunable(net)
    _check_some(net, weights)
    _silence(weights, _mask({name: w.detach().abs() for name, w in weights.items()}, share))


def sparsity(net: Network) -> float:
    """Return the share, 0..1, of the prunable weights (see :func:`prune`) that are zero.

    Raises:
        ConfigError: ``net`` is not a network of this library.

    Example:
        >>> import autocompress as ac
        >>> ac.sparsity(ac.models.MLP(depth=2, width=8, image_size=2, channels=1))
        0.0
    """
    check_network(net, "sparsity")
    weights = list(_prunable(net).values())
    zeros = sum(int((w == 0).sum()) for w in weights)
    return zeros / max(1, sum(w.numel() for w in weights))


@dataclass(frozen=True, kw_only=True)
class PruneConfig(HookOptions):
    """Settings for setting weights of the blocks to zero during training (:class:`Pruner`).

    Args:
        score: Score by which weights are removed: ``movement``, ``magnitude`` or ``saliency``.
        share: Share of the remaining weights to remove in each epoch but the last; with 0 none are
            removed, and weights that are zero at the start stay zero.

    Raises:
        ConfigError: The share is outside 0..1.
        UnknownNameError: There is no such score.
    """

    score: Score = "movement"
    share: float = 0.2

    def __post_init__(self) -> None:
        check_numbers(self, "prune.")
        if not 0 <= self.share < 1:
            raise ConfigError(f"share {self.share} must be at least 0 and below 1")
        if self.score not in get_args(Score):
            raise UnknownNameError("score", self.score, get_args(Score))

    def check(self, config: Any) -> None:
        """Raise ConfigError for an average of weights, in which none would be zero."""
        if config.ema is not None:
            raise ConfigError("an average of weights (ema) is not sparse: turn it off to prune")

    def check_run(self, net: Network, steps: int, validated: bool) -> None:
        """Raise ConfigError if every matrix of the layers is frozen; without layers there is none.

        A network may be cut to depth 0, and is trained further with the same settings.
        """
        if self.share and net.depth:
            _check_some(net, _prunable(net))

    def hook(self, net: Network, copies: Sequence[Network]) -> Pruner:
        """Return the hook that removes weights."""
        return Pruner(self.share, self.score)

    def over(self, epochs: int, more: int) -> PruneConfig:
        """Return the settings that leave, with ``more`` epochs, the zeros of these in ``epochs``.

        >>> PruneConfig(share=0.36).over(2, more=1).share  # 1 - 0.36 = (1 - 0.2)^2
        0.2
        """
        left = (1.0 - self.share) ** ((epochs - 1) / max(1, epochs + more - 1))
        return replace(self, share=round(1.0 - left, 6))

    def settled(self) -> PruneConfig:
        """Return the settings that remove nothing more; zeros stay zeros."""
        return replace(self, share=0.0)


class Pruner(Hook):
    """A hook that removes a share of the remaining weights in each epoch but the last.

    ``movement`` (Sanh, Wolf and Rush, NeurIPS 2020, section 4) keeps the weights that grow: their
    score S adds up -weight x gradient over all steps. In each matrix the weights with the highest
    scores are active, chosen anew at every step. An inactive weight keeps its value and is still
    scored by the gradient at its place (the straight-through estimator), so it may return. The
    inactive share grows step by step.

    The other scores rank all matrices together at the end of an epoch, and removal is final:
    ``magnitude`` is |weight|; ``saliency`` is |weight x gradient| of the last batch alone that had
    a gradient, which the code of the ACN paper calls movement. Matrices that have had none, since
    their layer has not run yet, are not ranked and lose nothing.

    Weights that are zero when training begins, in a matrix that has others, stay zero; only
    movement with a share above 0, which chooses anew, may restore them.

    Args:
        share: Share of the remaining weights that is removed in each epoch.
        score: ``movement``, ``magnitude`` or ``saliency``.

    Raises:
        ConfigError: The share is outside 0..1.
        UnknownNameError: There is no such score.

    Example:
        >>> import autocompress as ac
        >>> data = ac.load_data()
        >>> net = ac.models.MLP(depth=2, width=16)
        >>> config = ac.FitConfig(epochs=3, prune=ac.PruneConfig(score="movement", share=0.2))
        >>> run = ac.fit(net, data.train, config=config, progress=False)
        >>> round(ac.sparsity(net), 2)
        0.36
    """

    def __init__(self, share: float = 0.2, score: Score = "movement") -> None:
        self.config = PruneConfig(score=score, share=share)
        self.scores: dict[str, Tensor] = {}
        self.kept: dict[str, Tensor] = {}
        self.values: dict[str, Tensor] = {}
        self._epoch, self._epochs, self._steps, self._step = 0, 1, 1, 0

    def begin(self, net: Network) -> None:
        for name, w in _prunable(net).items():
            there = w.detach() != 0
            self.kept.setdefault(name, there if there.any() else torch.ones_like(there))
            if self._moves:
                self.scores.setdefault(name, torch.zeros_like(w))
                self.values.setdefault(name, w.detach().clone())

    def before_epoch(self, net: Network, epoch: int, epochs: int, steps: int) -> None:
        self._epoch, self._epochs, self._steps, self._step = epoch, epochs, steps, 0

    @torch.no_grad()
    def before_step(self, net: Network) -> None:
        for name, w in _prunable(net).items():
            if w.grad is None:
                continue
            if self._moves:
                self.scores[name] -= self._value(name, w) * w.grad
            elif self.config.score == "saliency":
                self.scores[name] = (w * w.grad).abs()
            w.grad.mul_(self.kept[name])  # inactive weights are not trained

    @torch.no_grad()
    def after_step(self, net: Network) -> None:
        self._step += 1
        weights = _prunable(net)
        if self._moves:
            gone = self._gone()
            for name, w in weights.items():
                self.values[name] = self._value(name, w)
                self.kept |= _mask({name: self.scores[name]}, gone)
                w.copy_(self.values[name])
        _silence(weights, self.kept)

    def after_epoch(self, net: Network, epoch: int, epochs: int) -> None:
        if epoch == epochs or self.config.score == "movement" or not self.config.share:
            return
        weights = _prunable(net)
        self.kept = {name: self.kept[name] for name in weights}  # live depth may drop layers
        if self.config.score == "magnitude":
            self.scores = {name: w.detach().abs() for name, w in weights.items()}
        left = {
            name: self.scores[name].masked_fill(~kept, -torch.inf)
            for name, kept in self.kept.items()
            if name in self.scores  # a matrix without a gradient so far has no saliency
        }
        total = sum(score.numel() for score in left.values())
        if not total:  # a cut may leave no layer
            return
        gone = total - sum(int(self.kept[name].sum()) for name in left)
        self.kept |= _mask(left, (gone + self.config.share * (total - gone)) / total)
        _silence(weights, self.kept)

    @property
    def _moves(self) -> bool:
        """Return whether weights may come back."""
        return self.config.score == "movement" and self.config.share > 0

    def _value(self, name: str, w: Tensor) -> Tensor:
        """Return a matrix that holds the stored values of its inactive weights."""
        return torch.where(self.kept[name], w.detach(), self.values[name])

    def _gone(self) -> float:
        """Return the inactive share after this step; it is constant in the last epoch."""
        over = min(self._epoch - 1 + self._step / self._steps, self._epochs - 1)
        return 1.0 - float((1.0 - self.config.share) ** over)

    def state_dict(self) -> dict[str, Any]:
        counted = {"step": self._step}
        return {"scores": self.scores, "kept": self.kept, "values": self.values, **counted}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.scores, self.kept, self.values = state["scores"], state["kept"], state["values"]
        self._step = state.get("step", 0)


def _prunable(net: Network) -> dict[str, nn.Parameter]:
    """Return the matrices of the blocks, by name."""
    inside = {id(p) for trunk in net.trunks for block in trunk.blocks for p in block.parameters()}
    return {
        name: p
        for name, p in net.named_parameters()
        if p.requires_grad and p.ndim > 1 and id(p) in inside
    }


def _check_some(net: Network, weights: Mapping[str, nn.Parameter]) -> None:
    """Raise ConfigError if there is nothing to prune."""
    if not weights:
        raise ConfigError(
            "there is nothing to prune: this network has no matrices in its layers that are "
            f"trained (it has {layer_words(net.depth)}, and frozen weights are kept: "
            "requires_grad_(True) on those that may go)"
        )


@torch.no_grad()
def _silence(weights: dict[str, nn.Parameter], kept: dict[str, Tensor]) -> None:
    """Set the weights that are not kept to zero."""
    for name, w in weights.items():
        w.mul_(kept[name])


def _mask(scores: dict[str, Tensor], share: float) -> dict[str, Tensor]:
    """Return which weights stay when the lowest-scored ``share`` goes; ties go by their order."""
    if not 0 <= share <= 1:
        raise ConfigError(f"share {share} must be between 0 and 1")
    flat = torch.cat([score.flatten() for score in scores.values()])
    keep = torch.ones_like(flat, dtype=torch.bool)
    keep[flat.argsort(stable=True)[: round(share * len(flat))]] = False
    sizes = [score.numel() for score in scores.values()]
    return {
        name: part.view_as(score)
        for (name, score), part in zip(scores.items(), torch.split(keep, sizes), strict=True)
    }
