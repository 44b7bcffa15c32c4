"""Keep the features of a host's library working: saving, intermediates, checkpointing."""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn

from autocompress.conversion import hf_classes, timm_models
from autocompress.conversion.host import trunks_of
from autocompress.conversion.interfaces import comes_from, is_transformer
from autocompress.conversion.layers import SplitLayer

__all__ = ["use_plain_classes", "use_acn_classes"]


def use_acn_classes(model: nn.Module) -> None:
    """Swap in subclasses that keep the library's own features (saving, intermediates) working.

    If another library wraps the host, the wrapped model gets them.
    """
    for host in list(_known(model)):
        if not trunks_of(host):
            continue
        if is_transformer(host):
            hf_classes.become_acn(host)
        else:
            timm_models.become_acn(host)
            _recompute_layers(host)


def use_plain_classes(model: nn.Module) -> None:
    """Undo :func:`use_acn_classes`, in place."""
    for host in list(_known(model)):
        hf_classes.become_plain(host)
        timm_models.become_plain(host)


def _known(model: nn.Module) -> Iterator[nn.Module]:
    """Yield the outermost modules that are models of transformers or timm."""
    if is_transformer(model) or _is_timm(model):
        yield model
        return
    for child in model.children():
        yield from _known(child)


def _is_timm(model: nn.Module) -> bool:
    return comes_from(model, "timm") and hasattr(type(model), "forward_features")


def _recompute_layers(model: nn.Module) -> None:
    """Recompute each layer by itself where timm would recompute its list of layers as a whole."""
    for module in model.modules():
        if getattr(module, "grad_checkpointing", False):
            module.grad_checkpointing = False  # type: ignore[assignment]
            for layer in module.modules():
                if isinstance(layer, SplitLayer):
                    layer.recompute = True
