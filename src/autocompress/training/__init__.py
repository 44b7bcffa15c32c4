"""Training on Accelerate: resumable, seeded, one loop."""

from autocompress.training.config import AnnealConfig, FitConfig, Run
from autocompress.training.loop import fit, training_device

__all__ = ["AnnealConfig", "FitConfig", "Run", "fit", "training_device"]
