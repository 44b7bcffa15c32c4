"""Optimizer, learning-rate schedule and loss, as a FitConfig asks for them."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from autocompress.network import Network
from autocompress.training.config import FitConfig

__all__ = ["loss_of", "make_optimizer", "make_schedule"]


def make_optimizer(net: Network, config: FitConfig) -> torch.optim.Optimizer:
    """AdamW or SGD; weight decay on matrices only, as timm and torchtitan do.

    What the connectivity learns (gates, averages) does not decay.
    """
    gates = {id(p) for trunk in net.trunks for p in trunk.connectivity.parameters()}
    blocks = [block for trunk in net.trunks for block in trunk.blocks]
    above: dict[int, int] = {}  # how many blocks stand above the one that a parameter is in
    if config.layer_decay != 1:
        above = {
            id(p): len(blocks) - 1 - index
            for index, block in enumerate(blocks)
            for p in block.parameters()
        }
    members: dict[tuple[int, bool], list[nn.Parameter]] = {(0, True): [], (0, False): []}
    for p in net.parameters():
        if p.requires_grad:
            key = (above.get(id(p), 0), p.ndim > 1 and id(p) not in gates)
            members.setdefault(key, []).append(p)
    groups = [
        {
            "params": parameters,
            "weight_decay": config.weight_decay if decays else 0.0,
            "lr": config.lr * config.layer_decay**blocks_above,
        }
        for (blocks_above, decays), parameters in members.items()
    ]
    if config.optimizer == "sgd":
        return torch.optim.SGD(groups, config.lr, momentum=config.momentum, nesterov=True)
    return torch.optim.AdamW(groups, config.lr, betas=config.betas, eps=config.eps, fused=True)


def make_schedule(
    optimizer: torch.optim.Optimizer, config: FitConfig, steps_per_epoch: int
) -> LambdaLR:
    """Per step: linear warm-up to ``lr``, then a cosine down to ``min_lr``."""
    total = config.epochs * steps_per_epoch
    warmup = min(total, round(config.warmup_epochs * steps_per_epoch))
    floor = config.min_lr / config.lr

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / warmup
        share = (step - warmup) / max(1, total - warmup)
        return max(floor, 0.5 * (1 + math.cos(math.pi * min(1.0, share))))

    return LambdaLR(optimizer, factor)


def loss_of(logits: Tensor, targets: Tensor, config: FitConfig) -> Tensor:
    """Cross-entropy in nats, in float32.

    Args:
        logits: (B, K), or (B, N, K) of token models.
        targets: class numbers (B,), or shares of the classes (B, K) after CutMix and MixUp; of
            token models class numbers (B, N), those of -100 left out.
        config: for the label smoothing.
    """
    if logits.ndim > 2:
        logits, targets = logits.flatten(0, -2), targets.flatten()
    return nn.functional.cross_entropy(
        logits.float(), targets, label_smoothing=config.label_smoothing
    )
