"""Data sets that are generated, by name; each owns its options."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any, Protocol, TypeVar, cast

from autocompress.data.config import DataConfig
from autocompress.data.options import options_of
from autocompress.data.splits import Splits
from autocompress.errors import ConfigError
from autocompress.registry import Registry

__all__ = ["GENERATED", "Generated", "generate_dataset", "register_generated"]

G = TypeVar("G", bound=type["Generated"])


class Generated(Protocol):
    """A generated set: a frozen dataclass of its own options, which checks them."""

    def splits(self, config: DataConfig) -> Splits:
        """Return the set. Of ``config``, only ``name`` and ``seed`` may say something."""
        ...


GENERATED: Registry[type[Generated]] = Registry(
    "generated data set",
    {name: f"autocompress.data.{name}" for name in ("doubling", "hierarchy")},
)


def register_generated(name: str) -> Callable[[G], G]:
    """Return a class decorator that makes a generated data set known under ``name``.

    Raises:
        ConfigError: The name is taken.
    """
    return GENERATED.register(name)


def generate_dataset(config: DataConfig) -> Splits:
    """Return the splits of a generated set.

    Raises:
        UnknownNameError: No such set, or an option that it does not have.
        ConfigError: A value that an option does not take, or an option of :class:`DataConfig` that
            is for other sets.
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
    return options_of(kind, config.options, config.name).splits(config)
