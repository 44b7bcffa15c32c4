"""Stop a process of a run when another one has ended."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch.distributed as dist

from autocompress.errors import AutoCompressError, LostProcessError

__all__ = ["telling_of_lost"]

#: Patterns in the errors of gloo and NCCL when a process does not answer.
_SIGNS = re.compile(r"gloo|nccl|connection (closed|reset)|process group", re.IGNORECASE)


@contextmanager
def telling_of_lost(how_to_resume: Callable[[], str]) -> Iterator[None]:
    """Raise LostProcessError if another process of this run is found to have ended.

    Args:
        how_to_resume: Function that returns the hint for the message.
    """
    try:
        yield
    except RuntimeError as error:
        ours = isinstance(error, AutoCompressError) or not dist.is_initialized()
        told = isinstance(error, dist.DistError) or _SIGNS.search(str(error)) is not None
        if ours or not told:
            raise
        said = f"another process of this run has ended; {how_to_resume()}"
        raise LostProcessError(said) from error
