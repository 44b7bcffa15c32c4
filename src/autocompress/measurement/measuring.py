"""Measure one network, or several side by side, in every way that a report shows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from accelerate.utils import send_to_device
from torch import Tensor
from torch.utils._pytree import tree_leaves

from autocompress.checks import check_example, check_network, rows_of
from autocompress.errors import ConfigError
from autocompress.io.weights import weights_bytes
from autocompress.measurement.cost import flops, parameters
from autocompress.measurement.memory import peak_memory
from autocompress.measurement.modes import device_of, evaluating
from autocompress.measurement.timing import Timing, compare
from autocompress.network import Network

__all__ = ["Measurement", "measure", "measure_together"]


@dataclass(frozen=True)
class Measurement:
    """The cost of a network.

    Attributes:
        depth: Number of blocks.
        parameters: Number of trainable and frozen parameters.
        flops: FLOPs of one example's forward pass, by torch's counter.
        flops_paper: FLOPs in the paper's convention, without attention products.
        bytes: Size of the model.safetensors that :func:`autocompress.io.save` writes.
        latency_ms: Time of one forward pass by batch size; None if not measured.
        peak_memory_bytes: Largest total of parameters, input and activations during a forward
            pass in inference mode at the largest batch size (:func:`peak_memory`).
    """

    depth: int
    parameters: int
    flops: int
    flops_paper: int
    bytes: int
    latency_ms: dict[str, Timing | None]
    peak_memory_bytes: int

    def to_json(self) -> dict[str, Any]:
        """Return numbers only: medians in ``latency_ms``, beside them [10th, 90th percentile]."""
        timings = self.latency_ms.items()
        return {
            "depth": self.depth,
            "parameters": self.parameters,
            "flops": self.flops,
            "flops_paper": self.flops_paper,
            "bytes": self.bytes,
            "latency_ms": {b: None if t is None else t.median_ms for b, t in timings},
            "latency_spread_ms": {
                b: None if t is None else [t.low_ms, t.high_ms] for b, t in timings
            },
            "peak_memory_bytes": self.peak_memory_bytes,
        }

    def __str__(self) -> str:
        """Return a small table for reading."""
        batch = max(self.latency_ms, key=int)
        rows = [
            ("depth", f"{self.depth}"),
            ("parameters", f"{self.parameters:,}"),
            ("FLOPs", f"{_si(self.flops)} (paper's convention {_si(self.flops_paper)})"),
            ("file", f"{_si(self.bytes)}B"),
            *(
                (f"latency, batch {b}", "not measured" if t is None else str(t))
                for b, t in self.latency_ms.items()
            ),
            (f"memory, batch {batch}", f"{_si(self.peak_memory_bytes)}B at the peak"),
        ]
        width = max(len(name) for name, _ in rows)
        return "\n".join(f"{name:<{width}}  {value}" for name, value in rows)


def measure(
    net: Network, example: Any, batch_sizes: Sequence[int] = (1, 256), latency: bool = True
) -> Measurement:
    """Measure ``net`` on its own device, in eval and inference mode, leaving it unchanged.

    Args:
        net: The network.
        example: A batch (B, ...) of inputs, as a tensor or a mapping of tensors. It is repeated or
            truncated to each batch size.
        batch_sizes: Batch sizes to time; the largest is also that of the peak memory.
        latency: Whether to measure latencies.

    Raises:
        ConfigError: There is no batch size or one below 1, the example is empty, or ``net`` is not
            a network of this library.
        ShapeError: The network cannot take the example.
        DataError: The example is not finite.
        NotFiniteError: Weights or activations are not finite; the message names the layer.

    Example:
        >>> import autocompress as ac
        >>> net = ac.models.MLP(depth=2, width=4, classes=3, image_size=2, channels=1)
        >>> print(measure(net, torch.zeros(1, 1, 2, 2), latency=False))
        depth               2
        parameters          99
        FLOPs               120 (paper's convention 120)
        file                1.68 kB
        latency, batch 1    not measured
        latency, batch 256  not measured
        memory, batch 256   25 kB at the peak
    """
    return measure_together({"": net}, example, batch_sizes, latency)[""]


def measure_together(
    nets: Mapping[str, Network],
    example: Any,
    batch_sizes: Sequence[int] = (1, 256),
    latency: bool = True,
) -> dict[str, Measurement]:
    """Measure several networks, timing them in turns so that the ratios are fair.

    Arguments and errors are those of :func:`measure`; all networks must be on one device.
    ``ratio(a.latency_ms["256"], b.latency_ms["256"])`` is the ratio of two of the results.
    """
    sizes = sorted(set(batch_sizes))
    device = _check(nets, sizes)
    example = send_to_device(example, device)
    with evaluating(*nets.values()):
        examples = {name: check_example(net, example, "measured") for name, net in nets.items()}
        batches = {
            size: {name: rows_of(one, range(size)) for name, one in examples.items()}
            for size in sizes
        }
        timings = {size: _times(nets, batches[size], device, latency) for size in sizes}
        return {
            name: Measurement(
                depth=net.depth,
                parameters=parameters(net),
                flops=flops(net, examples[name]),
                flops_paper=flops(net, examples[name], "paper"),
                bytes=weights_bytes(net),
                latency_ms={str(size): timings[size][name] for size in sizes},
                peak_memory_bytes=_peak(net, batches[sizes[-1]][name], device),
            )
            for name, net in nets.items()
        }


def _check(nets: Mapping[str, Network], sizes: Sequence[int]) -> torch.device:
    if not sizes or sizes[0] < 1:
        raise ConfigError(f"batch sizes {list(sizes)}: give one or more, each at least 1")
    for net in nets.values():
        check_network(net, "measure")
    devices = {device_of(net) for net in nets.values()}
    if len(devices) != 1:
        raise ConfigError(
            f"networks on {len(devices)} devices ({', '.join(sorted(map(str, devices)))}): "
            "put them on one to measure them together"
        )
    return devices.pop()


def _times(
    nets: Mapping[str, Network], batches: Mapping[str, Any], device: torch.device, wanted: bool
) -> dict[str, Timing | None]:
    if not wanted:
        return dict.fromkeys(nets)
    calls: dict[str, Callable[[], object]] = {
        name: partial(net, batches[name]) for name, net in nets.items()
    }
    return dict(compare(calls, device))


def _peak(net: Network, batch: Any, device: torch.device) -> int:
    inputs = [leaf for leaf in tree_leaves(batch) if isinstance(leaf, Tensor)]
    return peak_memory(partial(net, batch), device, baseline=[net, *inputs], warmup=1)


def _si(value: float) -> str:
    for unit in ("", " k", " M", " G", " T"):
        if value < 999.5 or unit == " T":
            break
        value /= 1000
    return f"{value:.3g}{unit}"
