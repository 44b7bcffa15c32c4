"""Compare the settings of two runs by value, regardless of how they are written.

This is the library's only such comparison: checkpoints, run folders and study results use it.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import MISSING, Field, asdict, fields, is_dataclass
from typing import Any

from autocompress.data import AugmentConfig
from autocompress.network import Network
from autocompress.training.config import FitConfig

__all__ = ["at_default", "defaults_of", "identity_of", "unlike"]

#: Options that may differ between two sessions of one run.
_FREE = ("checkpoint_every", "evaluate_every", "device", "track")


def identity_of(net: Network, config: FitConfig, augment: AugmentConfig | None) -> dict[str, Any]:
    """Return what two sessions of one run must share: the model and all settings that affect it."""
    settings = asdict(config)
    for free in _FREE:
        del settings[free]
    settings |= settings.pop("hooks")  # these options stand beside the others
    model = {"model": net.model_name, **net.config}
    return {**model, **settings, "augment": None if augment is None else asdict(augment)}


def defaults_of(net: Network, config: FitConfig, augment: AugmentConfig | None) -> set[str]:
    """Return the dotted keys of :func:`identity_of` that have their default."""
    signature = net.options()
    model = {k for k, v in net.config.items() if k in signature and signature[k].default == v}
    settings = {key.removeprefix("hooks.") for key in at_default(config)}
    return model | settings | at_default({"augment": augment})


def at_default(settings: Any) -> set[str]:
    """Return the dotted keys of all options, at any level, that have their default.

    Args:
        settings: A dataclass, or a mapping of dataclasses.

    Example:
        >>> "lr" in at_default(FitConfig(seed=3)), "seed" in at_default(FitConfig(seed=3))
        (True, False)
    """
    return set(_at_default(settings))


def unlike(
    held: Mapping[str, Any], now: Mapping[str, Any], defaults: Collection[str] = ()
) -> list[str]:
    """Return the differences from an earlier run, with both values, for an error message.

    Values are compared as JSON, at any level: a tuple equals the list that it was saved as, 1
    equals 1.0, and the order of keys does not matter. An option that did not exist when the
    earlier run was written, and has its default now, is no difference.

    Args:
        held: Settings of the earlier run, as nested mappings.
        now: Settings of the current run.
        defaults: Dotted keys of the options of ``now`` that have their default.

    Example:
        >>> unlike({"lr": 0.1, "net": {}}, {"lr": 0.1, "net": {"new": 3}}, {"net.new"})
        []
        >>> unlike({"lr": 0.1}, {"lr": 0.2, "seed": 1})
        ['lr: 0.1 -> 0.2', 'seed: nothing -> 1']
    """
    return list(_unlike(_as_json(held), _as_json(now), defaults, ""))


def _unlike(
    held: Mapping[str, Any], now: Mapping[str, Any], defaults: Collection[str], prefix: str
) -> Iterator[str]:
    for key in sorted({*held, *now}):
        name = f"{prefix}{key}"
        old, new = held.get(key), now.get(key)
        if key not in held and name in defaults:
            continue
        if isinstance(old, dict) and isinstance(new, dict):
            yield from _unlike(old, new, defaults, f"{name}.")
        elif key not in held or key not in now or old != new:
            old, new = (repr(of[key]) if key in of else "nothing" for of in (held, now))
            yield f"{name}: {old} -> {new}"


def _as_json(value: Mapping[str, Any]) -> dict[str, Any]:
    plain: dict[str, Any] = json.loads(json.dumps(value))
    return plain


def _at_default(settings: Any, prefix: str = "") -> Iterator[str]:
    if isinstance(settings, Mapping):
        for key, item in settings.items():
            yield from _at_default(item, f"{prefix}{key}.")
    elif is_dataclass(settings):
        for field in fields(settings):
            value = getattr(settings, field.name)
            if value in _defaults(type(settings), field):
                yield f"{prefix}{field.name}"
            yield from _at_default(value, f"{prefix}{field.name}.")


def _defaults(kind: type, field: Field[Any]) -> Iterator[Any]:
    """Yield the defaults of an option: as declared, and as its class resolves it."""
    yield field.default
    if field.default_factory is not MISSING:
        yield field.default_factory()
    with suppress(TypeError):  # the class has options without a default
        yield getattr(kind(), field.name)
