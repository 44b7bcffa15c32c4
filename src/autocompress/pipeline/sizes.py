"""Determine how large a network would be before it takes the memory."""

from __future__ import annotations

import inspect
import os
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from autocompress.connectivity import make_rule
from autocompress.errors import ConfigError
from autocompress.network import build, model_class

__all__ = ["DEEPEST", "check_size", "count_parameters"]

#: Number of parameters up to which networks are built without a check.
_SMALL = 2**20

#: Largest depth; networks in the literature have a few thousand layers, and building takes seconds.
DEEPEST = 4096


def check_size(name: str, arguments: Mapping[str, Any], rule: Mapping[str, Any]) -> None:
    """Raise ConfigError if the weights of a network would not fit into this machine's memory.

    Args:
        name: Name of the model.
        arguments: Arguments of its constructor, without the connectivity.
        rule: The connectivity, by name and options.
    """
    depth = int(arguments.get("depth", _default_depth(name)))
    sizes = [value for value in arguments.values() if type(value) is int]
    total = 0
    if max(sizes, default=0) ** 2 * max(depth, 16) >= _SMALL:
        total = count_parameters(name, arguments)
    if any(type(value) is int for value in rule.values()):
        total += _count_rule(rule, depth)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if 4 * total > memory:
        raise ConfigError(
            f"this {name} would have {total:,} parameters, which take {_gib(4 * total)}, and the "
            f"machine has {_gib(memory)}: choose a smaller model.depth, model.width or other size"
        )


def count_parameters(name: str, arguments: Mapping[str, Any]) -> int:
    """Return the number of parameters of a network, from two shallow ones without storage."""
    with torch.device("meta"):
        bare, one = (_count(build(name, **{**arguments, "depth": layers})) for layers in (0, 1))
    return bare + (one - bare) * int(arguments.get("depth", _default_depth(name)))


def _count_rule(rule: Mapping[str, Any], depth: int) -> int:
    """Return the number of parameters of a connectivity, from one without storage."""
    with torch.device("meta"):
        return _count(make_rule(rule, depth))


def _default_depth(name: str) -> int:
    parameter = inspect.signature(model_class(name)).parameters.get("depth")
    default = 1 if parameter is None else parameter.default
    return default if isinstance(default, int) else 1


def _count(net: nn.Module) -> int:
    return sum(parameter.numel() for parameter in net.parameters())


def _gib(size: int) -> str:
    return f"{size / 2**30:,.1f} GiB"
