"""The score of every depth, from one pass over the data and through the trunk."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any, NamedTuple

import torch
from torch import Tensor

from autocompress.checks import blame, takes
from autocompress.errors import DataError
from autocompress.measurement.modes import evaluating
from autocompress.network import Network
from autocompress.training.inputs import Data, network_batches
from autocompress.training.objective import IGNORED, Objective
from autocompress.training.objectives import objective_of

__all__ = ["Scores", "scores_by_depth"]

#: Turns (network, inputs) into the outputs at depths 0, 1, .. L.
DepthReader = Callable[[Network, Tensor], Iterator[Tensor]]


class Scores(NamedTuple):
    """The score and loss of every example at every depth, on the CPU.

    Attributes:
        hits: Array (examples, L + 1), the score of example n at depth k: a bool (correct or not)
            for classes and multiple labels; for regression float64, the example's share of R^2.
        nats: Float32 array (examples, L + 1), the loss of example n at depth k without label
            smoothing: in nats, or for regression the squared error.
        constant: Score of the best answer that ignores the input, e.g. the most frequent class.
        metric: Name of the score.
        unit: Unit of the loss.
    """

    hits: Tensor
    nats: Tensor | None
    constant: float | None
    metric: str
    unit: str

    def means(self) -> tuple[list[float], list[float]]:
        """Return the score and loss of every depth, rounded to six decimals as in the log."""
        scores, losses = (
            [] if values is None else [round(mean, 6) for mean in values.double().mean(0).tolist()]
            for values in (self.hits, self.nats)
        )
        return scores, losses


def _readouts(net: Network, inputs: Tensor) -> Iterator[Tensor]:
    return net.readouts(inputs)


def scores_by_depth(
    net: Network,
    data: Data,
    *,
    batch_size: int = 256,
    read: DepthReader = _readouts,
    autocast: Callable[[], Any] | None = None,
    what: str = "probed",
) -> Scores:
    """Return the score and loss of every example at every depth.

    Score and loss are those of the network's objective
    (:mod:`autocompress.training.objectives`). Where the labels are per token, (B, N), each token
    with a label (not -100) is an example.

    Args:
        net: The network; it is evaluated in eval mode and left in its previous mode.
        data: The data; see :data:`autocompress.training.inputs.Data`.
        batch_size: Examples per pass.
        read: Function that yields the logits (B, K) of every depth for one batch; it is read
            lazily, and each tensor is dropped before the next is computed.
        autocast: Context for the passes, e.g. bf16; losses are computed in float32.
        what: Use of the data, named in error messages.

    Raises:
        DataError: The labels do not fit the outputs, are all -100, or the inputs are not finite.
        ShapeError: The network cannot take the inputs.
        NotFiniteError: A loss is not finite although the inputs are; the message names the layer.
    """
    objective, seen = objective_of(net), 0
    found: list[tuple[Tensor, Tensor, Tensor]] = []
    with evaluating(net):
        for inputs, labels in network_batches(net, data, batch_size, what):
            with nullcontext() if autocast is None else autocast(), takes(net, inputs):
                batch = _judged(objective, read(net, inputs), labels, what)
                if not bool(torch.isfinite(batch[1]).all()):
                    blame(net, inputs, what, seen)
            found.append(batch)
            seen += len(labels)
    if not found:
        raise DataError(f"the {what} data are empty; at least one example is needed")
    worth, nats, targets = (torch.cat(part) for part in zip(*found, strict=True))
    if not len(nats):
        raise DataError(f"every label is {IGNORED}: there is no token to score")
    hits = objective.scores(worth, targets)
    constant = objective.constant(targets)
    return Scores(hits, nats, constant, objective.metric, objective.unit)


def _judged(
    objective: Objective, readouts: Iterator[Tensor], labels: Any, what: str
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the scores (examples, L + 1), losses (examples, L + 1) and targets of a batch."""
    worth, nats = [], []
    wanted = None
    for logits in readouts:
        if wanted is None:
            wanted = objective.wanted(objective.targets(labels, logits.shape, what))
        value, loss = objective.judge(logits, wanted)
        worth.append(value)
        nats.append(loss)
        del logits, value, loss  # frees memory before the next depth
    assert wanted is not None  # there is always depth 0
    return torch.stack(worth, 1).cpu(), torch.stack(nats, 1).cpu(), wanted.targets.cpu()
