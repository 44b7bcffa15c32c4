"""Keep the features of a host's library working: saving, intermediates, checkpointing."""

from __future__ import annotations

from torch import nn

from autocompress.conversion import hf_classes, timm_models
from autocompress.conversion.faces import comes_from
from autocompress.conversion.layers import SplitLayer

__all__ = ["keep_promises"]


def keep_promises(model: nn.Module) -> None:
    """Swap in subclasses that keep the library's own features (saving, intermediates) working."""
    if comes_from(model, "transformers"):
        hf_classes.become_acn(model)
    if comes_from(model, "timm"):
        timm_models.become_acn(model)
        _recompute_layers(model)


def _recompute_layers(model: nn.Module) -> None:
    """Recompute each layer by itself where timm would recompute its list of layers as a whole."""
    for module in model.modules():
        if getattr(module, "grad_checkpointing", False):
            module.grad_checkpointing = False  # type: ignore[assignment]
            for layer in module.modules():
                if isinstance(layer, SplitLayer):
                    layer.recompute = True
