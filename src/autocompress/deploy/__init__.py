"""Deployment: an export in segments, the cascade that runs them, and what every format costs."""

from typing import TYPE_CHECKING

from autocompress.lazy import attach_imports

if TYPE_CHECKING:
    from autocompress.deploy.benchmark import Benchmark, Speedup, bench
    from autocompress.deploy.cascade import Cascade, CascadeError
    from autocompress.deploy.exporting import Exported, export
else:
    __getattr__, __dir__ = attach_imports(__name__, __file__)

__all__ = [
    "Benchmark",
    "Cascade",
    "CascadeError",
    "Exported",
    "Speedup",
    "bench",
    "export",
]
