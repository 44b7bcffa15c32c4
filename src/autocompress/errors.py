"""What autocompress raises. Every error says what was wrong and what would have been right.

All of them derive from :class:`AutoCompressError`; those that answer a wrong value are also
``ValueError``, so code that knows nothing of this library still catches them.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any

__all__ = [
    "AutoCompressError",
    "CheckpointError",
    "ConfigError",
    "ConvertError",
    "DataError",
    "DepthError",
    "DivergedError",
    "ExportError",
    "InterruptedRunError",
    "LockedError",
    "LostProcessError",
    "MissingExtraError",
    "NotFiniteError",
    "OutputError",
    "ReproductionError",
    "ShapeError",
    "UnknownNameError",
    "nearest",
]


class AutoCompressError(Exception):
    """Base of all errors that autocompress raises on purpose.

    They survive pickling, so that they come home from a process that ran a part of the work.
    """

    def __reduce__(self) -> tuple[Any, ...]:
        return _made_again, (type(self), self.args, self.__dict__)


class ConfigError(AutoCompressError, ValueError):
    """An option has a value, or a combination of values, that is not legal."""


class UnknownNameError(ConfigError):
    """A name (model, connectivity, dataset, key) that nothing is registered under."""

    def __init__(self, kind: str, name: object, known: Iterable[str]) -> None:
        self.kind, self.name, self.known = kind, name, sorted(known)
        super().__init__(f"unknown {kind} {name!r}{nearest(str(name), self.known)}")


class ConvertError(ConfigError):
    """A network, or a part of it, that cannot be converted; the message says why."""


class DepthError(ConfigError):
    """A depth outside the network."""

    def __init__(self, depth: object, deepest: int) -> None:
        super().__init__(f"depth {depth} is out of range: this network has depths 0..{deepest}")


class ShapeError(ConfigError):
    """A tensor of a shape that the network cannot take."""


class DataError(AutoCompressError, ValueError):
    """A data set that cannot be used: missing column, empty split, labels out of range."""


class CheckpointError(AutoCompressError, ValueError):
    """A saved network or training state that is truncated, altered or of another model."""


class OutputError(AutoCompressError, OSError):
    """An output that exists already or cannot be written."""


class LockedError(OutputError):
    """A run folder that another process writes to; the message says which."""


class ExportError(AutoCompressError, RuntimeError):
    """An exported network that could not be made, or does not compute what the original does."""


class NotFiniteError(AutoCompressError, ArithmeticError):
    """A network whose weights, or what they compute, are not finite numbers."""


class DivergedError(AutoCompressError, ArithmeticError):
    """Training met a loss that is not a finite number."""


class InterruptedRunError(AutoCompressError):
    """A signal stopped a run (Ctrl-C, SIGTERM, SIGHUP); the message says how to go on with it."""


class LostProcessError(AutoCompressError, RuntimeError):
    """Another process of the same run ended; the message says how to go on without it."""


class ReproductionError(AutoCompressError):
    """A run that was repeated gives other results than those it was compared with."""


class MissingExtraError(AutoCompressError, ImportError):
    """An optional package is needed and is not installed."""

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        super().__init__(
            f"{purpose} needs the package {package!r}, which is not installed: "
            f"pip install 'autocompress[{extra}]'"
        )


def _made_again(
    kind: type[AutoCompressError], args: tuple[Any, ...], attributes: dict[str, Any]
) -> AutoCompressError:
    """An error from its message; its constructor may want more than that."""
    error = kind.__new__(kind, *args)
    error.args = args
    error.__dict__.update(attributes)
    return error


def nearest(name: str, known: Iterable[str]) -> str:
    r"""A clause for an error message: the nearest legal name, and all of them when they are few.

    >>> nearest("mixr", ["mixer", "vit"])
    "; did you mean 'mixer'? (known: mixer, vit)"
    """
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    listing = f" (known: {', '.join(names)})" if 0 < len(names) <= 30 else ""
    return hint + listing
