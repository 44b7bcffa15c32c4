"""Options of a single data set: a frozen dataclass in its file, checked here by its types."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from autocompress.bounds import fits
from autocompress.errors import ConfigError, UnknownNameError

__all__ = ["options_for_set"]

T = TypeVar("T")

_WORDS = {int: "a whole number", float: "a number", str: "a word", bool: "true or false"}


def options_for_set(kind: type[T], given: Mapping[str, Any], name: str) -> T:
    """Return the options of the data set ``name``, each of the type that its class declares.

    Args:
        kind: A dataclass with options that are numbers, words, booleans, or lists of these.
        given: Options that the user gave.
        name: Name of the data set, for messages.

    Raises:
        UnknownNameError: The set has no such option.
        ConfigError: A value has another type, or the class refuses it.

    Example:
        >>> from dataclasses import dataclass
        >>> @dataclass(frozen=True)
        ... class Options:
        ...     sides: tuple[int, ...] = (6,)
        >>> options_for_set(Options, {"sides": [4, 8]}, "dice")
        Options(sides=(4, 8))
    """
    hints = get_type_hints(kind)
    known = [field.name for field in fields(kind)]  # type: ignore[arg-type]
    found = {}
    for key, value in given.items():
        if key not in known:
            raise UnknownNameError(f"option of data set {name!r}:", key, known)
        found[key] = _checked(value, hints[key], f"data.{key}")
    return kind(**found)


def _checked(value: Any, hint: Any, key: str) -> Any:
    if get_origin(hint) is tuple:
        item = get_args(hint)[0]
        values = value if isinstance(value, list | tuple) else [value]
        if not fits(values, hint):
            raise ConfigError(f"{key} {value!r:.60} must be a list, each {_WORDS[item]}")
        return tuple(values)
    if not fits(value, hint):
        raise ConfigError(f"{key} {value!r:.60} must be {_WORDS[hint]}")
    return float(value) if hint is float else value
