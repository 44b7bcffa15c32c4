"""Number the folders that verbs write, where the user names none."""

from __future__ import annotations

from itertools import count
from pathlib import Path

__all__ = ["next_free"]


def next_free(named: str | Path) -> Path:
    """Return the first of runs/NAME-1, runs/NAME-2, ... that does not exist.

    Args:
        named: Verb, data set or recipe after which the folder is named: its name without the suffix
            is NAME, with a dash for each space.
    """
    name = "-".join(Path(named).stem.split()) or "run"
    return next(p for n in count(1) if not (p := Path("runs") / f"{name}-{n}").exists())
