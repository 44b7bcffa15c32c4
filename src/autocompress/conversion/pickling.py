"""Pickling of objects whose classes are made at run time.

A converted host and its layers are objects of subclasses that no module defines. They are reduced
to the class that they were made from, which can be imported, and the function that makes the
subclass again; so pickle, ``torch.save``, joblib and new processes work as they do on the host.
"""

from __future__ import annotations

import copyreg
import importlib
from collections.abc import Callable
from operator import attrgetter
from typing import Any

#: What objects that have no way of their own are reduced to.
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
    """Return how ``obj`` is pickled: as an object of the class ``make(*source)``.

    Args:
        obj: The object.
        inherited: What the ``__reduce_ex__`` of its host's class returns.
        make: The function that makes the class, of a module.
        source: The arguments of ``make``, which can be pickled.
    """
    function, arguments, *rest = inherited
    if function is not _NEW_OBJECT or type(obj) is not make(*source):
        # the host's own way, which names no class of ours, or a user's subclass, which has a name
        return (function, arguments, *rest)
    return (_new, (make, source, arguments[1:]), *rest)


def _new(make: Callable[..., type[Any]], source: tuple[Any, ...], arguments: Any) -> Any:
    cls = make(*source)
    return cls.__new__(cls, *arguments)


def importable_name(cls: type[Any], library: str) -> str:
    """Return the name of the subclass of ``cls`` that :func:`find_class` finds it by.

    Args:
        cls: A class of a host's library, or a user's subclass of one.
        library: The module that exports most of them; theirs is the short form.
    """
    name: str = cls.__name__
    if getattr(importlib.import_module(library), name, None) is cls:
        return PREFIX + name
    module, _, name = layer_name(cls).partition(":")
    return f"{PREFIX}{name}@{module}".replace(".", "/")  # pickle looks up what dots separate


def find_class(name: str, library: str) -> type[Any] | None:
    """Return the class that :func:`importable_name` has named, or None."""
    if not name.startswith(PREFIX):
        return None
    path, _, module = name.removeprefix(PREFIX).replace("/", ".").partition("@")
    try:
        found = attrgetter(path)(importlib.import_module(module or library))
    except (ImportError, AttributeError):
        return None
    return found if isinstance(found, type) else None
