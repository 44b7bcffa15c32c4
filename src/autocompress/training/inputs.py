"""Turn any supported form of data into batches that a network takes, on its device."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

import torch
from accelerate.utils import send_to_device
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from autocompress.checks import as_floats_of
from autocompress.data import Examples, ImageInput, Source, preprocess_of
from autocompress.data.meaning import Meaning
from autocompress.errors import DataError
from autocompress.measurement.modes import device_of
from autocompress.network import Network
from autocompress.training.forms import check_form, collate, has_length, is_stream
from autocompress.training.intake import Intake

__all__ = [
    "Arrays",
    "Data",
    "Normalise",
    "adopt_preprocess",
    "batches",
    "check_data",
    "drawn",
    "network_batches",
    "steps_per_epoch",
    "to_unit",
]

#: What ``fit`` and ``probe`` read: one of our sources (uint8 images, or tokens), or a torch
#: Dataset or DataLoader that yields (inputs, integer labels). Inputs are floats, token ids, or a
#: mapping of a transformers model's arguments.
Data = Examples | Dataset[Any] | DataLoader[Any]


#: Arrays of all examples: (inputs, labels), or a mapping with ``labels``.
Arrays = tuple[Any, Any] | Mapping[str, Any]


def check_data(data: Data, classes: int | None, what: str) -> None:
    """Raise DataError if ``data`` is not a data set, is empty, or has labels that the head lacks.

    Args:
        data: The data; see :data:`Data`.
        classes: Number of outputs of the head.
        what: Use of the data, named in the message.
    """
    check_form(data, what)
    labels = getattr(data, "labels", None)
    if isinstance(labels, Tensor) and isinstance(data, Examples) and classes not in (None, 1):
        low, high = int(labels.min()), int(labels.max())
        if low < 0 or high >= classes:
            raise DataError(
                f"{what} labels run from {low} to {high}; a network of {classes} classes takes "
                f"0..{classes - 1}"
            )


def adopt_preprocess(net: Network, data: Data) -> None:
    """Give a network without a ``preprocess`` of its own the pixel scaling of ``data``.

    The network also records what the examples mean, if the data say so.
    """
    if net.preprocess is None and isinstance(data, Source):
        net.preprocess = preprocess_of(data)
    meaning = getattr(data, "meaning", None)
    if isinstance(meaning, Meaning):
        meaning.tell(net)


def steps_per_epoch(
    data: Data, batch_size: int, wanted: int | None = None, accumulate: int = 1
) -> int:
    """Return the number of optimizer steps in an epoch: whole batches only, but at least one.

    Args:
        data: See :data:`Data`.
        batch_size: Examples per batch.
        wanted: Number of steps that the user requested; None is all that the data hold.
        accumulate: Number of batches per step.

    Raises:
        DataError: The data do not say how many examples they hold and no number was requested, or
            they hold fewer batches than were requested.
    """
    if not has_length(data):
        if wanted is not None:
            return wanted
        raise DataError(
            "the training data have no length, so the end of an epoch is unknown: give "
            "FitConfig(steps_per_epoch=N), or give the set a __len__ (of a DataLoader: the set it "
            "reads)"
        )
    size = len(data)  # type: ignore[arg-type]
    batches_held = size if isinstance(data, DataLoader) else size // batch_size
    held = max(1, batches_held // accumulate)
    if wanted is not None and wanted > held:
        one, more = ("batch", "batches") if accumulate == 1 else ("step", "steps")
        raise DataError(
            f"steps_per_epoch {wanted} is more than the {held} {one if held == 1 else more} that "
            "the training data hold"
        )
    return held if wanted is None else wanted


def batches(
    data: Data,
    batch_size: int,
    device: torch.device,
    order: Tensor | None = None,
    intake: Intake | None = None,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield (inputs, labels) on ``device``.

    Args:
        data: The data; see :data:`Data`.
        batch_size: Examples per batch (a DataLoader keeps its own batch size).
        device: Device of the batches.
        order: Indices (n,) of the examples, for a source or a dataset; None is the natural order.
            DataLoaders and streams have their own order.
        intake: Callable that brings a user's batch into the form (inputs, labels) and checks it.
    """
    found: Iterator[Any]
    if intake is not None:
        intake.follow(order, None if isinstance(data, DataLoader) else batch_size)
    if isinstance(data, DataLoader):
        found = iter(data)
    elif isinstance(data, Examples):
        found = data.batches(batch_size, order)
    else:
        collated = collate("" if intake is None else intake.what)
        indices = None if order is None else order.tolist()
        if is_stream(data):
            found = (collated(some) for some in _in_batches(data, batch_size))
        else:
            found = iter(DataLoader(data, batch_size, sampler=indices, collate_fn=collated))
    for index, batch in enumerate(found):
        inputs, labels = batch if intake is None else intake(batch, index)
        yield send_to_device((inputs, labels), device, non_blocking=True)


def drawn(data: Data, count: int, seed: int) -> Tensor | None:
    """Return indices of ``count`` examples drawn at random; None for data of their own order."""
    if isinstance(data, DataLoader) or not has_length(data):
        return None
    generator = torch.Generator().manual_seed(seed)
    return torch.randperm(len(data), generator=generator)[:count]  # type: ignore[arg-type]


def _in_batches(stream: Any, size: int) -> Iterator[list[Any]]:
    examples = iter(stream)
    while some := list(islice(examples, size)):
        yield some


def to_unit(images: Tensor) -> Tensor:
    """Return bytes 0..255 as floats 0..1, and floats unchanged."""
    return images.float() / 255 if images.dtype == torch.uint8 else images


def is_bytes(inputs: Any) -> bool:
    """Return whether the inputs are images as a source yields them."""
    return isinstance(inputs, Tensor) and inputs.dtype == torch.uint8


class Normalise:
    """The mapping from raw pixels to a network's input, given by its ``preprocess``.

    Args:
        preprocess: The network's own attribute (see :class:`autocompress.data.ImageInput`); None
            leaves values in 0..1.
        device: Device of the images.
    """

    def __init__(self, preprocess: Mapping[str, Any] | None, device: torch.device) -> None:
        self.input = ImageInput.of(preprocess)
        self.columns = self.input.columns(device)

    def __call__(self, unit: Tensor) -> Tensor:
        """Return images (B, C, H, W) in 0..1 as the network takes them."""
        return self.input.from_unit(unit, self.columns)

    def bytes(self, images: Tensor) -> Tensor:
        """Return a source's images ready for the network; other inputs are left unchanged."""
        return self(to_unit(images)) if is_bytes(images) else images


def network_batches(
    net: Network,
    data: Data,
    batch_size: int,
    what: str = "",
    preprocess: Mapping[str, Any] | None = None,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield (inputs, labels) for ``net``, on its device, in the natural order.

    Args:
        net: The network.
        data: The data; see :data:`Data`.
        batch_size: Examples per batch.
        what: Use of the data, named in error messages.
        preprocess: Preparation of pixels; None is that which the network records.
    """
    device = device_of(net)
    normalise = Normalise(net.preprocess if preprocess is None else preprocess, device)
    for images, labels in batches(data, batch_size, device, intake=Intake(net, what)):
        yield as_floats_of(net, normalise.bytes(images)), labels
