"""One registry for everything that is known by name: connectivities, models, data sets, layers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from typing import Generic, TypeVar

from autocompress.errors import ConfigError, UnknownNameError

__all__ = ["Registry"]

T = TypeVar("T")
U = TypeVar("U")


class Registry(Generic[T]):
    """Names and what is known under them.

    Args:
        kind: What an entry is, in the words of an error message, e.g. ``"connectivity"``.
        built_in: Names that the library brings, and the module that registers each of them. That
            module is imported when the name is looked up, so that nothing is loaded for a name.

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
        """Make ``entry`` known under ``name``.

        Raises:
            ConfigError: The name is taken.
        """
        ours = self._built_in.get(name)
        if name in self._entries or (ours and getattr(entry, "__module__", None) != ours):
            raise ConfigError(f"{self.kind} {name!r} is registered already")
        self._entries[name] = entry

    def register(self, name: str) -> Callable[[U], U]:
        """Return a decorator that makes what it decorates known under ``name``."""

        def decorate(entry: U) -> U:
            self.add(name, entry)  # type: ignore[arg-type]
            return entry

        return decorate

    def remove(self, name: str) -> T:
        """Forget ``name`` and return its entry. Raises UnknownNameError."""
        entry = self[name]
        del self._entries[name]
        return entry

    def __getitem__(self, name: str) -> T:
        """Return the entry of ``name``. Raises UnknownNameError, which names the nearest."""
        if name not in self:
            raise UnknownNameError(self.kind, name, self)
        if name not in self._entries:
            import_module(self._built_in[name])
        return self._entries[name]

    def get(self, name: str) -> T | None:
        """Return the entry of ``name``, None where there is none."""
        return self[name] if name in self else None  # noqa: SIM401 - this is get

    def entries(self) -> dict[str, T]:
        """Return all that has been registered so far, by name, in the order of registration."""
        return dict(self._entries)

    def __contains__(self, name: object) -> bool:
        return name in self._entries or name in self._built_in

    def __iter__(self) -> Iterator[str]:
        """Iterate over all names in alphabetical order."""
        return iter(sorted({*self._entries, *self._built_in}))

    def __len__(self) -> int:
        return len({*self._entries, *self._built_in})
