"""The forms in which data sets yield examples, all converted to (inputs, labels).

Pairs are supported, and mappings with the labels among the inputs, as ``datasets`` and
transformers' collators yield them. Values may be tensors, numpy arrays or lists.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    IterableDataset,
    TensorDataset,
    default_collate,
)

from autocompress.data import Examples
from autocompress.errors import DataError
from autocompress.network import ANY, Network
from autocompress.training.objective import IGNORED

__all__ = ["as_set", "check_form", "collate", "has_length", "is_stream", "peek", "split"]

#: Names of the labels in a mapping; the first one that is present counts.
LABELS = ("labels", "label", "label_ids")

_WANTED = "expected (inputs, labels), or a mapping of inputs with 'labels' among them"


def as_set(data: Any, what: str) -> Any:
    """Return arrays ``(inputs, labels)``, or a mapping of them, as a Dataset; other data unchanged.

    Args:
        data: An object that a user passes as data.
        what: Use of the data, named in the message.

    Raises:
        DataError: The arrays have different lengths, or labels are not numbers.

    Example:
        >>> import numpy as np
        >>> inputs, label = as_set((np.zeros((4, 1, 2, 2)), np.arange(4)), "training")[3]
        >>> inputs.shape, int(label)
        (torch.Size([1, 2, 2]), 3)
    """
    if isinstance(data, Mapping) and any(name in data for name in LABELS):
        names, parts = list(data), list(data.values())
    elif isinstance(data, tuple) and len(data) == 2 and _are_arrays(*data):
        names, parts = [], list(data)
    else:
        return data
    try:
        tables = [part.to_numpy() if hasattr(part, "to_numpy") else part for part in parts]
        arrays = [torch.as_tensor(part) for part in tables]
    except (TypeError, ValueError, RuntimeError) as error:
        raise DataError(
            f"the {what} data hold arrays that are not numbers ({error}): class numbers of words "
            "are numpy.unique(labels, return_inverse=True)[1]"
        ) from error
    sizes = [len(array) if array.dim() else 0 for array in arrays]
    if len(set(sizes)) > 1:
        raise DataError(
            f"the {what} data are arrays of {' and '.join(map(str, sizes))} rows; expected as many "
            "labels as inputs"
        )
    return _Rows(names, arrays) if names else TensorDataset(*arrays)


def _are_arrays(inputs: Any, labels: Any) -> bool:
    """Return whether a pair is arrays or lists of inputs and labels, and not two examples."""
    if hasattr(inputs, "shape"):
        return True
    plain = isinstance(labels, list) and all(isinstance(x, (int, float, str)) for x in labels)
    return isinstance(inputs, list) and (hasattr(labels, "shape") or (plain and bool(labels)))


class _Rows(Dataset[dict[str, Tensor]]):
    """A mapping of arrays, by rows."""

    def __init__(self, names: Sequence[str], arrays: Sequence[Tensor]) -> None:
        self.names, self.arrays = names, arrays

    def __len__(self) -> int:
        return len(self.arrays[0])

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {name: array[index] for name, array in zip(self.names, self.arrays, strict=True)}


def check_form(data: Any, what: str) -> None:
    """Raise DataError if ``data`` is not a data set at all or has no examples.

    Args:
        data: An object that a user passes as data.
        what: Use of the data, named in the message.

    Example:
        >>> check_form("images/", "training")
        Traceback (most recent call last):
        autocompress.errors.DataError: the training data are of type str: give a split of \
