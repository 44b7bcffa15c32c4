"""Build the optimizer and the learning-rate schedule from a FitConfig."""

from __future__ import annotations

import math
from typing import Any, cast

import torch
from torch.optim.lr_scheduler import LambdaLR

from autocompress.errors import ConfigError
from autocompress.extras import import_extra
from autocompress.network import Network
from autocompress.training.config import FitConfig
from autocompress.training.groups import parameter_groups

__all__ = ["make_optimizer", "make_schedule"]

#: The share of the run in which ``wsd`` lowers the learning rate.
_DECAY = 0.15


def make_optimizer(net: Network, config: FitConfig) -> torch.optim.Optimizer:
    """Return the optimizer that ``config`` names, with the groups of :func:`parameter_groups`.

    Weight decay applies only to matrices, except class tokens, positions, parameters in a host's
    ``no_weight_decay()`` and those of the connectivity (gates, averages). Muon trains the matrices
    of the blocks, with updates as large as AdamW's (Moonlight, arXiv 2502.16982); AdamW trains the
    rest.

    Raises:
        ConfigError: Every parameter is frozen.
        MissingExtraError: Lion or muon needs the extra ``optim``.
    """
    groups = parameter_groups(net, config)
    if not groups:
        raise ConfigError(
            "there is nothing to train: every parameter of this network is frozen "
            "(requires_grad_(True) on the parts that should learn)"
        )
    if config.optimizer == "sgd":
        return torch.optim.SGD(
            groups, config.lr, momentum=config.momentum, nesterov=config.momentum > 0
        )
    if config.optimizer == "adamw":
        return torch.optim.AdamW(groups, config.lr, betas=config.betas, eps=config.eps, fused=True)
    more: Any = import_extra("pytorch_optimizer", "optim", f"optimizer {config.optimizer!r}")
    if config.optimizer == "lion":
        return cast(torch.optim.Optimizer, more.Lion(groups, config.lr, betas=config.betas))
    for group in groups:
        if not group["use_muon"]:
            group |= {"betas": config.betas, "eps": config.eps}
    optimizer = more.Muon(groups, config.lr, momentum=config.momentum, use_adjusted_lr=True)
    return cast(torch.optim.Optimizer, optimizer)


def make_schedule(
    optimizer: torch.optim.Optimizer, config: FitConfig, steps_per_epoch: int
) -> LambdaLR:
    """Return the schedule: linear warm-up to ``lr``, then decay to ``min_lr``.

    The decay follows a cosine or a line; with ``wsd`` (warm-up, stable, decay) it is a line over
    the last 15 % of all steps.
    """
    total = config.epochs * steps_per_epoch
    warmup = min(total, round(config.warmup * steps_per_epoch))
    floor = min(1.0, config.min_lr / config.lr)  # the default of min_lr may be above a small lr

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / warmup
        share = min(1.0, (step - warmup) / max(1, total - warmup))
        if config.schedule == "wsd":
            left = min(1.0, max(0.0, 1 - step / total) / _DECAY)
        elif config.schedule == "linear":
            left = 1 - share
        else:
            left = 0.5 * (1 + math.cos(math.pi * share))
        return max(floor, left)

    return LambdaLR(optimizer, factor)
