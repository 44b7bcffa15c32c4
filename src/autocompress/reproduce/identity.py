"""Whether two results are of the same settings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import MISSING, fields, is_dataclass
from typing import Any

from autocompress.training.config import difference

__all__ = ["unlike"]


def unlike(held: Mapping[str, Any], now: Mapping[str, Any], settings: Any) -> list[str]:
    """What is not as in an earlier run, with both values.

    An option that did not exist then, and now has its default, is no difference.

    Args:
        held: of the earlier run, the keys that count.
        now: the same of the run now.
        settings: the claim's own, of which ``now["settings"]`` is the JSON.
    """
    old, new = dict(_walk(held)), dict(_walk(now))
    defaults = {f"settings.{key}" for key in _at_default(settings)}
    shared = {key: value for key, value in new.items() if key in old or key not in defaults}
    return difference(old, shared)


def _walk(value: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The leaves of nested mappings by their dotted keys."""
    for key, item in value.items():
        if isinstance(item, Mapping):
            yield from _walk(item, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", item


def _at_default(settings: Any, prefix: str = "") -> Iterator[str]:
    """Dotted keys of all options, however deep, that have their default."""
    if isinstance(settings, Mapping):
        for key, item in settings.items():
            yield from _at_default(item, f"{prefix}{key}.")
    elif is_dataclass(settings):
        for field in fields(settings):
            value = getattr(settings, field.name)
            made = MISSING if field.default_factory is MISSING else field.default_factory()
            if value in (field.default, made):
                yield f"{prefix}{field.name}"
            yield from _at_default(value, f"{prefix}{field.name}.")
