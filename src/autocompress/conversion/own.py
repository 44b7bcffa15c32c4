"""The record of a network of the user's own class, which only its owner can build.

The name of the class is recorded for reading; nothing imports it unasked. The inputs are recorded
as shapes, so that a loaded network still has an example for measuring and export.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

import torch
from torch import Tensor, nn

from autocompress.conversion.planning import Plan, outline
from autocompress.errors import ConfigError

__all__ = [
    "check_split",
    "class_of",
    "example_like",
    "outlined",
    "refuse_own",
    "shapes_of",
    "takes_of",
]

#: Largest number of values in one example row.
_MOST_NUMBERS = 2**26

#: Where classes of hosts with trunks are made.
_MADE_HERE = "autocompress.conversion."

_DTYPES = {
    str(dtype).removeprefix("torch."): dtype
    for dtype in (
        *(torch.float32, torch.float64, torch.float16, torch.bfloat16),
        *(torch.int64, torch.int32, torch.int16, torch.uint8, torch.bool),
    )
}


def class_of(model: nn.Module) -> str:
    """Return the class of ``model`` as ``package.module:Class``, without our trunks.

    Example:
        >>> class_of(nn.Linear(1, 1))
        'torch.nn.modules.linear:Linear'
    """
    # the classes of hosts with trunks are made by modules of this package
    cls = next(c for c in type(model).__mro__ if not c.__module__.startswith(_MADE_HERE))
    return f"{cls.__module__}:{cls.__qualname__}"


def refuse_own(own_class: str | None) -> NoReturn:
    """Raise ConfigError, since only its owner can build a network of this class."""
    known = own_class if isinstance(own_class, str) else None
    said = f" ({known!r:.120})" if known else ""
    # the class of a script is __main__'s, and one made in a function has no name to import
    module, _, name = (known or "").partition(":")
    there = module != "__main__" and known is not None and "<" not in known
    where = known if there else f"MODULE:{name}" if name and "<" not in name else "MODULE:CLASS"
    raise ConfigError(
        f"its class{said} is the user's own, which is not ours to build, and no folder makes us "
        f"import it: in Python load(FOLDER, model=A_FRESH_ONE), in the shell --import {where}"
    )


def shapes_of(example: Any) -> list[dict[str, Any]] | None:
    """Return the form of a batch as JSON; None if it is not a tensor or a mapping of tensors.

    Args:
        example: A batch (B, ...), or a mapping of batches.

    Returns:
        For each tensor its name (None for a single one), the shape of a row, the dtype and, for
        whole numbers, an upper bound (exclusive).

    Example:
        >>> shapes_of(torch.tensor([[2, 7]]))
        [{'name': None, 'shape': [2], 'dtype': 'int64', 'below': 8}]
    """
    named = dict(example) if isinstance(example, Mapping) else {None: example}
    found = []
    for name, tensor in named.items():
        if not isinstance(tensor, Tensor) or tensor.is_nested or not tensor.dim():
            return None
        dtype = str(tensor.dtype).removeprefix("torch.")
        if dtype not in _DTYPES or not tensor.numel():
            return None
        said: dict[str, Any] = {"name": name, "shape": list(tensor.shape[1:]), "dtype": dtype}
        if not tensor.is_floating_point() and tensor.dtype != torch.bool:
            said["below"] = max(1, int(tensor.max()) + 1)
        found.append(said)
    return found or None


def takes_of(model: nn.Module) -> Any:
    """Return the recorded inputs of a converted network; None for a bare host."""
    config = getattr(model, "config", None)
    return config.get("takes") if isinstance(config, Mapping) else None


def example_like(shapes: Any) -> Any:
    """Return a batch of two rows in the form recorded by :func:`shapes_of`.

    Floats are noise, whole numbers are drawn from 0 on, masks are true.

    Raises:
        ConfigError: The record is invalid, or larger than any network's input.

    Example:
        >>> example_like([{"name": None, "shape": [3], "dtype": "float32"}]).shape
        torch.Size([2, 3])
    """
    if shapes is None:
        return None
    try:
        made = {said["name"]: _drawn(said) for said in shapes}
    except (TypeError, KeyError, AttributeError, ValueError) as error:
        raise ConfigError(f"'takes' describes no input: {shapes!r:.80} ({error})") from error
    return made.get(None, made)


def check_split(split: Any) -> dict[str, dict[str, str]]:
    """Return the record of how lists were split as an option of config.json; empty for None.

    Raises:
        ConfigError: It is no mapping of paths to routes.

    Example:
        >>> check_split({"encoder.layer": "registered"})
        {'split': {'encoder.layer': 'registered'}}
    """
    if split is None:
        return {}
    if not isinstance(split, Mapping) or not all(
        isinstance(word, str) for pair in split.items() for word in pair
    ):
        raise ConfigError(f"'split' maps paths of lists to routes, and is {split!r:.80}")
    return {"split": dict(split)}


def outlined(model: nn.Module, split: Mapping[str, str] | None, example: Any) -> Plan:
    """Return the plan by which ``model`` was converted before it was saved.

    Args:
        model: A new host of the class that was converted.
        split: Routes by which the layers at each path were split; None takes registered classes.
        example: A batch of the recorded form, for layers that are split by their graphs.

    Raises:
        ConfigError: They were split in a way that a folder cannot hold, or would now be in another.
    """
    if not split:
        return outline(model)
    own = {route for route in split.values() if route != "registered"}
    if own - {"graph"} or (own and example is None):
        how = "by branches=" if own - {"graph"} else "on a batch whose form no file can hold"
        raise ConfigError(
            f"its layers at {', '.join(split)} were split {how}: only your code can repeat that, "
            "so give a network that convert() has returned, or a function that makes one"
        )
    found = outline(model, blocks=list(split), example=example if own else None)
    routes = {stage.path: stage.route for stage in found.stages}
    if found and routes != dict(split):
        raise ConfigError(f"its layers were split by {dict(split)}, and would now be by {routes}")
    return found


def _drawn(said: Mapping[str, Any]) -> Tensor:
    shape, dtype, below = said["shape"], _DTYPES[said["dtype"]], said.get("below", 2)
    count = 1
    for side in shape:
        if type(side) is not int or side < 1:
            raise ValueError(f"a side of {side!r}")
        count *= side
    if count > _MOST_NUMBERS or len(shape) > 8:
        raise ValueError(f"{count} numbers in a row")
    generator = torch.Generator().manual_seed(0)  # loading must not change torch's random state
    if dtype is torch.bool:
        return torch.ones(2, *shape, dtype=dtype)
    if dtype.is_floating_point:
        return torch.randn(2, *shape, generator=generator).to(dtype)
    if type(below) is not int or not 0 < below < 2**63:
        raise ValueError(f"whole numbers below {below!r}")
    return torch.randint(below, (2, *shape), generator=generator).to(dtype)
