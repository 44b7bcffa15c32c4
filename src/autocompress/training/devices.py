"""The device and the processes of a training, and the way of the data to the device."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from accelerate import Accelerator, PartialState
from accelerate.state import AcceleratorState, GradientState
from accelerate.utils import is_bf16_available, parse_flag_from_env

from autocompress.errors import ConfigError
from autocompress.training.config import FitConfig
from autocompress.training.launched import launched_processes

__all__ = [
    "autocast",
    "borrowed_accelerator",
    "on_device",
    "process_state",
    "training_device",
]


def on_device(data: Any, device: torch.device) -> Any:
    """Return a source moved to the device; return other data unchanged."""
    return data.to(device) if hasattr(data, "batches") else data


def training_device(config: FitConfig) -> torch.device:
    """Return the device that :func:`autocompress.fit` trains on with this config.

    Nothing is started to find out, and no Accelerator of the caller is touched.

    Raises:
        ConfigError: This device does not support the precision.
    """
    named = os.environ.get("ACCELERATE_TORCH_DEVICE")
    found = None if _on_cpu(config) else torch.accelerator.current_accelerator(check_available=True)
    if named is not None and not _on_cpu(config):
        device = torch.device(named)
    elif found is None:
        device = torch.device("cpu")
    elif launched_processes() > 1:
        device = torch.device(found.type, int(os.environ.get("LOCAL_RANK", 0)))
    else:
        device = torch.device(found.type)
    if config.precision == "fp16" and device.type == "cpu":
        raise ConfigError("precision 'fp16' is not available here: it needs a GPU, not a CPU")
    if (
        config.precision == "bf16"
        and device.type != "cpu"
        and not is_bf16_available(ignore_tpu=True)
    ):
        raise ConfigError("precision 'bf16' is not available here: this GPU is too old for it")
    return device


def process_state(config: FitConfig) -> PartialState:
    """Return the state of this process among those of its run, joining them if necessary.

    Raises:
        ConfigError: The processes were launched together but do not know of each other.
    """
    if not PartialState._shared_state:
        PartialState(cpu=_on_cpu(config) or not torch.accelerator.is_available())
    state = PartialState()
    if state.num_processes != launched_processes():
        raise ConfigError(
            f"{launched_processes()} processes were launched, but this one was set up as one of "
            f"{state.num_processes}: start them with torchrun, and create your own Accelerator or "
            "PartialState for the CPU as Accelerator(cpu=True)"
        )
    if _on_cpu(config) and state.num_processes > 1 and state.device.type != "cpu":
        raise ConfigError(
            f"these processes were already joined on {state.device.type}, so they cannot use "
            "device 'cpu': create your Accelerator with cpu=True"
        )
    return state


@contextmanager
def borrowed_accelerator(config: FitConfig) -> Iterator[Accelerator]:
    """Yield an Accelerator for ``config``, and restore the caller's state afterwards.

    Accelerate shares its process state among all Accelerators. An Accelerator of the caller, with
    another precision or with gradient accumulation, works as before afterwards.

    Raises:
        ConfigError: The precision or the device is not available.
    """
    shared = [AcceleratorState._shared_state, GradientState._shared_state]
    if launched_processes() > 1:
        process_state(config)  # joins the processes, which stay joined
    else:
        shared.append(PartialState._shared_state)
    kept = [dict(state) for state in shared]
    for state in shared:
        state.clear()
    precision = "no" if config.precision == "fp32" else config.precision
    cpu = training_device(config).type == "cpu"
    try:
        try:
            accelerator = Accelerator(mixed_precision=precision, cpu=cpu)
        except ValueError as error:  # bf16 on an old GPU
            raise ConfigError(
                f"precision {config.precision!r} is not available here: {error}"
            ) from error
        yield accelerator
    finally:
        for state, before in zip(shared, kept, strict=True):
            state.clear()
            state.update(before)


def autocast(precision: str, device: torch.device) -> AbstractContextManager[Any]:
    """Return the context of a forward pass in ``precision`` (``fp32``, ``bf16`` or ``fp16``).

    It is torch's own object rather than Accelerate's generator, at which the compiler of torch
    2.11 breaks the graph.
    """
    if precision == "fp32":
        return nullcontext()
    return torch.autocast(device.type, torch.bfloat16 if precision == "bf16" else torch.float16)


def _on_cpu(config: FitConfig) -> bool:
    """Return whether the config, or the launcher, asks for the CPU."""
    return config.device == "cpu" or bool(parse_flag_from_env("ACCELERATE_USE_CPU"))
