"""Register and resolve connectivities; adding one takes a decorator and no other change."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any

from autocompress.connectivity.base import BlockCall, Connectivity, Gate
from autocompress.connectivity.detached import Detached
from autocompress.connectivity.gates import Gates
from autocompress.connectivity.input_fed import InputFed
from autocompress.connectivity.plane import NAMED_POINTS, Plane
from autocompress.connectivity.rivals import Dense, DenseFormer, HyperConnections
from autocompress.errors import ConfigError, UnknownNameError
from autocompress.registry import Registry, registered_in

__all__ = [
    "BlockCall",
    "Connectivity",
    "Dense",
    "DenseFormer",
    "Detached",
    "Gate",
    "Gates",
    "HyperConnections",
    "InputFed",
    "Plane",
    "Spec",
    "as_name",
    "find_connectivity",
    "list_connectivities",
    "register_connectivity",
    "make_rule",
]

#: Accepted values of a ``connectivity=`` argument: a name, a mapping with options, or a rule.
Spec = str | Mapping[str, Any] | Connectivity[Any]

Factory = Callable[..., Connectivity[Any]]

#: Those that other modules of this package register are imported when they are asked for.
_RULES: Registry[Factory] = Registry(
    "connectivity", registered_in(Path(__file__).parent, __name__, "register_connectivity")
)


def register_connectivity(name: str) -> Callable[[Factory], Factory]:
    """Register ``factory(depth, **options)`` under ``name``; use it as a decorator.

    Raises:
        ConfigError: The name is not a lower-case identifier, or is taken.

    Example:
        >>> import autocompress as ac
        >>> @ac.register_connectivity("half")
        ... def half(depth: int, *, long: float = 0.5) -> Plane:
        ...     return Plane(depth, short=0.5, long=long)
        >>> ac.models.MLP(depth=2, width=8, connectivity={"name": "half", "long": 1.0}).depth
        2
        >>> _RULES.remove("half") is half
        True
    """

    def register(factory: Factory) -> Factory:
        if name != name.lower() or not name.isidentifier():
            raise ConfigError(f"a connectivity's name is a lower-case identifier, not {name!r}")
        _RULES.add(name, factory)
        return factory

    return register


def list_connectivities() -> list[str]:
    """Return the registered names, sorted."""
    return list(_RULES)


def find_connectivity(name: str) -> Factory:
    """Return the factory registered under ``name``, called as ``factory(depth, **options)``.

    Raises:
        UnknownNameError: The name is not registered.
    """
    return _RULES[name]


def make_rule(spec: Spec, depth: int) -> Connectivity[Any]:
    """Build the rule that ``spec`` names, for ``depth`` layers.

    Args:
        spec: A name (``"acn"``), a mapping (``{"name": "acn", "inner": 1.0}``), or a rule.
        depth: Number of layers; a rule passed as an object must have the same depth.

    Raises:
        UnknownNameError: The name is not registered.
        ConfigError: An option is missing or unknown to the rule, the rule has another depth, or
            what is registered under the name makes no rule.

    Example:
        >>> make_rule({"name": "plane", "short": 0.5, "long": 0.5}, depth=4).depth
        4
    """
    if isinstance(spec, Connectivity):
        return _of_depth(spec, depth)
    if not isinstance(spec, (str, Mapping)):
        raise ConfigError(
            f"a connectivity is a name (one of {', '.join(list_connectivities())}), a mapping or a "
            f"rule, not {spec!r:.80}; a point of the plane is "
            "{'name': 'plane', 'short': 1.0, 'long': 0.0}"
        )
    options = {"name": spec} if isinstance(spec, str) else dict(spec)
    name = options.pop("name", None)
    if name is None:
        raise ConfigError("a connectivity given as a mapping needs the key 'name'")
    factory = find_connectivity(name)
    parameters = _parameters(factory)
    legal = set(parameters) - {"depth", "point"}
    for key in options:
        if key not in legal:
            raise UnknownNameError(f"option of connectivity {name!r}:", key, legal)
    for key in sorted(legal - set(options)):
        needed = parameters[key].kind is not inspect.Parameter.VAR_KEYWORD
        if needed and parameters[key].default is inspect.Parameter.empty:
            raise ConfigError(
                f"connectivity {name!r} needs {key}: {{'name': {name!r}, {key!r}: ..}}, on the "
                f"command line --model.connectivity.{key}"
            )
    rule = factory(depth, **options)
    if not isinstance(rule, Connectivity):
        raise ConfigError(
            f"what is registered as connectivity {name!r} made {rule!r:.80} for depth {depth}; "
            "expected a Connectivity, with begin, step, readout, cut and to_config"
        )
    return _of_depth(rule, depth)


def _of_depth(rule: Connectivity[Any], depth: int) -> Connectivity[Any]:
    if rule.depth != depth:
        raise ConfigError(f"a connectivity of depth {rule.depth} in a network of depth {depth}")
    return rule


@cache
def _parameters(factory: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    """Return a rule factory's parameters, cached because every load of a network needs them."""
    return inspect.signature(factory).parameters


def _corner(
    depth: int,
    point: tuple[float, float],
    inner: float | None = None,
    gates: str = "fixed",
) -> Plane:
    short, long = point
    return Plane(depth, short, long, inner=inner, gates=gates)


for _name, _point in NAMED_POINTS.items():
    register_connectivity(_name)(partial(_corner, point=_point))


register_connectivity("plane")(Plane)
register_connectivity("denseformer")(DenseFormer)
register_connectivity("hyper")(HyperConnections)
register_connectivity("dense")(Dense)
register_connectivity("detached")(Detached)
register_connectivity("input_fed")(InputFed)


@register_connectivity("hacn")
def _hacn(
    depth: int, *, start: float = 0.5, inner: float | None = None, channels: int | None = None
) -> Plane:
    """Build one learned gate per layer between residual (1) and ACN (0), starting at ``start``."""
    return Plane(depth, start, 1 - start, inner=inner, gates="tied", channels=channels)


def as_name(config: dict[str, Any]) -> str | dict[str, Any]:
    """Return a connectivity's config, shortened to its name if it has no other options."""
    return config["name"] if set(config) == {"name"} else config
