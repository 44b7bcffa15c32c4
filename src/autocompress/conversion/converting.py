"""``convert``: give a network of another library a trunk and a connectivity of choice."""

from __future__ import annotations

import copy as copying
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from autocompress.connectivity import Spec
from autocompress.conversion.acn_classes import use_acn_classes
from autocompress.conversion.converted import Converted, wrapped
from autocompress.conversion.hf_preparation import adopt_preparation
from autocompress.conversion.host import trunks_of
from autocompress.conversion.hosting import host_network
from autocompress.conversion.interfaces import interface_of, is_known, is_transformer
from autocompress.conversion.layers import BranchCall
from autocompress.conversion.planning import Plan, planned
from autocompress.conversion.sources import OWN, build_source, checkpoint_of, source_of
from autocompress.conversion.verify import check_gradients, check_same
from autocompress.errors import ConvertError
from autocompress.network import Network

__all__ = ["convert"]


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
    """Return a network with ``model``'s weights whose layers are connected by ``connectivity``.

    With ``"residual"`` it computes what ``model`` does. This is verified on a batch: the example,
    or for a network of timm or transformers a small random one. The model is left unchanged.

    Args:
        model: A timm, transformers or custom network; a network that already has a trunk
            (``timm.create_model("acn_...")``), which is only wrapped; or a name, ``"timm:NAME"``
            or ``"hf:NAME"``, of a new network with random weights; ``"hf:FOLDER"`` is a checkpoint
            of transformers, whose tokenizer and preparation of pictures are taken along.
        connectivity: Rule between the layers; None is ``"acn"``, or the rule that the model
            already has.
        blocks: Paths of the lists of layers, as in :func:`plan`.
        branches: Calls of the layers' branches, as in :func:`plan`.
        example: A batch, as in :func:`plan`, on which the result is compared with the model; for a
            custom network gradients in training mode are compared as well.
        copy: Whether to copy the weights; otherwise they are shared and ``model`` is trained too.
        arguments: Arguments for a model given by name: keyword arguments of ``timm.create_model``,
            or values of the transformers config.

    Raises:
        ConvertError: The model cannot be converted completely, or the result would compute
            something else; the message gives the reason.

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
    checkpoint = checkpoint_of(model) if isinstance(model, str) else None
    if isinstance(model, str):
        name, chosen = model, dict(arguments or {})
        model = build_source(name, chosen)
        # timm's name is sufficient; a transformers checkpoint is rebuilt from its config
        source = (
            {"source": name, "arguments": chosen} if name.startswith("timm:") else source_of(model)
        )
    else:
        source = source_of(model)
    if trunks_of(model) and not isinstance(model, Network):
        net = wrapped(_twin(model, copy), source, example)
    else:
        found, seen = planned(model, blocks=blocks, branches=branches, example=example)
        connectivity = connectivity or "acn"
        host = _hosted(model, found, copy)
        if seen is not None:
            check_same(model, host, seen)
        elif is_known(model):
            _warn_unchecked(model)
        if example is not None and not is_known(model):
            check_gradients(model, host, example)
        if seen is not None and is_transformer(model):
            # the list may be longer than the config says
            interface_of(host).shorten(host, found.depth)
            source = source_of(host)
        if any(stage.route != "registered" for stage in found.stages):
            # a folder holds neither code nor a batch, so only the caller can repeat the conversion
            source = {"source": OWN, "arguments": {}}
        if source["source"] == OWN or blocks is not None:
            source["split"] = {stage.path: stage.route for stage in found.stages}
        net = wrapped(host, source, example, seen is not None)
    if connectivity is not None:
        net.set_connectivity(connectivity)
    net.training = model.training
    if checkpoint is not None:
        adopt_preparation(net, checkpoint)
    return net


def _hosted(model: nn.Module, found: Plan, copy: bool) -> nn.Module:
    """Return a copy of ``model`` with trunks in it."""
    host = _twin(model, copy) if found else model
    host_network(host, found)
    use_acn_classes(host)
    return host


def _warn_unchecked(model: nn.Module) -> None:
    if any(tensor.is_meta for tensor in (*model.parameters(), *model.buffers())):
        return
    warnings.warn(
        f"{type(model).__name__} took none of the batches that were made for it, so its conversion "
        "was not compared with it: convert(..., example=BATCH) does so",
        stacklevel=3,
    )


def _twin(model: nn.Module, copy: bool) -> nn.Module:
    """Return a copy of the module structure, with copied or with shared tensors.

    Raises:
        ConvertError: Something in the model cannot be copied.
    """
    tensors: list[torch.Tensor] = [] if copy else [*model.parameters(), *model.buffers()]
    try:
        return copying.deepcopy(model, {id(tensor): tensor for tensor in tensors})
    except (RuntimeError, TypeError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise ConvertError(f"{type(model).__name__} cannot be copied: {reason}") from error
