"""``convert``: a network of another library becomes one whose connectivity can be chosen."""

from __future__ import annotations

import copy as copying
from collections.abc import Sequence

import torch
from torch import nn

from autocompress.connectivity import Spec
from autocompress.convert.converted import Converted
from autocompress.convert.host import HostTrunk
from autocompress.convert.layers import adopt, kind_of
from autocompress.convert.plan import Plan, plan
from autocompress.convert.sources import source_of
from autocompress.errors import ConvertError

__all__ = ["convert", "host_network"]


def convert(
    model: nn.Module,
    connectivity: Spec = "acn",
    *,
    blocks: str | Sequence[str] | None = None,
    copy: bool = True,
) -> Converted:
    """A new network with ``model``'s weights whose layers are connected by ``connectivity``.

    At ``"residual"`` it computes exactly what ``model`` does. The model is left as it was.

    Args:
        model: a timm, transformers or own network.
        connectivity: the rule.
        blocks: path of its list of layers; None finds it (:func:`plan` shows).
        copy: copy the weights; False shares them with ``model``, which then trains along.

    Raises:
        ConvertError: it cannot be converted, all of it; the message says why.
    """
    found = plan(model, blocks=blocks)
    source = source_of(model)
    host = _twin(model, copy)
    paths = host_network(host, found=found)
    net = Converted.__new__(Converted)
    nn.Module.__init__(net)
    net.take(host, paths, source).set_connectivity(connectivity)
    return net.train(model.training)


def host_network(
    model: nn.Module,
    *,
    blocks: str | Sequence[str] | None = None,
    found: Plan | None = None,
) -> list[str]:
    """Put residual trunks where ``model`` keeps its layers, in place; their paths.

    Raises:
        ConvertError: the plan has refusals.
    """
    found = plan(model, blocks=blocks) if found is None else found
    if not found:
        raise ConvertError(f"{found.model} cannot be converted: {'; '.join(found.refusals)}")
    for stage in found.stages:
        layers = list(model.get_submodule(stage.path).children())
        for layer in layers:
            kind = kind_of(layer)
            assert kind is not None  # the plan has seen to it
            adopt(layer, kind)
        parent, _, name = stage.path.rpartition(".")
        setattr(model.get_submodule(parent), name, HostTrunk(layers, "residual"))
    return [stage.path for stage in found.stages]


def _twin(model: nn.Module, copy: bool) -> nn.Module:
    """A copy of the structure, with copies of the tensors or the tensors themselves."""
    tensors: list[torch.Tensor] = [] if copy else [*model.parameters(), *model.buffers()]
    return copying.deepcopy(model, {id(tensor): tensor for tensor in tensors})
