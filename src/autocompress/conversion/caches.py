"""Caches of keys and values, where a layer's own index is not its place in the list.

transformers' layers know their place (``layer_idx``) and store their keys there. Where layers of
several models were put together, repeated or taken out, these places are no longer right.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn

from autocompress.conversion.waiting import Call

__all__ = ["places", "renumber", "seated"]


def renumber(layers: Sequence[nn.Module]) -> None:
    """Tell each layer its place, in place; not one that stands twice, or computes with its place.

    These keep the index that they have, and :func:`seated` corrects it call by call.
    """
    for place, layer in enumerate(layers):
        if _index_of(layer) in (None, place) or sum(other is layer for other in layers) > 1:
            continue
        if any(getattr(m, "scale_attn_by_inverse_layer_idx", False) for m in layer.modules()):
            continue
        for module in _counted(layer):
            module.layer_idx = place  # type: ignore[assignment]


def places(layers: Sequence[nn.Module]) -> tuple[int | None, ...]:
    """The place of each layer where its own index says another, else None."""
    return tuple(
        None if _index_of(layer) in (None, place) else place for place, layer in enumerate(layers)
    )


def seated(call: Call, place: int) -> Call:
    """A layer's call, with any cache in it storing under ``place``."""
    args, kwargs = call
    return (
        tuple(_seat(arg, place) for arg in args),
        {name: _seat(arg, place) for name, arg in kwargs.items()},
    )


def _seat(value: Any, place: int) -> Any:
    is_cache = hasattr(value, "get_seq_length") and hasattr(value, "update")
    return _Seat(value, place) if is_cache else value


class _Seat:
    """A cache as the layer at ``place`` sees it, whatever index that layer gives."""

    def __init__(self, cache: Any, place: int) -> None:
        self._cache, self._place = cache, place

    def update(self, keys: Any, values: Any, layer_idx: int, *args: Any, **kwargs: Any) -> Any:
        return self._cache.update(keys, values, self._place, *args, **kwargs)

    def get_seq_length(self, layer_idx: int = 0) -> Any:
        return self._cache.get_seq_length(self._place)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._cache, name)


def _counted(layer: nn.Module) -> list[nn.Module]:
    """The parts of a layer that know their place."""
    return [m for m in layer.modules() if isinstance(getattr(m, "layer_idx", None), int)]


def _index_of(layer: nn.Module) -> int | None:
    found = [module.layer_idx for module in _counted(layer)]
    return found[0] if found else None  # type: ignore[return-value]
