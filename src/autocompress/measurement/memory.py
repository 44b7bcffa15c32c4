"""Measure the largest total memory of all tensors during a call."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from autocompress.measurement.modes import outside_inference
from autocompress.measurement.timing import synchronise

__all__ = ["peak_memory"]


def peak_memory(
    call: Callable[[], object],
    device: torch.device | str = "cpu",
    *,
    baseline: Iterable[nn.Module | Tensor] = (),
    warmup: int = 1,
) -> int:
    """Return the peak number of bytes during a call: ``baseline`` plus what the call adds.

    On the CPU, and wherever no allocator counts, every tensor that an operation creates is tracked
    until it is freed, also through backward: the figure is exact and equal on every machine. It
    does not include what kernels allocate for themselves (workspace of convolutions and matrix
    products), the allocator's rounding, and code that is compiled or enters inference mode itself.
    On CUDA the figure is the allocator's own peak, including workspace and rounding to 512 bytes.

    Args:
        call: Function to measure, e.g. ``lambda: net(x)``.
        device: Device of the computation.
        baseline: Modules (parameters, their gradients, buffers) and tensors that exist before the
            call and should count, e.g. ``[net, x]``. No other earlier tensors count.
        warmup: Number of calls before the measured one, in which libraries allocate workspace and
            optimisers their state.

    Example:
        >>> x = torch.zeros(256)  # 1024 bytes
        >>> peak_memory(lambda: (x + 1).sum(), baseline=[x])  # x, x + 1 and the sum
        2052
    """
    device = torch.device(device)
    for _ in range(warmup):
        call()
    held = list(_tensors(baseline))
    if device.type == "cuda":
        return _cuda_peak(call, device, held)
    live = _LiveStorages(device.type, held)
    with outside_inference(), live:
        call()
    return live.peak


def _tensors(baseline: Iterable[nn.Module | Tensor]) -> Iterator[Tensor]:
    for item in baseline:
        if isinstance(item, Tensor):
            yield item
            continue
        yield from item.buffers()
        for parameter in item.parameters():
            yield parameter
            if parameter.grad is not None:
                yield parameter.grad


def _cuda_peak(call: Callable[[], object], device: torch.device, held: list[Tensor]) -> int:
    storages = {t.untyped_storage()._cdata: t.untyped_storage().nbytes() for t in held}
    synchronise(device)
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    call()
    synchronise(device)
    peak: int = torch.cuda.max_memory_allocated(device)
    return sum(storages.values()) + peak - before


class _LiveStorages(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """A mode that tracks every storage created by operations while it is active.

    A weak reference detects when a storage is freed. PyTorch keeps the Python object of a storage
    as long as the storage itself, so a tensor that only autograd holds still counts, and one that
    backward releases stops counting at that moment.
    """

    def __init__(self, device_type: str, baseline: Iterable[Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._device_type = device_type
        self._known: dict[int, tuple[weakref.ref[Any], int]] = {}
        self._live = 0
        self.peak = 0
        for tensor in baseline:
            self._follow(tensor)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Run one operation and track its results."""
        kwargs = kwargs or {}
        for tensor in tree_leaves((args, kwargs)):
            self._follow(tensor, counts=False)  # first seen as an input: it existed before
        out = func(*args, **kwargs)
        for tensor in tree_leaves(out):
            self._follow(tensor)
        return out

    def _follow(self, tensor: object, counts: bool = True) -> None:
        if not isinstance(tensor, Tensor) or tensor.device.type != self._device_type:
            return
        if tensor.layout is not torch.strided:
            return
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key in self._known:
            return
        size = storage.nbytes() if counts else 0
        self._known[key] = weakref.ref(storage, lambda _: self._forget(key)), size
        self._live += size
        self.peak = max(self.peak, self._live)

    def _forget(self, key: int) -> None:
        _, size = self._known.pop(key)
        self._live -= size
