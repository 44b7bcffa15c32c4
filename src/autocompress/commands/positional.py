"""Options of a verb that are given by position."""

from __future__ import annotations

from dataclasses import field
from typing import Any

__all__ = ["model", "place"]


def place(words: str, **default: Any) -> Any:
    """Declare an option that is given by position; ``words`` explain it in the help."""
    return field(metadata={"help": words}, **default)


def model() -> Any:
    """Declare the option that names the network."""
    return place("Run folder, or folder of a saved network.")
