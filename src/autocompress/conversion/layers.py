"""Layers of other libraries, taken apart into branches.

What a class must say is only how its branches are called with the skip beside them scaled:
``skip * x + body(norm(x))`` where the norm comes first, ``norm(skip * x + body(x))`` where it comes
last. A layer is then *adopted*: it keeps its weights, its attributes and its place, and its class
becomes a subclass whose forward is those branches, one after the other.
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

#: (layer, x, skip, *args, **kwargs) -> x: one branch; the last arguments are the host's own.
BranchCall = Callable[..., Tensor]

#: (layer, the module that holds the list) -> why this cannot be taken apart, or None.
Refusal = Callable[[nn.Module, nn.Module], "str | None"]


@dataclass(frozen=True)
class LayerKind:
    """How the layers of one class are taken apart.

    Attributes:
        name: ``"package.module:Class"``; that class alone, as a subclass may compute other things.
        branches: One call per skip of the layer, in order.
        models: Which networks have such layers, for people.
        returns_tuple: The host expects ``(x, None)`` from the layer.
        refuse: Why an instance cannot be taken apart (an option that breaks the form), or None; it
            is given the layer and the module that holds the list of layers.
        matches: For a class as general as ``nn.Sequential``: is this instance one of the kind.
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
    """Decorator of a function that returns the branches of a layer class.

    Args:
        names: ``"package.module:Class"``, each; nothing is imported.
        models: Which networks have such layers, for people; one text for each name.
        refuse: Why an instance cannot be taken apart, or None; as in :class:`LayerKind`.
        returns_tuple: The host expects ``(x, None)``.
        matches: For a general class, is this instance one of the kind.

    Raises:
        ConfigError: A name that is taken or not of that form, or no branches.
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
    """Every registered kind by name."""
    return _KINDS.entries()


def kind_of(layer: nn.Module) -> LayerKind | None:
    """How ``layer`` is taken apart; None for a class that nobody registered."""
    kind = _KINDS.get(layer_name(type(layer)))
    return None if kind and kind.matches and not kind.matches(layer) else kind


class SplitLayer(nn.Module):
    """What an adopted layer is, besides what it was: its branches in order, each with its skip.

    It is called as a block is: with ``short`` at 1 (the default) it computes what it did before.
    """

    kind: ClassVar[LayerKind]

    #: Recompute this layer in the backward pass instead of keeping its activations.
    recompute = False

    @property
    def branches(self) -> tuple[Callable[..., Tensor], ...]:
        """One callable per skip: ``branch(x, skip, ...)``."""
        return tuple(partial(branch, self) for branch in self.kind.branches)

    def __reduce_ex__(self, protocol: Any) -> Any:
        kind = self.kind.name if is_registered(self) else self.kind
        inherited = super().__reduce_ex__(max(protocol, 2))
        return reduction(self, inherited, _split_again, type(self).__bases__[1], kind)

    def forward(
        self, x: Tensor, *args: Any, short: Gate = 1.0, inner: Gate | None = None, **kwargs: Any
    ) -> Any:
        """f(x) with its last skip at ``short`` and the others at ``inner`` (None: the same)."""
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
    """Make ``layer`` a :class:`SplitLayer`, in place: the same object, weights and attributes."""
    if not isinstance(layer, SplitLayer):
        layer.__class__ = _split_class(cast(Any, type(layer)), kind)
    return cast(SplitLayer, layer)


def release(layer: nn.Module) -> nn.Module:
    """Undo :func:`adopt`, in place."""
    if isinstance(layer, SplitLayer):
        layer.__class__ = type(layer).__bases__[1]
    return layer


def is_registered(layer: nn.Module) -> bool:
    """Whether a layer is taken apart as its class is registered, not by a user or by its graph."""
    return isinstance(layer, SplitLayer) and _KINDS.get(layer.kind.name) is layer.kind


def _split_again(cls: type[nn.Module], kind: LayerKind | str) -> type[nn.Module]:
    """The class of an adopted layer from a pickle, which names a registered kind."""
    return _split_class(cast(Any, cls), _KINDS[kind] if isinstance(kind, str) else kind)


@cache
def _split_class(cls: type[nn.Module], kind: LayerKind) -> type[nn.Module]:
    """A subclass of both; it keeps its name, which device maps and logs go by."""
    body = {"kind": kind, "__module__": cls.__module__, "__qualname__": cls.__qualname__}
    return cast(type[nn.Module], type(cls.__name__, (SplitLayer, cls), body))
