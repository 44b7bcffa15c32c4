"""Generated data sets by name; each has its own options."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any, Protocol, TypeVar, cast

from autocompress.data.config import DataConfig
from autocompress.data.options import options_for_set
from autocompress.data.splits import Splits
from autocompress.errors import ConfigError
from autocompress.registry import Registry, registered_in

__all__ = ["GENERATED", "GeneratedSet", "generate_dataset", "register_generated"]

G = TypeVar("G", bound=type["GeneratedSet"])


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
