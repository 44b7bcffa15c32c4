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
from autocompress.training.objectives import IGNORED, Objective, objective_of

__all__ = ["Scores", "scores_by_depth"]

#: Turns (network, inputs) into the outputs of depth 0, 1, .. L.
Reader = Callable[[Network, Tensor], Iterator[Tensor]]


class Scores(NamedTuple):
    """What every example is worth at every depth, on the CPU.

    Attributes:
        hits: (examples, L + 1), the score of example n at depth k: of classes and of several labels
            bool, is it right; of numbers float64, its share of R^2.
        nats: float32 (examples, L + 1): the loss of example n at depth k, without label smoothing;
            in nats, of numbers their squared error.
        constant: The score of the best answer that looks at no input, e.g. the most frequent class.
        metric: Name of the score.
        unit: Of the loss.
    """

    hits: Tensor
    nats: Tensor
    constant: float
    metric: str
    unit: str

    def means(self) -> tuple[list[float], list[float]]:
        """Score and loss of every depth, rounded to a millionth, as the log has them."""
        scores, losses = (
            [round(mean, 6) for mean in values.double().mean(0).tolist()]
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
    read: Reader = _readouts,
    autocast: Callable[[], Any] | None = None,
    what: str = "probed",
) -> Scores:
    """Return how right every depth is about every example, and with which loss.

    Score and loss are those of the network's objective
    (:mod:`autocompress.training.objectives`). Where labels are of tokens, (B, N), each token that
    has one (not -100) is an example.

    Args:
        net: The network; evaluated in eval mode, left in the mode it was in.
        data: See :data:`autocompress.training.inputs.Data`.
        batch_size: Examples per pass.
        read: How the depths are read from one batch; lazily, each logits tensor (B, K) is
            dropped before the next is made.
        autocast: Context for the passes, e.g. bf16; losses are worked out in float32.
        what: Use of the data, for the messages.

    Raises:
        DataError: Labels that do not fit the outputs, not one of them (all are -100), or inputs
            that are not finite. ShapeError: inputs that the network cannot take.
        NotFiniteError: A loss that is not finite though the inputs are; the layer is named.
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
    """What the examples of a batch are worth, their losses, (examples, L + 1), and targets."""
    worth, nats = [], []
    wanted = None
    for logits in readouts:
        if wanted is None:
            wanted = objective.wanted(objective.targets(labels, logits.shape, what))
        value, loss = objective.judge(logits, wanted)
        worth.append(value)
        nats.append(loss)
        del logits, value, loss  # before the next is made
    assert wanted is not None  # there is always depth 0
    return torch.stack(worth, 1).cpu(), torch.stack(nats, 1).cpu(), wanted.targets.cpu()
