"""Preparation of every batch before it reaches a network, and a check of the first batch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from accelerate.utils import send_to_device
from torch import Tensor
from torch.utils._pytree import tree_leaves

from autocompress.checks import as_floats_of, blame, not_finite_rows, takes
from autocompress.errors import DataError
from autocompress.measurement.modes import device_of, in_eval_mode
from autocompress.network import Network
from autocompress.training.forms import split
from autocompress.training.objective import IGNORED, Objective
from autocompress.training.objectives import objective_of

__all__ = ["Intake"]


class Intake:
    """A callable that brings the batches of one data set into the form that one network takes.

    It is called before a batch moves to the network's device, so checking the values of a user's
    data set does not wait for the device.

    Args:
        net: The network.
        what: Use of the data, named in error messages.
        values: Whether to check every number of a batch; False for the library's own sources.

    Attributes:
        labelled: Whether a batch had a label so far; those of tokens may all be -100.

    Example:
        >>> import autocompress as ac
        >>> net = ac.models.MLP(depth=1, width=4, classes=3, image_size=2, channels=1)
        >>> intake = Intake(net, "training")
        >>> intake.learn(([[[[0.0, 1.0], [1.0, 0.0]]]], [2]))
        Traceback (most recent call last):
        autocompress.errors.DataError: the training data give inputs of type list, not a tensor
        >>> intake.learn((torch.zeros(4, 1, 2, 2), torch.tensor([0, 2, 1, 1])))
        >>> intake((torch.zeros(2, 1, 2, 2), torch.tensor([[0], [2]], dtype=torch.int32)))[1]
        tensor([0, 2])
    """

    def __init__(self, net: Network, what: str, values: bool = True) -> None:
        self.net, self.what, self.values = net, what, values
        self.objective: Objective = objective_of(net)
        self._takes_parts = getattr(net, "arguments", None) is not None
        self._dtype = next((p.dtype for p in net.parameters() if p.is_floating_point()), None)
        self._order: Tensor | None = None
        self._size: int | None = None
        self._shape: Sequence[int] | None = None
        self.labelled = False

    def follow(self, order: Tensor | None, size: int | None) -> None:
        """Record which examples will come, so that messages can name one by its index.

        Args:
            order: Indices of the examples in the order they come; None is the natural order.
            size: Examples per batch; None if unknown.
        """
        self._order, self._size = order, size

    def __call__(self, batch: Any, index: int = 0) -> tuple[Any, Any]:
        """Return (inputs, labels) of batch number ``index``.

        Once :meth:`learn` has seen the outputs, the labels are the objective's targets.

        Raises:
            DataError: The batch has another form, or an input or label is invalid.
        """
        inputs, labels = split(batch, self.net, self.what)
        leaves = [inputs] if isinstance(inputs, Tensor) else tree_leaves(inputs)
        whole = isinstance(inputs, Tensor) or self._takes_parts
        if not whole or not leaves or not all(isinstance(leaf, Tensor) for leaf in leaves):
            kind = type(inputs).__name__
            raise DataError(f"the {self.what} data give inputs of type {kind}, not a tensor")
        if self.values and all(leaf.device.type == "cpu" for leaf in leaves):
            self._check_finite(inputs, leaves, index)
        if self._shape is not None:
            tokens = len(self._shape) > 2
            rows = labels.shape if tokens and isinstance(labels, Tensor) else (len(leaves[0]),)
            shape = (*rows, self._shape[-1])
            labels = self.objective.targets(labels, shape, self.what, values=self._looks(labels))
            self.labelled = self.labelled or bool((labels != IGNORED).any())
        whole = isinstance(inputs, Tensor)
        if not whole or (inputs.is_floating_point() and inputs.dtype != self._dtype):
            inputs = as_floats_of(self.net, inputs)
        return inputs, labels

    def learn(self, batch: Any, prepare: Any = None) -> None:
        """Run the first examples through the network and compare outputs with labels.

        Neither the network nor torch's random state is changed.

        Args:
            batch: A batch as the data yield it.
            prepare: Function applied to inputs on the network's device, e.g. normalisation.

        Raises:
            DataError, ShapeError: The data do not fit.
            NotFiniteError: The outputs are not finite.
        """
        self.follow(None, 2)  # the first two of the data
        inputs, labels = self(batch)
        device = device_of(self.net)
        inputs = send_to_device(inputs, device)
        inputs = inputs if prepare is None else prepare(inputs)
        devices = [device] if device.type == "cuda" else []
        with torch.random.fork_rng(devices), in_eval_mode(self.net), torch.no_grad():
            with takes(self.net, inputs):
                logits = self.net(inputs)
            if not bool(torch.isfinite(logits).all()):
                blame(self.net, inputs, self.what)
        self.objective.targets(labels, logits.shape, self.what)
        self._shape = tuple(logits.shape)

    def _looks(self, labels: Any) -> bool:
        return self.values and not (isinstance(labels, Tensor) and labels.device.type != "cpu")

    def _check_finite(self, inputs: Any, leaves: Sequence[Tensor], index: int) -> None:
        floats = [t for t in leaves if t.is_floating_point()]
        if all(math.isfinite(float(t.sum())) for t in floats):  # one pass, no temporary tensors
            return
        rows = not_finite_rows(inputs)  # a sum may overflow although every number is finite
        if rows:
            raise DataError(self._told(rows, index))

    def _told(self, rows: Sequence[int], index: int) -> str:
        place = None if self._size is None else index * self._size + rows[0]
        if place is not None and self._order is not None:
            place = int(self._order[place])
        where = f"row {rows[0]} of batch {index}" if place is None else f"example {place}"
        more = f", as do {len(rows) - 1} more of its batch" if len(rows) > 1 else ""
        return (
            f"{where} of the {self.what} data holds NaN or infinity{more}: clean the inputs first, "
            "e.g. torch.nan_to_num"
        )
