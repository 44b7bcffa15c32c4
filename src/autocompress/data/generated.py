"""Data sets that are generated, by name; each owns its options."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any, NamedTuple, TypeVar

from autocompress.data.config import DataConfig
from autocompress.data.options import options_of
from autocompress.data.splits import Splits
from autocompress.errors import ConfigError
from autocompress.registry import Registry

__all__ = ["GENERATED", "Generated", "generate_dataset", "register_generated"]

M = TypeVar("M", bound=Callable[..., Splits])


class Generated(NamedTuple):
    """A generated set.

    Attributes:
        options: a frozen dataclass of its own options, which checks them.
        make: from the :class:`DataConfig` and these options to the splits.
    """

    options: type
    make: Callable[[DataConfig, Any], Splits]


GENERATED: Registry[Generated] = Registry(
    "generated data set",
    {name: f"autocompress.data.{name}" for name in ("doubling", "hierarchy")},
)


def register_generated(name: str, options: type) -> Callable[[M], M]:
    """Return a decorator that makes a function known as the maker of a generated data set.

    The function gets the :class:`DataConfig`, of which it may use ``seed``, and the set's own
    options. What else a config says is refused before.

    Args:
        name: of the set.
        options: a frozen dataclass of the set's own options, which checks them.

    Raises:
        ConfigError: the name is taken.
    """

    def register(maker: M) -> M:
        GENERATED.add(name, Generated(options, maker))
        return maker

    return register


def generate_dataset(config: DataConfig) -> Splits:
    """Return the splits of a generated set.

    Raises:
        UnknownNameError: no such set, or an option that it does not have.
        ConfigError: a value that an option does not take, or an option of :class:`DataConfig` that
            is for other sets.
    """
    kind, make = GENERATED[config.name]
    own = ", ".join(field.name for field in fields(kind))
    for item in fields(DataConfig):
        free = item.name in ("name", "options", "seed", "device_limit_mb")
        if not free and getattr(config, item.name) != item.default:
            raise ConfigError(
                f"data.{item.name} is not for {config.name!r}, which is generated: beside seed its "
                f"options are {own}"
            )
    return make(config, options_of(kind, config.options, config.name))
