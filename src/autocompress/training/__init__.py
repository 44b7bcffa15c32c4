"""Training on Accelerate: one loop, which is seeded and can be resumed."""

from typing import TYPE_CHECKING

from autocompress.lazy import attach_imports

if TYPE_CHECKING:
    from autocompress.training.config import FitConfig, Run
    from autocompress.training.cutting import CutConfig
    from autocompress.training.distil import DistilConfig
    from autocompress.training.growth import GrowConfig
    from autocompress.training.hooks import Hook, Moment, register_hook
    from autocompress.training.live import LiveConfig
    from autocompress.training.loop import fit, training_device
    from autocompress.training.paths import PATHS, PathConfig, find_path
    from autocompress.training.pruning import PruneConfig, Pruner, prune, sparsity
    from autocompress.training.teacher import Teacher
    from autocompress.training.track import Track
else:
    __getattr__, __dir__ = attach_imports(__name__, __file__)

__all__ = [
    "PATHS",
    "CutConfig",
    "DistilConfig",
    "FitConfig",
    "GrowConfig",
    "Hook",
    "LiveConfig",
    "Moment",
    "PathConfig",
    "PruneConfig",
    "Pruner",
    "Run",
    "Teacher",
    "Track",
    "find_path",
    "fit",
    "prune",
    "register_hook",
    "sparsity",
    "training_device",
]
