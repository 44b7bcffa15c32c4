"""model.safetensors: a network's tensors, each written once and checked when read.

A tensor with several names in the network (tied weights) is written under the first of them; the
file's metadata map the other names to it, as ``safetensors.torch.save_model`` does.
"""

from __future__ import annotations

import errno
import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import cast

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load as _from_safetensors
from safetensors.torch import save as _to_bytes
from safetensors.torch import save_file
from torch import Tensor, nn

from autocompress.errors import CheckpointError
from autocompress.io.header import HASH, Header, read_header
from autocompress.io.quantised import quantised, size_of
from autocompress.io.skeleton import is_empty

#: Size in bytes up to which a file is read at once, which is faster than tensor by tensor.
SMALL = 32 << 20

__all__ = [
    "check_fits",
    "own_buffers",
    "places",
    "put_weights",
    "read_tensors",
    "read_weights",
    "unique",
    "weights_bytes",
    "write_weights",
]


def weights_bytes(net: nn.Module) -> int:
    """Return the size in bytes of ``net``'s model.safetensors without writing it.

    A quantised network has no such file; it is the size of its tensors.

    Example:
        >>> weights_bytes(nn.Linear(3, 2))  # 8 float32 and the header
        272
    """
    if quantised(net) is not None:
        return size_of(net)
    tensors, metadata = unique(net.state_dict())
    return len(_to_bytes(tensors, {**metadata, HASH: "0" * 64}))


def write_weights(
    net: nn.Module,
    path: Path,
    metadata: Mapping[str, str] | None = None,
    buffers: Mapping[str, Tensor] | None = None,
    without: Collection[str] = (),
) -> None:
    """Write ``net``'s state_dict to ``path``, with the permissions of any new file.

    Args:
        net: The network.
        path: The file.
        metadata: Texts for the file's header.
        buffers: Tensors to write besides the state_dict.
        without: Names of the state_dict that are not written.

    Raises:
        OSError: The file cannot be written.
    """
    state = {name: tensor for name, tensor in net.state_dict().items() if name not in without}
    tensors, names = unique({**state, **(buffers or {})})
    path.touch()
    mode = path.stat().st_mode
    try:
        save_file(tensors, path, {**names, **(metadata or {})})
        _sort_metadata(path)
        path.chmod(mode)  # safetensors lets only the owner read its files
    except SafetensorError as error:  # safetensors reports e.g. a full disk this way
        code = errno.ENOSPC if "os error 28" in str(error) else errno.EIO
        raise OSError(code, str(error)) from error


def read_weights(net: nn.Module, path: Path, header: Header | None = None) -> None:
    """Load the tensors of ``path`` into ``net``, which takes over their dtypes.

    Tensors of ``net`` without memory (:mod:`autocompress.io.skeleton`) are replaced by those of
    the file; a tensor that the file has under several names becomes one tensor in ``net``.

    Args:
        net: The network.
        path: The file.
        header: Header of the file, if it has been read already.

    Raises:
        CheckpointError: The file is truncated, or its names or shapes are not those of ``net``.
    """
    header = header or read_header(path)
    own = check_fits(net, header)
    put_weights(net, header, _read(path, header), own)


def put_weights(
    net: nn.Module,
    header: Header,
    saved: Mapping[str, Tensor],
    own: Mapping[str, Tensor] | None = None,
) -> None:
    """Put tensors into ``net``, as :func:`read_weights` does; others keep what they are.

    Args:
        net: The network.
        header: Header of the file that the tensors are from.
        saved: The tensors by name.
        own: Result of :func:`check_fits` for this network and file; None checks it here.

    Raises:
        CheckpointError: The file's names or shapes differ from those of ``net``.
    """
    own, shared = own or check_fits(net, header), dict[tuple[str, bool], Tensor]()
    with torch.no_grad():
        for module, key, name, tensor in places(net):
            if name not in saved:  # e.g. a buffer that its module creates itself
                continue
            if name in own and not is_empty(tensor):
                tensor.data = tensor.data.to(saved[name].dtype)
                tensor.copy_(saved[name])
                continue
            is_parameter = isinstance(tensor, nn.Parameter)
            place = (header.aliases.get(name, name), is_parameter)
            if place not in shared:
                new = saved[name].clone()  # the file's mapped pages would change with the file
                shared[place] = nn.Parameter(new, tensor.requires_grad) if is_parameter else new
            if type(module).__setattr__ is not nn.Module.__setattr__:
                setattr(module, key, shared[place])  # recurrent layers also keep a list of weights
            elif is_parameter:
                module._parameters[key] = cast(nn.Parameter, shared[place])
            else:
                module._buffers[key] = shared[place]


