"""Determine how many processes a launcher has started together."""

from __future__ import annotations

import os
import sys

from autocompress.errors import ConfigError

__all__ = ["launched_processes", "one_process"]

#: Environment variables in which MPI gives the number of processes.
_MPI_SIZES = ["PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE"]


def launched_processes() -> int:
    """Return the number of processes that run this program together, on any kind of device.

    The answer comes from the process group if there is one, otherwise from the environment that a
    launcher has set. Nothing is started or changed.
    """
    distributed = getattr(sys.modules.get("torch"), "distributed", None)  # no group without torch
    if distributed is not None and distributed.is_available() and distributed.is_initialized():
        return int(distributed.get_world_size())
    numbered = "RANK" in os.environ or "LOCAL_RANK" in os.environ  # set by torchrun or accelerate
    sizes = ["WORLD_SIZE"] if numbered else _MPI_SIZES
    counts = (int(os.environ.get(size, -1)) for size in sizes)
    return next((count for count in counts if count >= 0), 1)


def one_process(what: str) -> None:
    """Raise ConfigError if ``what`` is being done by several processes together."""
    count = launched_processes()
    if count > 1:
        raise ConfigError(
            f"{what} runs in one process, and {count} were launched; train with several by "
            "`torchrun --nproc_per_node N -m autocompress.cli train ...`, then probe, cut and "
            "export in one"
        )
