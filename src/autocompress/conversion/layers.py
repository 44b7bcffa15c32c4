"""Split layers of other libraries into branches.

A layer class only has to declare how its branches are called with a scaled skip:
``skip * x + body(norm(x))`` with the norm first, ``norm(skip * x + body(x))`` with the norm last. A
layer is then *adopted*: it keeps its weights, its attributes and its place, and its class becomes a
subclass whose forward runs those branches one after another.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from itertools import zip_longest
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from autocompress.connectivity import Gate
from autocompress.conversion.pickling import layer_name, reduction
from autocompress.errors import ConfigError
from autocompress.registry import Registry

__all__ = [
    "BranchCall",
    "LayerKind",
    "SplitLayer",
    "adopt",
    "is_registered",
    "kind_of",
    "layer_name",
    "layer_kinds",
    "register_layer",
    "release",
]

#: One branch, (layer, x, skip, *args, **kwargs) -> x; the last arguments are the host's own.
BranchCall = Callable[..., Tensor]

#: Returns why a layer cannot be split, or None: (layer, module that holds the list) -> reason.
Refusal = Callable[[nn.Module, nn.Module], "str | None"]


@dataclass(frozen=True)
class LayerKind:
    """The way in which the layers of one class are split.

    Attributes:
        name: Class as ``"package.module:Class"``; not its subclasses, which may compute other
            things.
        branches: Calls in order, one per skip of the layer.
        models: Networks that have such layers, for documentation.
        returns_tuple: Whether the host expects ``(x, None)`` from the layer.
        refuse: Function that returns why an instance cannot be split (e.g. an unsuitable option),
            or None; it is given the layer and the module that holds the list of layers.
        matches: Predicate for a general class such as ``nn.Sequential``: whether an instance is of
            this kind.
    """

    name: str
    branches: tuple[BranchCall, ...]
    models: str = ""
    returns_tuple: bool = False
    refuse: Refusal | None = None
    matches: Callable[[nn.Module], bool] | None = None


_KINDS: Registry[LayerKind] = Registry("layer")


def register_layer(
    *names: str,
    models: Sequence[str] = (),
    refuse: Refusal | None = None,
    returns_tuple: bool = False,
    matches: Callable[[nn.Module], bool] | None = None,
) -> Callable[[Callable[[], Sequence[BranchCall]]], Callable[[], Sequence[BranchCall]]]:
    """Register a layer class; decorates a function that returns the branches of its layers.

    Args:
        names: Classes, each as ``"package.module:Class"``; nothing is imported.
        models: Networks that have such layers, for documentation; one text for each name.
        refuse: Function that returns why an instance cannot be split, or None; see
            :class:`LayerKind`.
        returns_tuple: Whether the host expects ``(x, None)``.
        matches: Predicate for a general class: whether an instance is of this kind.

    Raises:
        ConfigError: A name is taken or not of that form, or there are no branches.

    Example:
        >>> @register_layer("my_package.layers:Layer", models=["MyNet"])
        ... def _layer():
        ...     def mlp(layer, x, skip, **_):
        ...         return skip * x + layer.mlp(layer.norm(x))
        ...     return (mlp,)
        >>> _KINDS.remove("my_package.layers:Layer").models
        'MyNet'
    """

    def register(
        branches: Callable[[], Sequence[BranchCall]],
    ) -> Callable[[], Sequence[BranchCall]]:
        calls = tuple(branches())
        if not calls:
            raise ConfigError(f"{names} has no branches")
        for name, label in zip_longest(names, models, fillvalue=""):
            if name.count(":") != 1:
                raise ConfigError(f"a layer is named 'module:Class', not {name!r}")
            _KINDS.add(name, LayerKind(name, calls, label, returns_tuple, refuse, matches))
        return branches

    return register


def layer_kinds() -> dict[str, LayerKind]:
    """Return every registered kind by name."""
    return _KINDS.entries()


def kind_of(layer: nn.Module) -> LayerKind | None:
    """Return how ``layer`` is split; None if its class is not registered."""
    kind = _KINDS.get(layer_name(type(layer)))
    return None if kind and kind.matches and not kind.matches(layer) else kind


class SplitLayer(nn.Module):
    """An adopted layer: the original plus its branches in order, each with its skip.

    It is called like a block: with ``short`` at 1 (the default) it computes what it did before.
    """

    kind: ClassVar[LayerKind]

    #: Whether the backward pass recomputes this layer instead of storing its activations.
    recompute = False

    @property
    def branches(self) -> tuple[Callable[..., Tensor], ...]:
        """Return one callable per skip: ``branch(x, skip, ...)``."""
        return tuple(partial(branch, self) for branch in self.kind.branches)

    def __reduce_ex__(self, protocol: Any) -> Any:
        kind = self.kind.name if is_registered(self) else self.kind
        inherited = super().__reduce_ex__(max(protocol, 2))
        return reduction(self, inherited, _split_again, type(self).__bases__[1], kind)

    def forward(
        self, x: Tensor, *args: Any, short: Gate = 1.0, inner: Gate | None = None, **kwargs: Any
    ) -> Any:
        """Return f(x) with the last skip at ``short`` and the others at ``inner`` (None: equal)."""
        if self.recompute and self.training and torch.is_grad_enabled():
            run = partial(_run, self, short=short, inner=inner, **kwargs)
            return checkpoint(run, x, *args, use_reentrant=False)
        return _run(self, x, *args, short=short, inner=inner, **kwargs)


def _run(
    layer: SplitLayer, x: Tensor, *args: Any, short: Gate, inner: Gate | None, **kwargs: Any
) -> Tensor:
    *before, last = layer.kind.branches
    for branch in before:
        x = branch(layer, x, short if inner is None else inner, *args, **kwargs)
    return last(layer, x, short, *args, **kwargs)


def adopt(layer: nn.Module, kind: LayerKind) -> SplitLayer:
    """Turn ``layer`` into a :class:`SplitLayer` in place: the same object with the same weights."""
    if not isinstance(layer, SplitLayer):
        layer.__class__ = _split_class(cast(Any, type(layer)), kind)
    return cast(SplitLayer, layer)


def release(layer: nn.Module) -> nn.Module:
    """Undo :func:`adopt`, in place."""
    if isinstance(layer, SplitLayer):
        layer.__class__ = type(layer).__bases__[1]
    return layer


def is_registered(layer: nn.Module) -> bool:
    """Return whether a layer is split as its class is registered, not by a user or its graph."""
    return isinstance(layer, SplitLayer) and _KINDS.get(layer.kind.name) is layer.kind


def _split_again(cls: type[nn.Module], kind: LayerKind | str) -> type[nn.Module]:
    """Return the class of an adopted layer for unpickling, given a registered kind."""
    return _split_class(cast(Any, cls), _KINDS[kind] if isinstance(kind, str) else kind)


@cache
def _split_class(cls: type[nn.Module], kind: LayerKind) -> type[nn.Module]:
    """Return a subclass of both that keeps the layer's name, which device maps and logs use."""
    body = {"kind": kind, "__module__": cls.__module__, "__qualname__": cls.__qualname__}
    return cast(type[nn.Module], type(cls.__name__, (SplitLayer, cls), body))
