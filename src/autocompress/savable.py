"""What can be saved as a folder and built again from it, and the registry of such classes."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, ClassVar, cast

from torch import nn

from autocompress.errors import UnknownNameError
from autocompress.registry import Registry

__all__ = ["MODELS", "Savable", "build_savable"]


class Savable(nn.Module):
    """A module that config.json and its weights say all about; :class:`Network` is one.

    Attributes:
        config: arguments of the constructor, JSON.
        preprocess: how raw inputs become the module's, JSON; None where nobody said.
        tokenizer: the text of tokenizer.json, None where there is none.
    """

    #: Name in the registry.
    model_name: ClassVar[str] = ""

    config: dict[str, Any]
    preprocess: dict[str, Any] | None = None
    tokenizer: str | None = None

    #: Only its owner can build it: config.json holds its weights' rule and depth alone.
    owner_builds = False

    @classmethod
    def from_config(cls, **arguments: Any) -> Savable:
        """Build the module that these arguments describe: what config.json holds of it."""
        return cast(Savable, cast(Any, cls)(**arguments))

    @classmethod
    def options(cls) -> Mapping[str, inspect.Parameter]:
        """Return the arguments that config.json may hold, by name: the constructor's."""
        found = inspect.signature(cls.__init__).parameters
        return {name: option for name, option in found.items() if name != "self"}

    def recipe(self) -> dict[str, Any]:
        """Return the arguments of :meth:`from_config` that make this module as it is now."""
        return dict(self.config)

    def rule(self) -> str | dict[str, Any]:
        """Return the connectivity as it is now, as JSON."""
        raise NotImplementedError

    def example(self, batch: int = 2) -> Any:
        """Return random inputs of the shape that the module takes."""
        raise NotImplementedError

    def refill_buffers(self) -> None:
        """Make buffers again that no file holds, for a module that has been built without them.

        What is left without numbers is taken from a second module of the same options.
        """


#: Classes by name. Our own are imported when one of them is asked for.
MODELS: Registry[type[Savable]] = Registry(
    "model",
    {
        **{
            name: f"autocompress.models.{name}"
            for name in ("branched", "decoder", "encoder", "mixer", "mlp", "vit")
        },
        "converted": "autocompress.conversion.converted",
    },
)


def build_savable(name: str, /, **arguments: Any) -> Savable:
    """Build the registered class ``name`` with these arguments.

    Raises:
        UnknownNameError: no such class, or an argument that it does not take.
    """
    cls = MODELS[name]
    legal = cls.options()
    for key in arguments:
        if key not in legal:
            raise UnknownNameError(f"option of model {name!r}:", key, legal)
    return cls.from_config(**arguments)
