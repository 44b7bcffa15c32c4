"""``convert``: a network of another library becomes one whose connectivity can be chosen."""

from __future__ import annotations

import copy as copying
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from autocompress.connectivity import Spec
from autocompress.convert.converted import Converted
from autocompress.convert.faces import comes_from, face_of
from autocompress.convert.host import HostTrunk, trunks_of
from autocompress.convert.layers import BranchCall, adopt
from autocompress.convert.plan import Plan, plan
from autocompress.convert.sources import build_source, source_of
from autocompress.convert.verify import check_same
from autocompress.errors import ConvertError
from autocompress.network import Network

__all__ = ["convert", "host_network"]


def convert(
    model: nn.Module | str,
    connectivity: Spec | None = None,
    *,
    blocks: str | Sequence[str] | None = None,
    branches: BranchCall | Sequence[BranchCall] | None = None,
    example: Any = None,
    copy: bool = True,
    arguments: Mapping[str, Any] | None = None,
) -> Converted:
    """A new network with ``model``'s weights whose layers are connected by ``connectivity``.

    At ``"residual"`` it computes what ``model`` does. The model is left as it was.

    Args:
        model: a timm, transformers or own network; one that has its trunk already
            (``timm.create_model("acn_...")``), which gets the face of a network; or a name,
            ``"timm:NAME"`` or ``"hf:NAME"``, for a new one with random weights.
        connectivity: the rule; None is ``"acn"``, or the one that the model has already.
        blocks: as in :func:`plan`.
        branches: as in :func:`plan`.
        example: as in :func:`plan`; the converted network is also compared with the model on it.
        copy: copy the weights; False shares them with ``model``, which then trains along.
        arguments: of a model given by name: keyword arguments of ``timm.create_model``, or values
            of the transformers config.

    Raises:
        ConvertError: it cannot be converted, all of it, or (with an example) it would compute
            something else; the message says why.

    Example:
        >>> class Layer(nn.Module):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.body = nn.Linear(4, 4)
        ...     def forward(self, x):
        ...         return x + self.body(x)
        >>> model = nn.Sequential(nn.Linear(2, 4), nn.Sequential(Layer(), Layer()), nn.Linear(4, 3))
        >>> net = convert(model, "acn", example=torch.randn(5, 2))
        >>> net.depth, net.cut(1)(torch.randn(5, 2)).shape
        (2, torch.Size([5, 3]))
    """
    if isinstance(model, str):
        name, chosen = model, dict(arguments or {})
        model = build_source(name, chosen)
        # a name of timm says all; a transformers checkpoint is built again from its config
        source = {"source": name, "arguments": chosen} if _is_timm(name) else source_of(model)
    else:
        source = source_of(model)
    if trunks_of(model) and not isinstance(model, Network):
        host = _twin(model, copy)
        paths = [path for path, m in host.named_modules() if isinstance(m, HostTrunk)]
    else:
        found = plan(model, blocks=blocks, branches=branches, example=example)
        connectivity = connectivity or "acn"
        host = _twin(model, copy) if found else model
        paths = host_network(host, found)
        _keep_promises(host)
        if example is not None:
            check_same(model, host, face_of(model), example)
    net = Converted.__new__(Converted)
    nn.Module.__init__(net)
    net.take(host, paths, source, example)
    if connectivity is not None:
        net.set_connectivity(connectivity)
    net.training = model.training
    return net


def host_network(model: nn.Module, found: Plan) -> list[str]:
    """Put residual trunks where ``model`` keeps its layers, in place; their paths.

    Raises:
        ConvertError: the plan has refusals.
    """
    if not found:
        raise ConvertError(f"{found.model} cannot be converted: {'; '.join(found.refusals)}")
    for stage in found.stages:
        container = model.get_submodule(stage.path)
        layers = [
            adopt(layer, kind)
            for layer, kind in zip(container.children(), stage.kinds, strict=True)
        ]
        trunk = HostTrunk(layers, "residual", isinstance(container, nn.Sequential))
        parent, _, name = stage.path.rpartition(".")
        setattr(model.get_submodule(parent), name, trunk.train(container.training))
    return [stage.path for stage in found.stages]


def _is_timm(name: str) -> bool:
    return name.startswith("timm:")


def _keep_promises(model: nn.Module) -> None:
    """What else of its library a host with a trunk must still do, in its own classes."""
    if comes_from(model, "transformers"):
        from autocompress.convert import hf_classes

        hf_classes.become_acn(model)
    if comes_from(model, "timm"):
        from autocompress.convert import timm_models

        timm_models.become_acn(model)


def _twin(model: nn.Module, copy: bool) -> nn.Module:
    """A copy of the structure, with copies of the tensors or the tensors themselves."""
    tensors: list[torch.Tensor] = [] if copy else [*model.parameters(), *model.buffers()]
    return copying.deepcopy(model, {id(tensor): tensor for tensor in tensors})
