"""How large a network would be, found out before it takes the memory."""

from __future__ import annotations

import os
from typing import Any

import torch

from autocompress.errors import ConfigError
from autocompress.network import Network, build

__all__ = ["check_size", "parameters_of"]

#: Networks up to this are built without a question.
_SMALL = 2**20

#: The deepest networks in the literature have a few thousand layers; building one takes seconds.
DEEPEST = 4096


def check_size(name: str, arguments: dict[str, Any]) -> None:
    """Raise ConfigError where the weights of a network would not fit into this machine's memory.

    Args:
        name: of the model.
        arguments: of its constructor, without the connectivity.
    """
    depth = int(arguments.get("depth", 1))
    if depth > DEEPEST:
        raise ConfigError(f"model.depth {depth} must be at most {DEEPEST}")
    sizes = [value for value in arguments.values() if type(value) is int]
    if max(sizes, default=0) ** 2 * max(depth, 16) < _SMALL:
        return
    total = parameters_of(name, arguments)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if 4 * total > memory:
        raise ConfigError(
            f"this {name} would have {total:,} parameters, which take {_gib(4 * total)}, and the "
            f"machine has {_gib(memory)}: choose a smaller model.depth, model.width or other size"
        )


def parameters_of(name: str, arguments: dict[str, Any]) -> int:
    """Return how many parameters a network would have, from two shallow ones without storage."""
    with torch.device("meta"):
        bare, one = (_count(build(name, **arguments | {"depth": layers})) for layers in (0, 1))
    return bare + (one - bare) * int(arguments.get("depth", 1))


def _count(net: Network) -> int:
    return sum(parameter.numel() for parameter in net.parameters())


def _gib(size: int) -> str:
    return f"{size / 2**30:,.1f} GiB"
