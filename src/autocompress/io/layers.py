"""The first layers of a saved network, without reading the others.

config.json has a hash for each layer's tensors, and one for all that belong to no layer, so what is
read can be checked without the rest of the file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from autocompress.errors import CheckpointError, DepthError
from autocompress.io.header import Header
from autocompress.io.weights import places, put_weights, read_tensors, unique

__all__ = ["hash_of_tensors", "layer_hashes", "read_first"]

#: Group of the tensors that every depth needs: stem, head, connectivity.
_REST = -1


def layer_hashes(net: nn.Module, buffers: Mapping[str, Tensor]) -> list[str] | None:
    """Return SHA-256 of the tensors that belong to no layer, then of each layer's; None without.

    Args:
        net: The network.
        buffers: Tensors that are written besides its state_dict.
    """
    layers = _layers(net)
    if not layers:
        return None
    tensors, metadata = unique({**net.state_dict(), **buffers})
    groups = _groups(net, tensors, metadata)
    return [_hash_of(tensors, groups, at) for at in range(_REST, len(layers))]


def read_first(net: nn.Module, header: Header, depth: int, hashes: Sequence[Any]) -> None:
    """Put the tensors that the first ``depth`` layers need into ``net``; no other is read.

    Args:
        net: The whole network, without weights.
        header: Header of the weights.
        depth: Number of layers.
        hashes: Result of :func:`layer_hashes` when it was saved.

    Raises:
        DepthError: ``depth`` is not in 0..L.
        CheckpointError: A tensor was altered since it was saved.
    """
    layers = _layers(net)
    if not 0 <= depth <= len(layers):
        raise DepthError(depth, len(layers))
    groups = _groups(net, header.shapes, header.aliases)
    wanted = [name for name in header.shapes if groups[name] < depth]
    saved = read_tensors(header, wanted)
    for at in range(_REST, depth):
        if hashes[at - _REST : at - _REST + 1] != [_hash_of(saved, groups, at)]:
            what = "a tensor outside of the layers" if at == _REST else f"layer {at}"
            raise CheckpointError(
                f"{header.path} was altered since it was saved: {what} has another SHA-256 than "
                "config.json says"
            )
    put_weights(net, header, saved)


def _layers(net: nn.Module) -> list[nn.Module]:
    """Return the layers of all trunks, in the order in which a cut keeps them."""
    return [layer for trunk in getattr(net, "trunks", ()) for layer in trunk.blocks]


def _groups(net: nn.Module, names: Iterable[str], aliases: Mapping[str, str]) -> dict[str, int]:
    """Return the layer that each written tensor belongs to.

    It is the first layer that uses the tensor, which may have several names; :data:`_REST` if
    something outside of the layers does.
    """
    owner: dict[int, int] = {}
    for at, layer in enumerate(_layers(net)):
        for module in layer.modules():
            owner.setdefault(id(module), at)
    used: dict[str, int] = {}
    for module, _, name, _ in places(net):
        kept = aliases.get(name, name)
        group = owner.get(id(module), _REST)
        used[kept] = min(group, used.get(kept, group))
    return {name: used.get(name, _REST) for name in names}


def _hash_of(tensors: Mapping[str, Tensor], groups: Mapping[str, int], group: int) -> str:
    return hash_of_tensors({name: tensors[name] for name, at in groups.items() if at == group})


def hash_of_tensors(tensors: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 of tensors with their names, types and shapes, in hexadecimal.

    Example:
        >>> one = {"weight": torch.ones(2)}
        >>> hash_of_tensors(one) == hash_of_tensors({"weight": torch.ones(2, 1)})
        False
    """
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        if tensor.numel():
            numbers: Any = tensor.reshape(-1).view(torch.uint8).numpy()
            digest.update(numbers)
    return digest.hexdigest()
