"""The cost of a network: parameters, FLOPs, bytes, milliseconds, peak memory."""

from typing import TYPE_CHECKING

from autocompress.lazy import attach_imports

if TYPE_CHECKING:
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
    from autocompress.measurement.timing import (
        Timing,
        compare,
        is_noisy,
        latency,
        ratio,
        ratio_quartiles,
    )
else:
    __getattr__, __dir__ = attach_imports(__name__, __file__)

__all__ = [
    "Convention",
    "DepthCost",
    "Measurement",
    "Timing",
    "compare",
    "counted_readouts",
    "depth_costs",
    "flops",
    "is_noisy",
    "latency",
    "measure",
    "measure_together",
    "parameters",
    "peak_memory",
    "ratio",
    "ratio_quartiles",
]