def check_fits(net: nn.Module, header: Header) -> dict[str, Tensor]:
    """Raise CheckpointError unless a file lists the tensors of ``net``: names, shapes, types.

    Besides the state_dict it may hold buffers that are not saved otherwise.

    Returns:
        The state_dict, with the parameters and buffers themselves.
    """
    own = net.state_dict(keep_vars=True)
    names = [*header.shapes, *header.aliases]
    more = own_buffers(net) if len(names) > len(own) else {}
    shapes = {name: header.shapes[header.aliases.get(name, name)] for name in names}
    differences = [f"{name} is missing" for name in own if name not in shapes]
    differences += [f"{n} is unknown here" for n in names if n not in own and n not in more]
    for name, tensor in (own | more).items():
        if name not in shapes:
            continue
        if shapes[name] != tuple(tensor.shape):
            differences.append(f"{name} is {shapes[name]} there and {tuple(tensor.shape)} here")
        floats = header.aliases.get(name, name) in header.floating
        if floats != (tensor.is_floating_point() or tensor.is_complex()):
            kinds = ("integers", "floats")
            differences.append(f"{name} is of {kinds[floats]} there and {kinds[not floats]} here")
    if differences:
        rest = f" and {len(differences) - 3} more" if len(differences) > 3 else ""
        raise CheckpointError(
            f"{header.path} holds the weights of another model: {'; '.join(differences[:3])}{rest}"
        )
    return own


def own_buffers(net: nn.Module) -> dict[str, Tensor]:
    """Return the buffers that a state_dict omits, by name."""
    return {
        name: tensor
        for module, key, name, tensor in places(net)
        if key in module._non_persistent_buffers_set
    }


def places(net: nn.Module) -> Iterator[tuple[nn.Module, str, str, Tensor]]:
    """Yield each place of a parameter or buffer: module, key in it, full name, tensor."""
    for path, module in net.named_modules(remove_duplicate=False):
        for key, tensor in [*module._parameters.items(), *module._buffers.items()]:
            if tensor is not None:
                yield module, key, f"{path}.{key}" if path else key, tensor


def _sort_metadata(path: Path) -> None:
    """Sort the metadata in the file's header in place, since safetensors writes a random order.

    The same network then always gives the same file, byte for byte.
    """
    with path.open("r+b") as file:
        size = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(size))
        said = {"__metadata__": dict(sorted(header.pop("__metadata__").items())), **header}
        text = json.dumps(said, separators=(",", ":"), ensure_ascii=False).encode().ljust(size)
        if len(text) == size:
            file.seek(8)
            file.write(text)


def unique(state: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return each tensor once and contiguous, and the metadata with the other names."""
    first: dict[tuple[object, ...], str] = {}
    tensors: dict[str, Tensor] = {}
    metadata = {"format": "pt"}
    for name in sorted(state):
        tensor = state[name]
        place = (tensor.device, tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.dtype)
        kept = first.setdefault(place, name) if tensor.numel() else name
        if kept != name:
            metadata[name] = kept
            continue
        whole = tensor.untyped_storage().nbytes() == tensor.nbytes and tensor.is_contiguous()
        tensors[name] = tensor if whole else tensor.clone(memory_format=torch.contiguous_format)
    return tensors, metadata


def _from_bytes(data: bytes, header: Header) -> dict[str, Tensor]:
    tensors = _from_safetensors(data)
    return tensors | {name: tensors[kept] for name, kept in header.aliases.items()}


def _read(path: Path, header: Header) -> dict[str, Tensor]:
    try:
        if header.size <= SMALL:
            return _from_bytes(path.read_bytes(), header)
    except (SafetensorError, OSError, KeyError, ValueError, TypeError) as error:
        raise CheckpointError(f"{path} is truncated or damaged: {error}") from error
    return read_tensors(header, header.shapes)


def read_tensors(header: Header, names: Iterable[str]) -> dict[str, Tensor]:
    """Return the tensors of these names, also under the other names that they have.

    Args:
        header: Header of the file.
        names: Names that the header lists; no other tensor is read.

    Raises:
        CheckpointError: The file is truncated or damaged.
    """
    path = header.path
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in names}
    except (SafetensorError, OSError, KeyError, ValueError, TypeError) as error:
        raise CheckpointError(f"{path} is truncated or damaged: {error}") from error
    aliases = header.aliases.items()
    return tensors | {name: tensors[kept] for name, kept in aliases if kept in tensors}