load_data, arrays (inputs, labels), a torch Dataset or a DataLoader of (inputs, labels)
    """
    if isinstance(data, tuple) and data and all(hasattr(part, "shape") for part in data):
        raise DataError(
            f"the {what} data are a tuple of arrays: torch.utils.data.TensorDataset(inputs, "
            "labels) makes a data set of them"
        )
    if not _is_set(data):
        raise DataError(
            f"the {what} data are of type {type(data).__name__}: give a split of load_data, "
            "arrays (inputs, labels), a torch Dataset or a DataLoader of (inputs, labels)"
        )
    if has_length(data) and len(data) == 0:
        raise DataError(f"the {what} data are empty; at least one example is needed")


def _is_set(data: Any) -> bool:
    if isinstance(data, (DataLoader, IterableDataset, Examples)):
        return True
    if isinstance(data, (str, bytes, Mapping, set)) or hasattr(data, "dtype"):  # e.g. one array
        return False
    return hasattr(data, "__getitem__") or hasattr(data, "__iter__")


def has_length(data: Any) -> bool:
    """Return whether the number of examples is known in advance."""
    try:
        len(data)
    except TypeError:
        return False
    return True


def is_stream(data: Any) -> bool:
    """Return whether the examples come in sequence and cannot be indexed."""
    return isinstance(data, IterableDataset) or not hasattr(data, "__getitem__")


def split(batch: Any, net: Network, what: str = "") -> tuple[Any, Any]:
    """Return (inputs, labels) of a batch, with the inputs as ``net`` is called with them.

    The labels are removed from a mapping, and so are entries for which the network has no
    argument, as in transformers' Trainer. For a network that predicts the next token, labels in
    the mapping are the inputs themselves, by transformers' convention: they are shifted by one.

    Args:
        batch: A pair or a mapping.
        net: The network, whose arguments matter.
        what: Use of the data, named in the message.

    Raises:
        DataError: The batch has another form.
    """
    if isinstance(batch, Mapping):
        return _from_mapping(batch, net, what)
    if not isinstance(batch, (tuple, list)):
        raise DataError(f"the {what} data give {type(batch).__name__}; {_WANTED}")
    if len(batch) != 2:
        raise DataError(f"the {what} data give {len(batch)} parts for each example; {_WANTED}")
    inputs, labels = batch
    if isinstance(inputs, Mapping) and net.arguments is None:
        return _inputs(inputs, net, what), labels
    return inputs, labels


def _from_mapping(batch: Mapping[str, Any], net: Network, what: str) -> tuple[Any, Any]:
    name = next((name for name in LABELS if name in batch), None)
    if name is None:
        raise DataError(
            f"the {what} data have {', '.join(map(repr, batch))} and none of "
            f"{', '.join(map(repr, LABELS))}; {_WANTED}"
        )
    labels = batch[name]
    rest = {key: value for key, value in batch.items() if key not in LABELS}
    if net.objective == "next token" and isinstance(labels, Tensor) and labels.dim() == 2:
        end = labels.new_full((len(labels), 1), IGNORED)
        labels = torch.cat([labels[:, 1:], end], 1)
    return _inputs(rest, net, what), labels


def _inputs(given: Mapping[str, Any], net: Network, what: str) -> Any:
    """Return the entries of a mapping that ``net`` takes as inputs."""
    tensors = {key: value for key, value in given.items() if isinstance(value, Tensor)}
    names = net.arguments
    if names is None:
        if len(tensors) != 1:
            raise DataError(
                f"the {what} data give {', '.join(map(repr, given)) or 'no inputs'} for each "
                "example; this network takes one tensor of inputs"
            )
        return next(iter(tensors.values()))
    taken = {key: value for key, value in given.items() if key in names or ANY in names}
    if not taken or taken.keys() - tensors.keys():
        raise DataError(
            f"the {what} data give {', '.join(map(repr, given)) or 'no inputs'} for each example; "
            f"this network takes {', '.join(sorted(names - {ANY}))}, as tensors with one row per "
            "example (of datasets: with_format('torch'))"
        )
    return taken


def collate(what: str) -> Callable[[Sequence[Any]], Any]:
    """Return a collate function that also accepts lists of numbers and explains what it rejects."""

    def collated(examples: Sequence[Any]) -> Any:
        try:
            if _is_plain(examples[0]):
                return default_collate(list(examples))
            return default_collate([_as_tensors(example) for example in examples])
        except (TypeError, RuntimeError) as error:
            raise DataError(f"the {what} data {_why(examples, error)}") from error

    return collated


def _is_plain(example: Any) -> bool:
    """Return whether an example consists of tensors and numbers, which torch can batch."""
    return type(example) is tuple and all(
        isinstance(part, (Tensor, int, float)) for part in example
    )


def _as_tensors(example: Any) -> Any:
    """Return an example with lists of numbers as tensors; texts in a mapping are dropped."""
    if isinstance(example, Mapping):
        parts = {key: _as_tensor(value) for key, value in example.items()}
        return {k: value for k, value in parts.items() if k in LABELS or not _is_text(value)}
    if isinstance(example, (tuple, list)):
        return tuple(
            _as_tensors(part) if isinstance(part, Mapping) else _as_tensor(part) for part in example
        )
    return example


def _as_tensor(value: Any) -> Any:
    if not isinstance(value, (list, tuple)) or not value:
        return value
    try:
        return torch.as_tensor(value)
    except (TypeError, ValueError, RuntimeError):
        return value


def _is_text(value: Any) -> bool:
    return (
        value is None
        or isinstance(value, str)
        or (isinstance(value, (list, tuple)) and any(isinstance(part, str) for part in value))
    )


def _why(examples: Sequence[Any], error: Exception) -> str:
    """Return the reason why these examples cannot form a batch."""
    if "equal size" in str(error) or "stack expects" in str(error):
        return (
            "hold examples of different sizes: bring them to one (texts: padding='max_length'), or "
            f"give a DataLoader whose collate_fn pads ({str(error).splitlines()[0]})"
        )
    kinds = sorted({type(leaf).__name__ for leaf in _leaves(examples[0])})
    hint = "; a transform makes tensors of pictures" if "Image" in "".join(kinds) else ""
    return f"hold what makes no batch ({', '.join(kinds)}){hint}: {str(error).splitlines()[0]}"


def _leaves(example: Any) -> Iterable[Any]:
    if isinstance(example, Mapping):
        return list(example.values())
    return list(example) if isinstance(example, (tuple, list)) else [example]


def peek(data: Any, what: str, size: int = 2) -> Any:
    """Return a batch of the first examples, without consuming any of ``data``.

    A DataLoader's examples pass through its collate function; its order and its generator are
    untouched.

    Raises:
        DataError: There are no examples.
    """
    if isinstance(data, Examples):
        return next(data.batches(size, torch.arange(min(size, len(data)))))
    if not isinstance(data, DataLoader):
        return collate(what)(_some(data, what, size))
    if data.batch_size is None and data.batch_sampler is None:  # the set makes its own batches
        if isinstance(data.sampler, BatchSampler):  # it asks the set for many examples at once
            whole: Any = data.dataset
            return data.collate_fn(whole[list(range(min(size, len(whole))))])
        return data.collate_fn(_some(data.dataset, what, 1)[0])
    try:
        examples = _some(data.dataset, what, size)
    except (LookupError, TypeError):  # a set with other keys than 0, 1, ..
        return next(iter(data))
    return data.collate_fn(examples)


def _some(data: Any, what: str, size: int) -> list[Any]:
    if is_stream(data):
        if iter(data) is data:
            raise DataError(
                f"the {what} data can be read only once: pass data that start again each time they "
                "are read, e.g. an IterableDataset"
            )
        found = list(islice(iter(data), size))
    else:
        found = [data[index] for index in range(min(size, len(data)))]
    if not found:
        raise DataError(f"the {what} data are empty; at least one example is needed")
    return found
