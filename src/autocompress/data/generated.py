"""Generated data sets by name; each has its own options, checked here by their types."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, Protocol, TypeVar, cast, get_args, get_origin, get_type_hints

from autocompress.bounds import fits
from autocompress.data.config import DataConfig
from autocompress.data.splits import Splits
from autocompress.errors import ConfigError, UnknownNameError
from autocompress.registry import Registry, registered_in

__all__ = ["GENERATED", "GeneratedSet", "generate_dataset", "options_for_set", "register_generated"]

G = TypeVar("G", bound=type["GeneratedSet"])
T = TypeVar("T")

_WORDS = {int: "a whole number", float: "a number", str: "a word", bool: "true or false"}


class GeneratedSet(Protocol):
    """A generated set: a frozen dataclass of its own options, which it checks.

    A class attribute ``model`` names the model that is used if the user names none.
    """

    def splits(self, config: DataConfig) -> Splits:
        """Return the set; only ``name`` and ``seed`` of ``config`` have a meaning for it."""
        ...


GENERATED: Registry[type[GeneratedSet]] = Registry(
    "generated data set",
    registered_in(Path(__file__).parent, "autocompress.data", "register_generated"),
)


def register_generated(name: str) -> Callable[[G], G]:
    """Return a class decorator that registers a generated data set under ``name``.

    Raises:
        ConfigError: The name is taken.
    """
    return GENERATED.register(name)


def generate_dataset(config: DataConfig) -> Splits:
    """Return the splits of a generated set.

    Raises:
        UnknownNameError: There is no such set, or it has no such option.
        ConfigError: An option has an invalid value, or an option of :class:`DataConfig` is meant
            for other sets.
    """
    kind = GENERATED[config.name]
    own = ", ".join(field.name for field in fields(cast(Any, kind)))
    for item in fields(DataConfig):
        free = item.name in ("name", "options", "seed", "device_limit_mb")
        if not free and getattr(config, item.name) != item.default:
            raise ConfigError(
                f"data.{item.name} is not for {config.name!r}, which is generated: beside seed its "
                f"options are {own}"
            )
    return options_for_set(kind, config.options, config.name).splits(config)


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
