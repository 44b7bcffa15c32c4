"""``convert``: a network of another library becomes one whose connectivity can be chosen."""

from __future__ import annotations

import copy as copying
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from autocompress.connectivity import Spec
from autocompress.conversion.converted import Converted, faced
from autocompress.conversion.faces import PlainFace, comes_from, face_of
from autocompress.conversion.host import trunks_of
from autocompress.conversion.hosting import host_network
from autocompress.conversion.layers import BranchCall
from autocompress.conversion.planning import Plan, planned
from autocompress.conversion.promises import keep_promises
from autocompress.conversion.sources import build_source, source_of
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

    At ``"residual"`` it computes what ``model`` does, which is tried on a batch: the example, or,
    for a network of timm or transformers, a small one of random content. The model is left as it
    was.

    Args:
        model: A timm, transformers or own network; one that has its trunk already
            (``timm.create_model("acn_...")``), which gets the face of a network; or a name,
            ``"timm:NAME"`` or ``"hf:NAME"``, for a new one with random weights.
        connectivity: The rule; None is ``"acn"``, or the one that the model has already.
        blocks: As in :func:`plan`.
        branches: As in :func:`plan`.
        example: As in :func:`plan`; the converted network is also compared with the model on it,
            one of your own also in its gradients in training mode.
        copy: Copy the weights; False shares them with ``model``, which then trains along.
        arguments: Of a model given by name: keyword arguments of ``timm.create_model``, or values
            of the transformers config.

    Raises:
        ConvertError: It cannot be converted, all of it, or it would compute something else than
            the model; the message says why.

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
        net = faced(_twin(model, copy), source, example)
    else:
        found, seen = planned(model, blocks=blocks, branches=branches, example=example)
        connectivity = connectivity or "acn"
        host = _hosted(model, found, copy)
        if seen is not None:
            check_same(model, host, seen)
        elif type(face_of(model)) is not PlainFace:
            _warn_unchecked(model)
        if example is not None and type(face_of(model)) is PlainFace:
            check_gradients(model, host, example)
        if seen is not None and comes_from(model, "transformers"):
            face_of(host).shorten(host, found.depth)  # a list may be longer than its config says
            source = source_of(host)
        net = faced(host, source, example, seen is not None)
    if connectivity is not None:
        net.set_connectivity(connectivity)
    net.training = model.training
    return net


def _hosted(model: nn.Module, found: Plan, copy: bool) -> nn.Module:
    """A twin of ``model`` with trunks in it."""
    host = _twin(model, copy) if found else model
    host_network(host, found)
    keep_promises(host)
    return host


def _is_timm(name: str) -> bool:
    return name.startswith("timm:")


def _warn_unchecked(model: nn.Module) -> None:
    if any(tensor.is_meta for tensor in (*model.parameters(), *model.buffers())):
        return
    warnings.warn(
        f"{type(model).__name__} took none of the batches that were made for it, so its conversion "
        "was not compared with it: convert(..., example=BATCH) does so",
        stacklevel=3,
    )


def _twin(model: nn.Module, copy: bool) -> nn.Module:
    """A copy of the structure, with copies of the tensors or the tensors themselves.

    Raises:
        ConvertError: Something in the model cannot be copied.
    """
    tensors: list[torch.Tensor] = [] if copy else [*model.parameters(), *model.buffers()]
    try:
        return copying.deepcopy(model, {id(tensor): tensor for tensor in tensors})
    except (RuntimeError, TypeError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise ConvertError(f"{type(model).__name__} cannot be copied: {reason}") from error
