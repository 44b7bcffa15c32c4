"""Diagnose training: direct and mediated gradients, what each layer adds, the scalar theory."""

from typing import TYPE_CHECKING

from autocompress.lazy import attach_imports

if TYPE_CHECKING:
    from autocompress.diagnose.layer_gradients import LayerGradients, gradients, increments
    from autocompress.diagnose.recorder import GradientRecorder
    from autocompress.diagnose.theory import ScalarNet
else:
    __getattr__, __dir__ = attach_imports(__name__, __file__)

__all__ = ["GradientRecorder", "LayerGradients", "ScalarNet", "gradients", "increments"]
