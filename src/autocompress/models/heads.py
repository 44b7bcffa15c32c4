"""Replace the head of a network."""

from __future__ import annotations

import torch

from autocompress.network import Network, build

__all__ = ["with_new_head"]


def with_new_head(net: Network, classes: int, seed: int) -> Network:
    """Return a network with the same stem and blocks and a new head.

    Args:
        net: Network of images or texts, which is not changed.
        classes: Number of outputs of the new head.
        seed: Seed of the head's weights.

    Example:
        >>> from autocompress.models import MLP
        >>> net = MLP(depth=2, width=8, classes=10)
        >>> with_new_head(net, 3, seed=0)(net.example(2)).shape
        torch.Size([2, 3])
    """
    torch.manual_seed(seed)
    fresh = build(net.model_name, **{**net.config, "classes": classes})
    for part in ("stem", "trunk"):
        getattr(fresh, part).load_state_dict(getattr(net, part).state_dict())
    fresh.preprocess, fresh.tokenizer = net.preprocess, net.tokenizer
    return fresh
