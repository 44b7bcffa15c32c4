"""The score of every depth, from one pass over the data and through the trunk."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from autocompress.errors import DataError
from autocompress.measure.modes import evaluating
from autocompress.network import Network
from autocompress.training.distil import IGNORED
from autocompress.training.inputs import Data, network_batches

__all__ = ["Scores", "scores_by_depth"]

#: Turns (network, inputs) into the outputs of depth 0, 1, .. L.
Reader = Callable[[Network, Tensor], Iterator[Tensor]]

#: Logits whose loss is worked out at a time: what a wide vocabulary adds to memory is this much.
_AT_ONCE = 2**22


class Scores(NamedTuple):
    """What every example is worth at every depth, on the CPU.

    Attributes:
        hits: bool (examples, L + 1): does depth k classify example n rightly.
        nats: float32 (examples, L + 1): the cross-entropy of example n at depth k, without label
            smoothing.
    """

    hits: Tensor
    nats: Tensor


def _readouts(net: Network, inputs: Tensor) -> Iterator[Tensor]:
    return net.readouts(inputs)


def scores_by_depth(
    net: Network,
    data: Data,
    *,
    batch_size: int = 256,
    read: Reader = _readouts,
    autocast: Callable[[], Any] | None = None,
) -> Scores:
    """Whether every depth classifies every example rightly, and with which loss.

    Where labels are of tokens, (B, N), each token that has one (not -100) is an example.

    Args:
        net: the network; evaluated in eval mode, left in the mode it was in.
        data: see :data:`autocompress.training.inputs.Data`.
        batch_size: examples per pass.
        read: how the depths are read from one batch; lazily, each logits tensor (B, K) is
            dropped before the next is made.
        autocast: context for the passes, e.g. bf16; losses are worked out in float32.

    Raises:
        DataError: labels that do not fit the outputs, or not one of them (all are -100).
    """
    hits, nats = [], []
    with evaluating(net):
        for inputs, labels in network_batches(net, data, batch_size):
            with nullcontext() if autocast is None else autocast():
                columns = list(_columns(read(net, inputs), labels))
            hits.append(torch.stack([hit for hit, _ in columns], dim=1).cpu())
            nats.append(torch.stack([loss for _, loss in columns], dim=1).cpu())
    scores = Scores(torch.cat(hits), torch.cat(nats))
    if not len(scores.hits):
        raise DataError(f"every label is {IGNORED}: there is no token to score")
    return scores


def _columns(readouts: Iterator[Tensor], labels: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Hit and loss of every labelled example of a batch, (examples,) each, depth by depth."""
    wanted = labels.flatten().long()
    kept = (wanted != IGNORED).nonzero()[:, 0]
    chosen = None if len(kept) == len(wanted) else kept  # all of them are not copied
    wanted = wanted if chosen is None else wanted[chosen]
    for depth, logits in enumerate(readouts):
        if depth == 0:
            _check_labels(labels, wanted, logits)
        yield _scored(logits.flatten(0, -2), chosen, wanted)
        del logits  # before the next is made


def _scored(rows: Tensor, chosen: Tensor | None, wanted: Tensor) -> tuple[Tensor, Tensor]:
    """Hit and loss of the chosen rows of logits; a few at a time, as a loss needs their copy."""
    hits, nats = [], []
    step = max(1, _AT_ONCE // rows.shape[1])
    for start in range(0, max(1, len(wanted)), step):
        part = slice(start, start + step)
        some = rows[part] if chosen is None else rows[chosen[part]]
        hits.append(_hits(some, wanted[part]))
        nats.append(F.cross_entropy(some.float(), wanted[part], reduction="none"))
    return torch.cat(hits), torch.cat(nats)


def _hits(rows: Tensor, wanted: Tensor) -> Tensor:
    """``rows.argmax(-1) == wanted`` at a third of its time on a CPU, where argmax is slow."""
    places = wanted[:, None]
    own = rows.gather(-1, places)[:, 0]
    best_other = rows.scatter(-1, places, -torch.inf).amax(-1)
    hits, tied = own > best_other, own == best_other
    if bool(tied.any()):  # argmax takes the first of equals
        hits[tied] = rows[tied].argmax(-1) == wanted[tied]
    return hits


def _check_labels(labels: Tensor, wanted: Tensor, logits: Tensor) -> None:
    if labels.shape != logits.shape[:-1]:
        raise DataError(
            f"labels of shape {tuple(labels.shape)} do not fit outputs of shape "
            f"{tuple(logits.shape)}; expected {tuple(logits.shape[:-1])}"
        )
    if len(wanted) and not 0 <= int(wanted.min()) <= int(wanted.max()) < logits.shape[-1]:
        raise DataError(
            f"labels run from {int(wanted.min())} to {int(wanted.max())}; outputs of "
            f"{logits.shape[-1]} classes take 0..{logits.shape[-1] - 1}, and {IGNORED} for none"
        )
