"""Training on Accelerate: resumable, seeded, one loop."""

from autocompress.training.config import FitConfig, Run
from autocompress.training.distil import DistilConfig
from autocompress.training.hooks import Hook
from autocompress.training.live import GrowConfig, LiveConfig
from autocompress.training.loop import fit, training_device
from autocompress.training.paths import PATHS, PathConfig, find_path

__all__ = [
    "PATHS",
    "DistilConfig",
    "FitConfig",
    "GrowConfig",
    "Hook",
    "LiveConfig",
    "PathConfig",
    "Run",
    "find_path",
    "fit",
    "training_device",
]
