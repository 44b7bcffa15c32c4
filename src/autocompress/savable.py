"""The base class of modules that are saved as folders, and the registry of such classes."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, wraps
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, cast

from torch import nn

from autocompress.bounds import check_bounds
from autocompress.errors import ConfigError, UnknownNameError
from autocompress.registry import Registry, registered_in

__all__ = ["MODELS", "RECORDED", "Savable", "build_savable", "check_finals", "recording"]


class Savable(nn.Module, ABC):
    """A module that config.json and its weights describe completely, e.g. :class:`Network`.

    Attributes:
        config: Constructor arguments, as JSON.
        preprocess: The mapping from raw inputs to the module's, as JSON; None if unspecified.
        tokenizer: The text of tokenizer.json; None if there is none.
        task: The task of its training, one of ``data.task``; None if unknown.
        class_names: The names of its outputs by number; None if unknown.
    """

    #: Name in the registry.
    model_name: ClassVar[str] = ""

    config: dict[str, Any]
    preprocess: dict[str, Any] | None = None
    tokenizer: str | None = None
    task: str | None = None
    class_names: list[str] | None = None

    #: Whether only its owner can build it; config.json then holds just the rule and depth.
    owner_builds = False

    @classmethod
    def from_config(cls, **arguments: Any) -> Savable:
        """Build the module from these arguments, which are the ones config.json holds."""
        return cast(Savable, cast(Any, cls)(**arguments))

    @classmethod
    def options(cls) -> Mapping[str, inspect.Parameter]:
        """Return the arguments that config.json may hold, by name (the constructor's)."""
        return _options(cls.__init__)

    def recipe(self) -> dict[str, Any]:
        """Return the :meth:`from_config` arguments that rebuild this module as it is now."""
        return dict(self.config)

    @abstractmethod
    def rule(self) -> str | dict[str, Any]:
        """Return the current connectivity as JSON."""

    @abstractmethod
    def example(self, batch: int = 2) -> Any:
        """Return random inputs of the shape that the module expects."""

    def beside(self) -> Mapping[str, Mapping[str, Any]]:
        """Return JSON files for other libraries that saving writes beside ours, by their names."""
        return {}

    def refill_buffers(self) -> None:
        """Recompute buffers that no file holds, for a module that was built without them.

        Buffers that are still empty are copied from a second module built with the same options.
        """


@lru_cache(maxsize=64)  # the inspection takes longer than the check
def _options(constructor: Any) -> Mapping[str, inspect.Parameter]:
    found = inspect.signature(constructor).parameters
    return MappingProxyType({name: each for name, each in found.items() if name != "self"})


#: Classes by name. Built-in classes are imported on first use.
MODELS: Registry[type[Savable]] = Registry(
    "model",
    {
        **registered_in(
            Path(__file__).with_name("models"), "autocompress.models", "register_model"
        ),
        "converted": "autocompress.conversion.converted",
    },
)


def build_savable(name: str, /, **arguments: Any) -> Savable:
    """Build the registered class ``name`` with these arguments.

    Raises:
        UnknownNameError: There is no such class, or it does not take one of the arguments.
    """
    cls = MODELS[name]
    legal = cls.options()
    for key in arguments:
        if key not in legal:
            raise UnknownNameError(f"option of model {name!r}:", key, legal)
    return cls.from_config(**arguments)


def check_finals(cls: type, base: type, instead: Sequence[str]) -> None:
    """Check that a subclass overrides no method that is marked as final in ``base``.

    Args:
        cls: The subclass.
        base: The class whose methods, or those that it inherits, may be marked by
            ``typing_extensions.final``.
        instead: Names of methods that the final ones call and a subclass may override.

    Raises:
        ConfigError: It overrides one, or inherits another one from a class that comes first.
    """
    for name in dir(base):
        method = inspect.getattr_static(base, name)
        is_final = getattr(method, "__final__", False)
        if is_final and inspect.getattr_static(cls, name) is not method:
            raise ConfigError(
                f"{cls.__name__} overrides {name}, which is final in {base.__name__}: every "
                f"network has to do the same there. Override {', '.join(instead)} instead"
            )


#: Attribute that holds the constructor's arguments until Network.__init__ takes them.
RECORDED = "_recorded_arguments"


def recording(constructor: Callable[..., None]) -> Callable[..., None]:
    """Wrap a constructor to record its arguments, in order and without the connectivity."""
    signature = inspect.signature(constructor)

    @wraps(constructor)
    def recorded(self: Any, *args: Any, **options: Any) -> None:
        if RECORDED not in self.__dict__:  # a subclass's own arguments take precedence
            bound = signature.bind(self, *args, **options)
            bound.apply_defaults()
            _, *given = bound.arguments.items()
            self.__dict__[RECORDED] = {k: v for k, v in given if k != "connectivity"}
            check_bounds(constructor, dict(given))
        constructor(self, *args, **options)
        self.__dict__.pop(RECORDED, None)  # if Network.__init__ was never called

    return recorded
