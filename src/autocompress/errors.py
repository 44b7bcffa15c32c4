"""The exceptions of autocompress; each message says what was wrong and what would be right.

All of them derive from :class:`AutoCompressError`; those caused by a wrong value are also
``ValueError``, so code that knows nothing about this library still catches them.
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
    """Base class of all errors that autocompress raises on purpose.

    The errors survive pickling, so a worker process can pass them back to its parent.
    """

    def __reduce__(self) -> tuple[Any, ...]:
        return _made_again, (type(self), self.args, self.__dict__)


class ConfigError(AutoCompressError, ValueError):
    """An option, or a combination of options, has an invalid value."""


class UnknownNameError(ConfigError):
    """A name (of a model, connectivity, dataset or key) is not registered."""

    def __init__(self, kind: str, name: object, known: Iterable[str]) -> None:
        self.kind, self.name, self.known = kind, name, sorted(known)
        super().__init__(f"unknown {kind} {name!r}{nearest(str(name), self.known)}")


class ConvertError(ConfigError):
    """A network or a part of it cannot be converted; the message says why."""


class DepthError(ConfigError):
    """A depth, or a layer, is outside the network."""

    def __init__(self, depth: object, deepest: int, what: str = "depth") -> None:
        super().__init__(f"{what} {depth} is out of range: this network has {what}s 0..{deepest}")


class ShapeError(ConfigError):
    """The network cannot take a tensor of this shape."""


class DataError(AutoCompressError, ValueError):
    """A data set is unusable: a missing column, an empty split, labels out of range."""


class CheckpointError(AutoCompressError, ValueError):
    """A saved network or training state is truncated, altered or belongs to another model."""


class OutputError(AutoCompressError, OSError):
    """An output already exists or cannot be written."""


class LockedError(OutputError):
    """Another process is writing to the run folder; the message says which."""


class ExportError(AutoCompressError, RuntimeError):
    """An export failed, or does not compute what the original network does."""


class NotFiniteError(AutoCompressError, ArithmeticError):
    """The weights or activations of a network are not finite."""


class DivergedError(AutoCompressError, ArithmeticError):
    """The training loss is not finite."""


class InterruptedRunError(AutoCompressError):
    """Ctrl-C, SIGTERM or SIGHUP stopped the run; the message says how to resume it."""


class LostProcessError(AutoCompressError, RuntimeError):
    """Another process of the run ended; the message says how to go on without it."""


class ReproductionError(AutoCompressError):
    """A repeated run gives results different from those it is compared with."""


class MissingExtraError(AutoCompressError, ImportError):
    """An optional package is needed but not installed."""

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        super().__init__(
            f"{purpose} needs the package {package!r}, which is not installed: "
            f"pip install 'autocompress[{extra}]'"
        )


def _made_again(
    kind: type[AutoCompressError], args: tuple[Any, ...], attributes: dict[str, Any]
) -> AutoCompressError:
    """Rebuild an unpickled error from its message, without calling its ``__init__``."""
    error = kind.__new__(kind, *args)
    error.args = args
    error.__dict__.update(attributes)
    return error


def nearest(name: str, known: Iterable[str]) -> str:
    r"""Return a clause for an error message: the nearest legal name, and all if they are few.

    >>> nearest("mixr", ["mixer", "vit"])
    "; did you mean 'mixer'? (known: mixer, vit)"
    """
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    listing = f" (known: {', '.join(names)})" if 0 < len(names) <= 30 else ""
    return hint + listing
