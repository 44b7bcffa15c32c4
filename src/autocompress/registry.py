"""One registry class for all named things: connectivities, models, data sets, layers."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Generic, TypeVar

from autocompress.errors import ConfigError, UnknownNameError

__all__ = ["Registry", "registered_in"]

T = TypeVar("T")
U = TypeVar("U")


class Registry(Generic[T]):
    """A mapping from names to entries that is filled by registration.

    Args:
        kind: Word for an entry in error messages, e.g. ``"connectivity"``.
        built_in: The library's own names, and the module that registers each of them. The module
            is imported only when the name is looked up.

    Example:
        >>> shapes: Registry[int] = Registry("shape")
        >>> shapes.add("square", 4)
        >>> shapes["square"], list(shapes)
        (4, ['square'])
        >>> shapes["squar"]
        Traceback (most recent call last):
        autocompress.errors.UnknownNameError: unknown shape 'squar'; did you mean 'square'?...
    """

    def __init__(self, kind: str, built_in: Mapping[str, str] | None = None) -> None:
        self.kind = kind
        self._entries: dict[str, T] = {}
        self._built_in = dict(built_in or {})

    def add(self, name: str, entry: T) -> None:
        """Register ``entry`` under ``name``.

        Raises:
            ConfigError: The name is taken.
        """
        ours = self._built_in.get(name)
        if name in self._entries or (ours and getattr(entry, "__module__", None) != ours):
            raise ConfigError(f"{self.kind} {name!r} is registered already")
        self._entries[name] = entry

    def register(self, name: str) -> Callable[[U], U]:
        """Return a decorator that registers an object under ``name``."""

        def decorate(entry: U) -> U:
            self.add(name, entry)  # type: ignore[arg-type]
            return entry

        return decorate

    def remove(self, name: str) -> T:
        """Remove ``name`` and return its entry, or raise UnknownNameError."""
        entry = self[name]
        del self._entries[name]
        return entry

    def __getitem__(self, name: str) -> T:
        """Return the entry of ``name``, or raise UnknownNameError with the nearest name."""
        if name not in self:
            raise UnknownNameError(self.kind, name, self)
        if name not in self._entries:
            import_module(self._built_in[name])
        return self._entries[name]

    def get(self, name: str) -> T | None:
        """Return the entry of ``name``, or None if there is none."""
        return self[name] if name in self else None  # noqa: SIM401 - this is get

    def entries(self) -> dict[str, T]:
        """Return all entries registered so far, by name, in the order of registration."""
        return dict(self._entries)

    def __contains__(self, name: object) -> bool:
        return name in self._entries or name in self._built_in

    def __iter__(self) -> Iterator[str]:
        """Iterate over all names in alphabetical order."""
        return iter(sorted({*self._entries, *self._built_in}))

    def __len__(self) -> int:
        return len({*self._entries, *self._built_in})


def registered_in(folder: Path, package: str, decorator: str) -> dict[str, str]:
    """Return the names that the modules of a package register, with the module of each.

    The files are read and not imported, so that a new one joins by its decorator alone.

    Args:
        folder: Folder of the package.
        package: Its full name.
        decorator: Name of the decorator, whose only argument is the registered name.
    """
    mark = re.compile(rf"^@{decorator}\(\"([\w-]+)\"\)", re.MULTILINE)
    return {
        name: f"{package}.{path.stem}"
        for path in sorted(folder.glob("[!_]*.py"))
        for name in mark.findall(path.read_text(encoding="utf-8"))
    }
