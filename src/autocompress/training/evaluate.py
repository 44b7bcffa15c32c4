"""The score of every depth, from one pass over the data and through the trunk."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor

from autocompress.measure.modes import evaluating
from autocompress.network import Network
from autocompress.training.distil import IGNORED
from autocompress.training.inputs import Data, network_batches

__all__ = ["hits_by_depth"]

#: Turns (network, inputs) into the outputs of depth 0, 1, .. L.
Reader = Callable[[Network, Tensor], Iterator[Tensor]]


def _readouts(net: Network, inputs: Tensor) -> Iterator[Tensor]:
    return net.readouts(inputs)


def hits_by_depth(
    net: Network,
    data: Data,
    *,
    batch_size: int = 256,
    read: Reader = _readouts,
    autocast: Callable[[], Any] | None = None,
) -> Tensor:
    """Which examples every depth classifies rightly: bool (examples, L + 1), on the CPU.

    Where labels are of tokens, (B, N), each token that has one (not -100) is an example.

    Args:
        net: the network; evaluated in eval mode, left in the mode it was in.
        data: see :data:`autocompress.training.inputs.Data`.
        batch_size: examples per pass.
        read: how the depths are read from one batch; lazily, each logits tensor (B, K) is
            dropped before the next is made.
        autocast: context for the passes, e.g. bf16.
    """
    rows = []
    with evaluating(net):
        for inputs, labels in network_batches(net, data, batch_size):
            with nullcontext() if autocast is None else autocast():
                hits = [logits.argmax(-1) == labels for logits in read(net, inputs)]
            scored = labels.flatten() != IGNORED
            rows.append(torch.stack([hit.flatten()[scored] for hit in hits], dim=1).cpu())
    return torch.cat(rows)
