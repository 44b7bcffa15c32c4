"""Correct the layer indices under which key-value caches store their entries.

transformers' layers know their index (``layer_idx``) and store their keys under it. After layers of
several models were combined, repeated or removed, these indices no longer match the list.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn

from autocompress.conversion.deferred import Call

__all__ = ["cache_places", "renumber", "seated"]


def renumber(layers: Sequence[nn.Module]) -> None:
    """Set the index of each layer in place, except layers that occur twice or compute with it.

    Those layers keep their index, and :func:`seated` corrects it in each call.
    """
    for place, layer in enumerate(layers):
        if _index_of(layer) in (None, place) or sum(other is layer for other in layers) > 1:
            continue
        if any(getattr(m, "scale_attn_by_inverse_layer_idx", False) for m in layer.modules()):
            continue
        for module in _counted(layer):
            module.layer_idx = place  # type: ignore[assignment]


def cache_places(layers: Sequence[nn.Module]) -> tuple[int | None, ...]:
    """Return for each layer its position where its own index differs, else None."""
    return tuple(
        None if _index_of(layer) in (None, place) else place for place, layer in enumerate(layers)
    )


def seated(call: Call, place: int) -> Call:
    """Return a layer's call in which caches store under ``place``."""
    args, kwargs = call
    return (
        tuple(_seat(arg, place) for arg in args),
        {name: _seat(arg, place) for name, arg in kwargs.items()},
    )


def _seat(value: Any, place: int) -> Any:
    is_cache = hasattr(value, "get_seq_length") and hasattr(value, "update")
    return _Seat(value, place) if is_cache else value


class _Seat:
    """A cache as seen by the layer at ``place``, whatever index that layer passes."""

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
    """Return the parts of a layer that have an index."""
    return [m for m in layer.modules() if isinstance(getattr(m, "layer_idx", None), int)]


def _index_of(layer: nn.Module) -> int | None:
    found = [module.layer_idx for module in _counted(layer)]
    return found[0] if found else None  # type: ignore[return-value]
