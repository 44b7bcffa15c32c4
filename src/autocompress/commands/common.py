"""Parts shared by every verb: common options, the answer, and where it is written."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from autocompress.errors import AutoCompressError

__all__ = ["Answer", "Common", "model", "place", "target"]


@dataclass(frozen=True, kw_only=True)
class Common:
    """Options of every verb.

    Args:
        json: Whether to print the result as JSON; everything else goes to standard error.
        quiet: Whether to print only the result.
    """

    json: bool = False
    quiet: bool = False


@dataclass(frozen=True)
class Answer:
    """The result of a verb: as text, and as a value for ``--json``.

    Args:
        text: Text that is printed without ``--json``.
        value: The answer as data.
        error: Error to raise after the answer is printed, if it says that something cannot be done.
    """

    text: str
    value: Any
    error: AutoCompressError | None = None


def place(words: str, **default: Any) -> Any:
    """Declare an option that is given by position; ``words`` explain it in the help."""
    return field(metadata={"help": words}, **default)


def model() -> Any:
    """Declare the option that names the network."""
    return place("Run folder, or folder of a saved network.")


def target(output: str | None, verb: str, name: str = "") -> Path:
    """Return where a verb writes: ``output``, or the next free ``runs/VERB-N``.

    Args:
        output: Folder or file that the user has named, if any.
        verb: Name of the verb.
        name: Name of the file in that folder, if the verb writes a file.
    """
    if output is not None:
        return Path(output)
    from autocompress.pipeline.numbered import next_free

    return next_free(verb) / name
