"""model.safetensors: a network's tensors, written once each and read back checked.

A tensor that has several names in the network (tied weights) is written under the first of them;
the file's metadata maps the other names to it, as ``safetensors.torch.save_model`` does.
"""

from __future__ import annotations

import errno
import hashlib
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as _to_bytes
from safetensors.torch import save_file
from torch import Tensor, nn

from autocompress.errors import CheckpointError

__all__ = ["is_readable", "read_weights", "sha256", "weights_bytes", "write_weights"]


def weights_bytes(net: nn.Module) -> int:
    """Size in bytes of the model.safetensors that saving ``net`` writes; nothing is written.

    Example:
        >>> weights_bytes(nn.Linear(3, 2))  # 8 float32 and the header
        192
    """
    tensors, metadata = _unique(net.state_dict())
    return len(_to_bytes(tensors, metadata))


def write_weights(net: nn.Module, path: Path) -> None:
    """Write ``net``'s state_dict to ``path``, with the mode that any new file has.

    Raises:
        OSError: it cannot be written.
    """
    tensors, metadata = _unique(net.state_dict())
    path.touch()
    mode = path.stat().st_mode
    try:
        save_file(tensors, path, metadata)
        path.chmod(mode)  # safetensors writes files that only their owner may read
    except SafetensorError as error:  # how safetensors reports a full disk, among others
        code = errno.ENOSPC if "os error 28" in str(error) else errno.EIO
        raise OSError(code, str(error)) from error


def read_weights(net: nn.Module, path: Path) -> None:
    """Put the tensors of ``path`` into ``net``, which takes over their dtypes.

    Raises:
        CheckpointError: the file is truncated, or its names or shapes are not those of ``net``.
    """
    saved = _read(path)
    own = net.state_dict(keep_vars=True)
    _check_same(saved, own, path)
    with torch.no_grad():
        for name, tensor in own.items():
            tensor.data = tensor.data.to(saved[name].dtype)
            tensor.copy_(saved[name])


def sha256(path: Path) -> str:
    """The file's SHA-256 in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def is_readable(path: Path) -> bool:
    """Whether ``path`` is a complete safetensors file."""
    try:
        with safe_open(path, framework="pt"):
            return True
    except SafetensorError:
        return False


def _unique(state: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Each tensor once and contiguous, and the file's metadata with the other names."""
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


def _read(path: Path) -> dict[str, Tensor]:
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            metadata = file.metadata() or {}
    except SafetensorError as error:
        raise CheckpointError(f"{path} is truncated or damaged: {error}") from error
    others = {n: tensors[kept] for n, kept in metadata.items() if kept in tensors}
    return tensors | others


def _check_same(saved: Mapping[str, Tensor], own: Mapping[str, Tensor], path: Path) -> None:
    missing = [f"{name} is missing" for name in own if name not in saved]
    unknown = [f"{name} is unknown here" for name in saved if name not in own]
    shapes = [
        f"{name} is {tuple(saved[name].shape)} there and {tuple(own[name].shape)} here"
        for name in own
        if name in saved and saved[name].shape != own[name].shape
    ]
    differences = missing + unknown + shapes
    if differences:
        more = f" and {len(differences) - 3} more" if len(differences) > 3 else ""
        raise CheckpointError(
            f"{path} holds the weights of another model: {'; '.join(differences[:3])}{more}"
        )
