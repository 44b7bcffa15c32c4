"""Estimate the time and the memory of a training from a few steps, before it begins."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import torch
from torch import Tensor

from autocompress.data import Augment, AugmentConfig
from autocompress.measurement.modes import device_of
from autocompress.network import Network
from autocompress.training.config import FitConfig
from autocompress.training.forms import has_length, peek
from autocompress.training.hooks import Moment
from autocompress.training.inputs import Data, Normalise, batches, steps_per_epoch
from autocompress.training.intake import Intake
from autocompress.training.step import StepLoss

__all__ = ["TrainingEstimate", "estimate"]

#: Copies of the weights that an optimizer keeps beside them and their gradients.
_STATES = {"adamw": 2, "sgd": 1, "lion": 1, "muon": 2}

#: Time of a first step in seconds from which no second one is timed.
_SLOW = 2.0

#: Steps that are timed after the first.
_TIMED = 4


@dataclass(frozen=True)
class TrainingEstimate:
    """An estimate for one training.

    Attributes:
        steps: Optimizer steps of the whole training.
        step: Seconds of a step.
        seconds: Seconds of the training with its evaluations.
        bytes: Bytes for weights, gradients, the optimizer's state, and what one batch keeps for
            the backward pass.
    """

    steps: int
    step: float
    seconds: float
    bytes: int


def estimate(
    net: Network,
    train: Data,
    validation: Data | None,
    config: FitConfig,
    augment: AugmentConfig | None = None,
) -> TrainingEstimate:
    """Return what training ``net`` will take, from up to five steps that change no weight.

    All layers run and all losses count in these steps, so a training that begins with few layers,
    or drops some, takes less. Neither the network nor torch's random state is changed; a DataLoader
    with a generator of its own draws from it.

    Args:
        net: The network, on the device of the training.
        train: Training data.
        validation: Validation data, whose scoring takes time as well; None scores nothing.
        config: Settings of the training.
        augment: Augmentation of image sources.

    Raises:
        AutoCompressError: The data do not fit the network.
        RuntimeError: A step cannot be made, e.g. for lack of memory.

    Example:
        >>> import torch, autocompress as ac
        >>> data = torch.utils.data.TensorDataset(torch.randn(64, 1, 2, 2), torch.arange(64) % 3)
        >>> net = ac.models.MLP(depth=2, width=8, classes=3, image_size=2, channels=1)
        >>> found = estimate(net, data, None, FitConfig(epochs=5, batch_size=16))
        >>> found.steps, found.step > 0, found.bytes > 0
        (20, True, True)
    """
    device = device_of(net)
    steps = steps_per_epoch(train, config.batch_size, config.steps_per_epoch, config.accumulate)
    normalise = Normalise(net.preprocess, device)
    with _unchanged(net, device):
        intake = Intake(net, "training")
        intake.learn(peek(train, "training"), normalise.bytes)
        mixing = None if augment is None else Augment(augment, int(net.classes or 0))
        plain = replace(config, compile="off")
        loss = StepLoss(net, plain, intake.objective, normalise, mixing, device)
        found = batches(train, config.batch_size, device, _order(train), intake)
        kept: dict[int, int] = {}
        end, timed = Moment(config.epochs * steps, config.epochs * steps), []
        for number, given in enumerate(islice(found, _TIMED + 1)):
            begin = time.perf_counter()
            with _counting(net, kept) if number == 0 else torch.enable_grad():
                inputs, targets = loss.prepare(*given)
                of_batch = loss(inputs, targets, net.depth, end, ())
                torch.autograd.backward(of_batch)
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            timed.append(time.perf_counter() - begin)
            net.zero_grad(set_to_none=True)
            if number == 0 and timed[0] > _SLOW:
                break
    batch = min(timed[1:], default=timed[0])
    step = config.accumulate * batch
    examined = len(validation) if validation is not None and has_length(validation) else 0  # type: ignore[arg-type]
    times = sum(config.evaluates_after(epoch) for epoch in range(1, config.epochs + 1))
    # a forward pass is about a third of forward and backward
    scoring = times * examined / config.batch_size * batch / 3
    weights = sum(p.nbytes for p in net.parameters())
    learned = sum(p.nbytes for p in net.parameters() if p.requires_grad)
    copies = 1 + _STATES[config.optimizer] + (config.ema is not None)
    return TrainingEstimate(
        steps=config.epochs * steps,
        step=step,
        seconds=config.epochs * steps * step + scoring,
        bytes=weights + copies * learned + sum(kept.values()),
    )


def _order(data: Data) -> Tensor | None:
    """Return the order of a few examples: those at the beginning, whatever the data hold."""
    return None if not has_length(data) else torch.arange(len(data))  # type: ignore[arg-type]


@contextmanager
def _unchanged(net: Network, device: torch.device) -> Iterator[None]:
    """Train inside the context without a trace in modes, buffers, gradients and random state."""
    modes = [(module, module.training) for module in net.modules()]
    buffers = [(buffer, buffer.clone()) for buffer in net.buffers()]
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        net.train()
        try:
            yield
        finally:
            net.zero_grad(set_to_none=True)
            for module, training in modes:
                module.training = training
            with torch.no_grad():
                for buffer, before in buffers:
                    buffer.copy_(before)


@contextmanager
def _counting(net: Network, kept: dict[int, int]) -> Iterator[None]:
    """Record the bytes that the graph keeps for the backward pass, by their address."""
    own = {p.untyped_storage().data_ptr() for p in net.parameters()}
    alive: list[Any] = []  # an address is used again once its tensor is gone

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own and storage.data_ptr() not in kept:
            kept[storage.data_ptr()] = storage.nbytes()
            alive.append(storage)
        return tensor

    with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
        yield
