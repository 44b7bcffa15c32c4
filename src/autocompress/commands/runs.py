"""The options shared by compress, train and stream."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["RunFolder"]


@dataclass(frozen=True, kw_only=True)
class RunFolder:
    """Options of compress, train and stream besides those of the run.

    Args:
        output: Run folder to create.
        resume: Whether to continue the run in it.
        print_config: Whether to print the resolved options as YAML and exit.
    """

    output: str
    resume: bool = False
    print_config: bool = False
