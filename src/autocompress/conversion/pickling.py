"""Pickle objects whose classes are created at run time.

A converted host and its layers are objects of subclasses that no module defines. They are reduced
to the importable class from which theirs was created and the function that recreates the subclass,
so pickle, ``torch.save``, joblib and new processes work as they do for the host.
"""

from __future__ import annotations

import copyreg
import importlib
from collections.abc import Callable
from operator import attrgetter
from typing import Any

#: Function that ordinary objects are reduced to.
_NEW_OBJECT: Any = vars(copyreg)["__newobj__"]

__all__ = ["find_class", "importable_name", "layer_name", "reduction"]

#: Prefix of the names under which the subclasses can be imported.
PREFIX = "Acn"


def layer_name(cls: type) -> str:
    """Return ``"package.module:Class"``."""
    return f"{cls.__module__}:{cls.__qualname__}"


def reduction(
    obj: Any, inherited: Any, make: Callable[..., type[Any]], *source: Any
) -> tuple[Any, ...]:
    """Return the reduction of ``obj`` to an object of the class ``make(*source)``.

    Args:
        obj: The object to pickle.
        inherited: Result of the ``__reduce_ex__`` of its host's class.
        make: Function of a module that creates the class.
        source: Picklable arguments of ``make``.
    """
    function, arguments, *rest = inherited
    if function is not _NEW_OBJECT or type(obj) is not make(*source):
        # the host's own reduction, which names none of our classes, or a user's named subclass
        return (function, arguments, *rest)
    return (_new, (make, source, arguments[1:]), *rest)


def _new(make: Callable[..., type[Any]], source: tuple[Any, ...], arguments: Any) -> Any:
    cls = make(*source)
    return cls.__new__(cls, *arguments)


def importable_name(cls: type[Any], library: str) -> str:
    """Return the name by which :func:`find_class` finds the subclass of ``cls``.

    Args:
        cls: A class of a host's library, or a user's subclass of one.
        library: Module that exports most of these classes; their names have a short form.
    """
    name: str = cls.__name__
    if getattr(importlib.import_module(library), name, None) is cls:
        return PREFIX + name
    module, _, name = layer_name(cls).partition(":")
    return f"{PREFIX}{name}@{module}".replace(".", "/")  # pickle would split the name at dots


def find_class(name: str, library: str) -> type[Any] | None:
    """Return the class with a name from :func:`importable_name`, or None."""
    if not name.startswith(PREFIX):
        return None
    path, _, module = name.removeprefix(PREFIX).replace("/", ".").partition("@")
    try:
        found = attrgetter(path)(importlib.import_module(module or library))
    except (ImportError, AttributeError):
        return None
    return found if isinstance(found, type) else None
