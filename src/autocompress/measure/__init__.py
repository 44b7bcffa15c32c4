"""What a network costs: parameters, FLOPs, bytes, milliseconds, peak memory."""

from autocompress.measure.cost import (
    Convention,
    DepthCost,
    counted_readouts,
    depth_costs,
    flops,
    parameters,
)
from autocompress.measure.latency import Timing, compare, latency, ratio
from autocompress.measure.measure import Measurement, measure, measure_together
from autocompress.measure.memory import peak_memory

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
