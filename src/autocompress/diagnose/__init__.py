"""Diagnose training: direct and mediated gradients, what each layer adds, the scalar theory."""

from autocompress.diagnose.layer_gradients import LayerGradients, gradients, increments
from autocompress.diagnose.recorder import GradientRecorder
from autocompress.diagnose.theory import ScalarNet

__all__ = ["GradientRecorder", "LayerGradients", "ScalarNet", "gradients", "increments"]
