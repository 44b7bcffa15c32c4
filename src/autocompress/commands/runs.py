"""The options that compress, train and stream have in common."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["RunFolder"]


@dataclass(frozen=True, kw_only=True)
class RunFolder:
    """Options of compress, train and stream beside those of the run.

    Args:
        output: Run folder to make.
        resume: Go on with the run in it.
        print_config: Print the resolved options as YAML and exit.
    """

    output: str
    resume: bool = False
    print_config: bool = False
