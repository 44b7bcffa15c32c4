"""Refuse to put a layer in a place where its library would build another kind of layer.

A host's library rebuilds a shorter model from its number of layers, and may decide by a layer's
place what it computes: a window's shift, a rotation, experts. The weights of a layer that has moved
would then run in a layer of another kind, without any error.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn

from autocompress.errors import ConfigError

__all__ = ["check_alike", "check_places"]

#: Attributes by which a layer knows its own place, or its mode, and not what it computes.
_HARMLESS = frozenset(
    ("layer_idx", "layer_id", "layer_number", "training", "gradient_checkpointing", "recompute")
)


def check_alike(model: nn.Module) -> None:
    """Raise ConfigError if a host's config says that a layer's position decides what it computes.

    Args:
        model: A host with trunks in it.
    """
    for module in model.modules():
        kinds = set(getattr(getattr(module, "config", None), "layer_types", None) or ())
        if len(kinds) > 1 or getattr(module, "scale_attn_by_inverse_layer_idx", False):
            how = f"are of several kinds ({', '.join(sorted(kinds))})" if kinds else "are scaled"
            raise ConfigError(
                f"this model's layers {how} by their position, so only the last ones can be "
                "removed: give a depth (--depth; in Python, cut(net, depth))"
            )


def check_places(path: str, layers: Sequence[nn.Module], kept: Sequence[int]) -> None:
    """Raise ConfigError if a kept layer would take the place of one of another kind.

    Args:
        path: Path of the list in the host.
        layers: All layers of the list.
        kept: Indices of the layers to keep.
    """
    for place, index in enumerate(kept):
        if index == place:
            continue
        wanted, found = _traits(layers[place]), _traits(layers[index])
        if wanted != found:
            raise ConfigError(
                f"{path}.{index} would become {path}.{place}, where this model's library builds "
                f"another kind of layer ({_difference(wanted, found)}): remove only the last "
                "layers by a depth (--depth; in Python, cut(net, depth)), or keep layers whose new "
                "places suit them"
            )


def _traits(layer: nn.Module) -> dict[str, Any]:
    """Return what a layer's constructor has decided: its parts and their options, by path.

    Drop rates, which usually grow from layer to layer, do not affect what a network computes.
    """
    found: dict[str, Any] = {}
    for path, module in layer.named_modules():
        name = type(module).__name__
        if isinstance(module, nn.Identity) or "drop" in name.lower():
            continue
        found[path or "class"] = name
        for key, value in vars(module).items():
            harmless = key in _HARMLESS or key.startswith("_") or "drop" in key
            if not harmless and _is_plain(value):
                found[f"{path}.{key}" if path else key] = value
    return found


def _is_plain(value: Any) -> bool:
    if isinstance(value, (tuple, list)):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, (bool, int, float, str))


def _difference(wanted: dict[str, Any], found: dict[str, Any]) -> str:
    """Describe the first thing that two kinds of layers do not have in common."""
    key = next(k for k in {**wanted, **found} if wanted.get(k, ...) != found.get(k, ...))
    there, here = (said.get(key, "absent") for said in (wanted, found))
    return f"{key} is {there!r:.60} there, and {here!r:.60} in this one"
