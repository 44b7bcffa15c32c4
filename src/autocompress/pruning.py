"""Setting weights to zero: at once by magnitude, or while training by a score of each weight."""

from __future__ import annotations

from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from autocompress.errors import ConfigError, UnknownNameError
from autocompress.network import Network
from autocompress.training.hooks import Hook

__all__ = ["Pruner", "prune", "sparsity"]

Score = Literal["magnitude", "movement", "saliency"]


def prune(net: Network, share: float) -> None:
    """Set the smallest ``share`` of all prunable weights to zero, in place (global magnitude).

    Prunable are the matrices of the blocks; stem, head, norms, biases and gates stay.

    Raises:
        ConfigError: a share outside 0..1.

    Example:
        >>> import autocompress as ac
        >>> net = ac.models.MLP(depth=2, width=8, image_size=2, channels=1)
        >>> ac.prune(net, 0.5)
        >>> ac.sparsity(net)
        0.5
    """
    weights = _prunable(net)
    keep = _mask({name: w.detach().abs() for name, w in weights.items()}, share)
    with torch.no_grad():
        for name, w in weights.items():
            w.mul_(keep[name])


def sparsity(net: Network) -> float:
    """Share of the prunable weights that are zero."""
    weights = list(_prunable(net).values())
    zeros = sum(int((w == 0).sum()) for w in weights)
    return zeros / max(1, sum(w.numel() for w in weights))


class Pruner(Hook):
    """Prunes a share of the weights that are left after each epoch but the last.

    Scores: ``movement`` accumulates -weight x gradient over training, so that weights that grow are
    kept (Sanh, Wolf and Rush, NeurIPS 2020); ``magnitude`` is |weight|; ``saliency`` is
    |weight x gradient| of the last batch alone, what the code of the ACN paper calls movement.

    Args:
        share: of the weights that are left, after each epoch.
        score: ``movement``, ``magnitude`` or ``saliency``.

    Raises:
        ConfigError: a share outside 0..1. UnknownNameError: no such score.
    """

    def __init__(self, share: float = 0.2, score: Score = "movement") -> None:
        if not 0 <= share < 1:
            raise ConfigError(f"share {share} must be at least 0 and below 1")
        if score not in get_args(Score):
            raise UnknownNameError("score", score, get_args(Score))
        self.share, self.score = share, score
        self.scores: dict[str, Tensor] = {}
        self.kept: dict[str, Tensor] = {}

    def begin(self, net: Network) -> None:
        for name, w in _prunable(net).items():
            self.scores.setdefault(name, torch.zeros_like(w))
            self.kept.setdefault(name, torch.ones_like(w, dtype=torch.bool))

    @torch.no_grad()
    def before_step(self, net: Network) -> None:
        for name, w in _prunable(net).items():
            if w.grad is None:
                continue
            if self.score == "movement":
                self.scores[name] -= w * w.grad
            elif self.score == "saliency":
                self.scores[name] = (w * w.grad).abs()

    @torch.no_grad()
    def after_step(self, net: Network) -> None:
        for name, w in _prunable(net).items():
            w.mul_(self.kept[name])

    def after_epoch(self, net: Network, epoch: int, epochs: int) -> None:
        if epoch == epochs:
            return
        weights = _prunable(net)
        self.kept = {name: self.kept[name] for name in weights}  # live depth may have dropped some
        if self.score == "magnitude":
            self.scores = {name: w.detach().abs() for name, w in weights.items()}
        left = {
            name: self.scores[name].masked_fill(~self.kept[name], -torch.inf) for name in weights
        }
        total = sum(kept.numel() for kept in self.kept.values())
        gone = total - sum(int(kept.sum()) for kept in self.kept.values())
        self.kept = _mask(left, (gone + self.share * (total - gone)) / total)
        self.after_step(net)

    def state_dict(self) -> dict[str, Any]:
        return {"scores": self.scores, "kept": self.kept}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.scores, self.kept = state["scores"], state["kept"]


def _prunable(net: Network) -> dict[str, nn.Parameter]:
    """Matrices of the blocks, by name."""
    inside = {id(p) for trunk in net.trunks for block in trunk.blocks for p in block.parameters()}
    return {
        name: p
        for name, p in net.named_parameters()
        if p.requires_grad and p.ndim > 1 and id(p) in inside
    }


def _mask(scores: dict[str, Tensor], share: float) -> dict[str, Tensor]:
    """Which weights stay when the ``share`` with the lowest scores goes; ties go by their order."""
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
