"""The cost of a network: parameters, FLOPs, bytes, milliseconds, peak memory."""

from autocompress.measurement.cost import (
    Convention,
    DepthCost,
    counted_readouts,
    depth_costs,
    flops,
    parameters,
)
from autocompress.measurement.measuring import Measurement, measure, measure_together
from autocompress.measurement.memory import peak_memory
from autocompress.measurement.timing import Timing, compare, latency, ratio

__all__ = [
    "Convention",
    "DepthCost",
    "Measurement",
    "Timing",
    "compare",
    "counted_readouts",
    "depth_costs",
    "flops",
    "latency",
    "measure",
    "measure_together",
    "parameters",
    "peak_memory",
    "ratio",
]
