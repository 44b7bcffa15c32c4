"""``restore``: a residual network, cut or not, as its own library knows it."""

from __future__ import annotations

import copy

from torch import nn

from autocompress.conversion.converted import Converted
from autocompress.conversion.faces import comes_from
from autocompress.conversion.layers import release
from autocompress.errors import ConvertError

__all__ = ["restore"]


def restore(net: Converted) -> nn.Module:
    """The host with plain layers in its list: nothing of autocompress is left in it.

    A transformers model saves itself (``save_pretrained``) as a checkpoint of k layers that
    transformers loads without us; a timm model's state_dict fits
    ``timm.create_model(name, depth=k)``.

    Args:
        net: A converted network; it is left as it was, and the weights are copied.

    Raises:
        ConvertError: Its connectivity is not residual, which no other library would compute.
    """
    if net.rule() != "residual":
        raise ConvertError(
            f"connectivity {net.rule()!r} needs autocompress to run; only a residual network is "
            "what its own library computes: save this one with autocompress.save"
        )
    model = copy.deepcopy(net.model)
    for path, trunk in zip(net.paths, net.trunks, strict=True):
        twin = model.get_submodule(path)
        layers = [release(twin.get_submodule(str(index))) for index in range(len(trunk))]
        parent, _, name = path.rpartition(".")
        container = nn.Sequential(*layers) if trunk.sequential else nn.ModuleList(layers)
        setattr(model.get_submodule(parent), name, container)
    if comes_from(model, "transformers"):
        from autocompress.conversion.hf_classes import become_plain

        become_plain(model)
    if comes_from(model, "timm"):
        from autocompress.conversion.timm_models import become_plain as become_plain_timm

        become_plain_timm(model)
    return model
