"""Where training runs, and how data get there."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState

from autocompress.errors import ConfigError
from autocompress.training.config import FitConfig

__all__ = ["autocast", "make_accelerator", "on_device", "training_device"]


def on_device(data: Any, device: torch.device) -> Any:
    """A source moved to the device; other data as they are."""
    return data.to(device) if hasattr(data, "batches") else data


def training_device(config: FitConfig) -> torch.device:
    """Where :func:`fit` trains with this config."""
    return torch.device(make_accelerator(config).device)


def make_accelerator(config: FitConfig) -> Accelerator:
    """An Accelerator as ``config`` asks for, also where this process had another one before."""
    precision = "no" if config.precision == "fp32" else config.precision
    shared = AcceleratorState._shared_state
    if shared and shared.get("distributed_type") == "NO":  # one process: nothing to keep
        AcceleratorState._reset_state(reset_partial_state=True)
    try:
        return Accelerator(mixed_precision=precision, cpu=config.device == "cpu")
    except ValueError as error:  # fp16 on a CPU, bf16 on an old GPU
        raise ConfigError(
            f"precision {config.precision!r} is not to be had here: {error}"
        ) from error


def autocast(precision: str, device: torch.device) -> AbstractContextManager[Any]:
    """Return the context of a pass in ``precision`` (``fp32``, ``bf16`` or ``fp16``).

    It is torch's own object and not Accelerate's generator around it, at which the compiler of
    torch 2.11 breaks the graph in two.
    """
    if precision == "fp32":
        return nullcontext()
    return torch.autocast(device.type, torch.bfloat16 if precision == "bf16" else torch.float16)
