"""Parameters and FLOPs, of a whole network and of every depth it can be cut to.

FLOPs are counted for the forward pass of one example, in one of two conventions:

- ``"torch"``: the formulas of ``torch.utils.flop_counter``, 2 per multiply-add of every matrix
  product and convolution, those of attention included;
- ``"paper"``: 2 per multiply-add of the linear layers and convolutions (the patch embedding);
  the products inside attention are left out.

ViT-B/16 has 35.1 GFLOPs in the first and 33.7 in the second. Norms, activations, biases and the
skips themselves count as nothing in both.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Literal, get_args

from accelerate.utils import find_batch_size, send_to_device
from torch import Tensor, nn

from autocompress.errors import UnknownNameError
from autocompress.measurement.counter import FlopCounter
from autocompress.measurement.modes import device_of, evaluating, outside_inference
from autocompress.network import Network

__all__ = ["Convention", "DepthCost", "counted_readouts", "depth_costs", "flops", "parameters"]

#: How FLOPs are counted; see the top of this file.
Convention = Literal["torch", "paper"]

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


@dataclass(frozen=True)
class DepthCost:
    """What the network costs when it is cut at ``depth``.

    Attributes:
        depth: k, 0..L.
        parameters: Numbers in the stem, the first k blocks, their gates and the head.
        flops: Per example, torch's counter; None where nothing was run.
    """

    depth: int
    parameters: int
    flops: int | None = None


def parameters(module: nn.Module) -> int:
    """Number of parameters, learned or frozen; a shared one counts once.

    Example:
        >>> parameters(nn.Linear(3, 2))
        8
    """
    return sum(p.numel() for p in module.parameters())


def flops(net: nn.Module, example: Tensor, convention: Convention = "torch") -> int:
    """FLOPs of one example's forward pass. Works on the meta device, where nothing is computed.

    The network runs in eval mode without gradients and is left as it was.

    Args:
        net: Any module that takes ``example``.
        example: A batch (B, ...); the count is divided by B.
        convention: ``"torch"`` or ``"paper"``, see the top of this file.

    Raises:
        UnknownNameError: Another convention. ShapeError: An example the network cannot take.

    Example:
        >>> import torch
        >>> flops(nn.Linear(3, 2), torch.zeros(5, 3))  # 2 * 3 * 2
        12
    """
    with evaluating(net), _counted(net, convention) as count:
        net(send_to_device(example, device_of(net)))
    return _per_example(count[0], example)


def counted_readouts(
    net: Network, x: Tensor, convention: Convention = "torch"
) -> Iterator[tuple[Tensor, int]]:
    """The head's output at every depth, as ``net.readouts(x)``, each with what it cost.

    One pass of the trunk, lazily; the cost at depth k is that of ``net.cut(k)``: stem, k blocks,
    readout and head, FLOPs per example. Mode and gradients are the caller's. Counting slows the
    host a little (every operation passes through Python once more), so a probe counts its first
    batch only.

    Args:
        net: The network.
        x: A batch (B, ...).
        convention: As in :func:`flops`.

    Yields:
        (logits (B, K), FLOPs of one example) for depth 0..L.

    Raises:
        UnknownNameError: Another convention.

    Example:
        >>> import torch, autocompress as ac
        >>> net = ac.models.MLP(depth=2, width=4, classes=3, image_size=2, channels=1)
        >>> [cost for _, cost in counted_readouts(net, torch.zeros(7, 1, 2, 2))]
        [56, 88, 120]
    """
    trunk_flops = 0
    with _counted(net, convention) as count:
        states = net.states(x)
        state = next(states, None)
    while state is not None:
        trunk_flops += count[0]
        with _counted(net, convention) as head_count:
            logits = net.read(state)
        yield logits, _per_example(trunk_flops + head_count[0], x)
        with _counted(net, convention) as count:
            state = next(states, None)


def depth_costs(net: Network, example: Tensor | None = None) -> list[DepthCost]:
    """The cost of every depth 0..L, without cutting.

    Args:
        net: The network.
        example: A batch (B, ...) to count FLOPs on, one pass in all; None counts parameters
            only and runs nothing.

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
    """What ``parameters(net.cut(k))`` would say for k = 0..L; nothing is copied."""
    return [parameters(net.first(depth)) for depth in range(net.depth + 1)]


@contextmanager
def _counted(net: nn.Module, convention: str) -> Iterator[list[int]]:
    """A list whose one number is, after leaving, the FLOPs of what ran inside."""
    count = [0]
    if convention == "torch":
        with outside_inference(), FlopCounter() as counter:
            yield count
        count[0] = counter.count
    elif convention == "paper":
        with _layer_hooks(net, count):
            yield count
    else:
        raise UnknownNameError("FLOP convention", convention, get_args(Convention))


@contextmanager
def _layer_hooks(net: nn.Module, count: list[int]) -> Iterator[None]:
    """Add to ``count`` what each linear layer and convolution of ``net`` does when called."""

    def add(layer: nn.Module, _: Any, out: Tensor) -> None:
        if isinstance(layer, nn.Linear):
            count[0] += 2 * layer.in_features * out.numel()
        elif isinstance(layer, _CONVOLUTIONS):
            reads = layer.in_channels // layer.groups * math.prod(layer.kernel_size)
            count[0] += 2 * reads * out.numel()

    with ExitStack() as hooks:
        for layer in net.modules():
            if isinstance(layer, (nn.Linear, *_CONVOLUTIONS)):
                hooks.enter_context(_removed(layer.register_forward_hook(add)))
        yield


@contextmanager
def _removed(handle: Any) -> Iterator[None]:
    try:
        yield
    finally:
        handle.remove()


def _per_example(count: int, batch: Any) -> int:
    size = int(find_batch_size(batch) or 1)  # a batch may be a mapping of tensors
    return (count + size // 2) // size
