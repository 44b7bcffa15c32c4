"""Define the exceptions autocompress raises; each message says what was wrong and what is right.

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
    """Serve as the base of all errors that autocompress raises on purpose.

    They survive pickling, so a worker process can pass them back to its parent.
    """

    def __reduce__(self) -> tuple[Any, ...]:
        return _made_again, (type(self), self.args, self.__dict__)


class ConfigError(AutoCompressError, ValueError):
    """Signal an option, or a combination of options, with an invalid value."""


class UnknownNameError(ConfigError):
    """Signal an unregistered name (of a model, connectivity, dataset or key)."""

    def __init__(self, kind: str, name: object, known: Iterable[str]) -> None:
        self.kind, self.name, self.known = kind, name, sorted(known)
        super().__init__(f"unknown {kind} {name!r}{nearest(str(name), self.known)}")


class ConvertError(ConfigError):
    """Signal that a network or a part of it cannot be converted; the message says why."""


class DepthError(ConfigError):
    """Signal a depth outside the network."""

    def __init__(self, depth: object, deepest: int) -> None:
        super().__init__(f"depth {depth} is out of range: this network has depths 0..{deepest}")


class ShapeError(ConfigError):
    """Signal a tensor whose shape the network cannot take."""


class DataError(AutoCompressError, ValueError):
    """Signal an unusable data set: a missing column, an empty split, labels out of range."""


class CheckpointError(AutoCompressError, ValueError):
    """Signal a saved network or training state that is truncated, altered or of another model."""


class OutputError(AutoCompressError, OSError):
    """Signal an output that already exists or cannot be written."""


class LockedError(OutputError):
    """Signal a run folder that another process is writing to; the message says which."""


class ExportError(AutoCompressError, RuntimeError):
    """Signal an export that failed, or that does not compute what the original network does."""


class NotFiniteError(AutoCompressError, ArithmeticError):
    """Signal a network whose weights or activations are not finite."""


class DivergedError(AutoCompressError, ArithmeticError):
    """Signal a training loss that is not finite."""


class InterruptedRunError(AutoCompressError):
    """Report a run stopped by Ctrl-C, SIGTERM or SIGHUP; the message says how to resume it."""


class LostProcessError(AutoCompressError, RuntimeError):
    """Signal that another process of the run ended; the message says how to go on without it."""


class ReproductionError(AutoCompressError):
    """Signal that a repeated run gives results different from those it is compared with."""


class MissingExtraError(AutoCompressError, ImportError):
    """Signal that an optional package is needed but not installed."""

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
