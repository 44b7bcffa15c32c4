"""Put trunks into a host in place of its lists of layers, so that our loop runs them."""

from __future__ import annotations

from torch import nn

from autocompress.conversion.caches import renumber
from autocompress.conversion.host import HostTrunk
from autocompress.conversion.layers import adopt
from autocompress.conversion.planning import Plan
from autocompress.conversion.verify import layers_at
from autocompress.errors import ConvertError

__all__ = ["host_network"]


def host_network(model: nn.Module, found: Plan) -> list[str]:
    """Put residual trunks in place of ``model``'s lists of layers; return their paths.

    Raises:
        ConvertError: The plan has refusals.
    """
    if not found:
        raise ConvertError(f"{found.model} cannot be converted: {'; '.join(found.refusals)}")
    for stage in found.stages:
        container = model.get_submodule(stage.path)
        own = layers_at(model, stage.path)
        renumber(own)
        layers = [adopt(layer, kind) for layer, kind in zip(own, stage.kinds, strict=True)]
        trunk = HostTrunk(layers, "residual", isinstance(container, nn.Sequential))
        trunk.training = trunk.connectivity.training = container.training  # layers keep their own
        model.set_submodule(stage.path, trunk)
    return [stage.path for stage in found.stages]
