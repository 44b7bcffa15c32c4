"""``restore``: turn a residual network, cut or not, back into one of its own library."""

from __future__ import annotations

import copy

from torch import nn

from autocompress.conversion.acn_classes import use_plain_classes
from autocompress.conversion.caches import renumber
from autocompress.conversion.converted import Converted
from autocompress.conversion.layers import release
from autocompress.errors import ConvertError

__all__ = ["restore"]


def restore(net: Converted) -> nn.Module:
    """Return the host with plain layers in its list, without any trace of autocompress.

    A transformers model then saves itself (``save_pretrained``) as a checkpoint of k layers that
    transformers loads by itself; a timm model's state_dict fits
    ``timm.create_model(name, depth=k)``.

    Args:
        net: A converted network. It is left unchanged and its weights are copied.

    Raises:
        ConvertError: The connectivity is not residual, so no other library would compute it.

    Example:
        >>> import torch, autocompress as ac
        >>> layers = nn.Sequential(*(nn.TransformerEncoderLayer(8, 2) for _ in range(3)))
        >>> model = nn.Sequential(layers, nn.Linear(8, 3))
        >>> net = ac.convert(model.eval(), "residual", example=torch.randn(5, 4, 8))
        >>> [type(layer).__name__ for layer in restore(ac.cut(net, 2))[0]]
        ['TransformerEncoderLayer', 'TransformerEncoderLayer']
    """
    if net.depth and net.rule() != "residual":  # without layers there is nothing to connect
        raise ConvertError(
            f"connectivity {net.rule()!r} needs autocompress to run; only a residual network is "
            "what its own library computes: save this one with autocompress.save"
        )
    model = copy.deepcopy(net.model)
    for path, trunk in zip(net.paths, net.trunks, strict=True):
        twin = model.get_submodule(path)
        layers = [release(twin.get_submodule(str(index))) for index in range(len(trunk))]
        renumber(layers)
        container = nn.Sequential(*layers) if trunk.sequential else nn.ModuleList(layers)
        model.set_submodule(path, container)
    use_plain_classes(model)
    return model
