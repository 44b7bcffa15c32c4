"""Parameters and FLOPs of a network and of every depth to which it can be cut.

FLOPs are counted for the forward pass of one example, in one of two conventions:

- ``"torch"``: the formulas of ``torch.utils.flop_counter``, 2 per multiply-add of every matrix
  product and convolution, including those of attention;
- ``"paper"``: 2 per multiply-add of the linear layers and convolutions (the patch embedding),
  without the products of two activations inside attention.

Both look at the operations that run, so they count a linear layer in whatever class it is written.
ViT-B/16 has 35.1 GFLOPs in the first and 33.7 in the second. Norms, activations, biases and the
skips themselves are not counted in either.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, get_args

from accelerate.utils import find_batch_size, send_to_device
from torch import Tensor, nn

from autocompress.errors import UnknownNameError
from autocompress.io.quantised import packed_tensors
from autocompress.measurement.counter import FlopCounter
from autocompress.measurement.modes import device_of, evaluating, outside_inference
from autocompress.network import Network
from autocompress.sharded import in_call

__all__ = ["Convention", "DepthCost", "counted_readouts", "depth_costs", "flops", "parameters"]

#: Conventions for counting FLOPs; see the top of this file.
Convention = Literal["torch", "paper"]


@dataclass(frozen=True)
class DepthCost:
    """The cost of the network when it is cut at ``depth``.

    Attributes:
        depth: Depth k, 0..L.
        parameters: Number of parameters in the stem, the first k blocks, their gates and the head.
        flops: FLOPs per example by torch's counter; None if nothing was run.
    """

    depth: int
    parameters: int
    flops: int | None = None


def parameters(module: nn.Module) -> int:
    """Return the number of parameters, trainable or frozen; a shared one counts once.

    Example:
        >>> parameters(nn.Linear(3, 2))
        8
    """
    packed = sum(tensor.numel() for tensor in packed_tensors(module))
    return packed + sum(p.numel() for p in module.parameters())


def flops(net: nn.Module, example: Tensor, convention: Convention = "torch") -> int:
    """Return the FLOPs of one example's forward pass, also on the meta device.

    The network runs in eval mode without gradients and is left unchanged.

    Args:
        net: Any module that takes ``example``.
        example: A batch (B, ...); the count is divided by B.
        convention: ``"torch"`` or ``"paper"``; see the top of this file.

    Raises:
        UnknownNameError: There is no such convention.
        ShapeError: The network cannot take the example.

    Example:
        >>> import torch
        >>> flops(nn.Linear(3, 2), torch.zeros(5, 3))  # 2 * 3 * 2
        12
    """
    with evaluating(net), _counted(convention) as count:
        net(send_to_device(example, device_of(net)))
    return _per_example(count[0], example)


def counted_readouts(
    net: Network, x: Tensor, convention: Convention = "torch"
) -> Iterator[tuple[Tensor, int]]:
    """Yield the head's output at every depth, as ``net.readouts(x)``, each with its cost.

    It takes one lazy pass through the trunk. The cost at depth k is that of ``net.cut(k)``: stem, k
    blocks, readout and head, in FLOPs per example. The caller sets mode and gradients. Counting
    slows the host somewhat (every operation passes through Python), so a probe counts only its
    first batch.

    Args:
        net: The network.
        x: A batch (B, ...).
        convention: ``"torch"`` or ``"paper"``, as in :func:`flops`.

    Yields:
        Logits (B, K) and the FLOPs of one example, for depths 0..L.

    Raises:
        UnknownNameError: There is no such convention.

    Example:
        >>> import torch, autocompress as ac
        >>> net = ac.models.MLP(depth=2, width=4, classes=3, image_size=2, channels=1)
        >>> [cost for _, cost in counted_readouts(net, torch.zeros(7, 1, 2, 2))]
        [56, 88, 120]
    """
    yield from in_call(net, lambda: _counted_pass(net, x, convention))


def _counted_pass(net: Network, x: Tensor, convention: Convention) -> Iterator[tuple[Tensor, int]]:
    trunk_flops = 0
    with _counted(convention) as count:
        states = net.states(x)
        state = next(states, None)
    while state is not None:
        trunk_flops += count[0]
        with _counted(convention) as head_count:
            logits = net.read(state)
        yield logits, _per_example(trunk_flops + head_count[0], x)
        with _counted(convention) as count:
            state = next(states, None)


def depth_costs(net: Network, example: Tensor | None = None) -> list[DepthCost]:
    """Return the cost of every depth 0..L without cutting.

    Args:
        net: The network.
        example: A batch (B, ...) on which FLOPs are counted, in a single pass; None counts only
            parameters and runs nothing.

    Example:
        >>> import autocompress as ac
        >>> net = ac.models.MLP(depth=2, width=4, classes=3, image_size=2, channels=1)
        >>> [cost.parameters for cost in depth_costs(net)]
        [43, 71, 99]
    """
    counts: list[int | None] = [None] * (net.depth + 1)
    if example is not None:
        with evaluating(net):
            passes = counted_readouts(net, send_to_device(example, device_of(net)))
            counts = [cost for _, cost in passes]
    return [DepthCost(k, n, counts[k]) for k, n in enumerate(_parameters_by_depth(net))]


def _parameters_by_depth(net: Network) -> list[int]:
    """Return ``parameters(net.cut(k))`` for k = 0..L, without copying."""
    return [parameters(net.first(depth)) for depth in range(net.depth + 1)]


@contextmanager
def _counted(convention: str) -> Iterator[list[int]]:
    """Yield a list that holds, after the context, the FLOPs of what ran inside it."""
    if convention not in get_args(Convention):
        raise UnknownNameError("FLOP convention", convention, get_args(Convention))
    count = [0]
    with outside_inference(), FlopCounter() as counter:
        yield count
    count[0] = counter.count - (counter.attention if convention == "paper" else 0)


def _per_example(count: int, batch: Any) -> int:
    size = int(find_batch_size(batch) or 1)  # a batch may be a mapping of tensors
    return (count + size // 2) // size
