"""The most memory that tensors hold at once during a call."""

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
    """Bytes held at the call's worst moment: ``baseline`` and what the call adds to it.

    On the CPU, and wherever else there is no such counter, every tensor that an operation makes
    is followed from birth to death, through backward too: the figure is exact and the same on
    every machine. It leaves out what kernels allocate for themselves (convolution and matrix
    product workspace), the allocator's rounding, and code that runs compiled or enters inference
    mode itself. On CUDA it is the
    allocator's own peak, workspace and rounding to 512 bytes included.

    Args:
        call: What to measure, e.g. ``lambda: net(x)``.
        device: Where it computes.
        baseline: Modules (parameters, their gradients, buffers) and tensors that exist before
            the call and shall count, e.g. ``[net, x]``. Nothing else from before counts.
        warmup: Calls before the measured one: libraries make their workspace, optimisers their
            state.

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
    """Follows every storage that operations make while the mode is on.

    A storage's death is seen by a weak reference: PyTorch keeps the Python object of a storage as
    long as the storage itself, so a tensor that only autograd holds still counts, and one that
    backward lets go stops counting at that moment.
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
        """Run one operation, and follow what it makes."""
        kwargs = kwargs or {}
        for tensor in tree_leaves((args, kwargs)):
            self._follow(tensor, counts=False)  # seen first as an input: it was there before
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
