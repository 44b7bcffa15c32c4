"""Encode boolean tensors as short JSON."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

__all__ = ["pack_bits", "unpack_bits"]


def pack_bits(values: Tensor) -> dict[str, Any]:
    """Return booleans of any shape as a compact JSON object.

    Example:
        >>> hits = torch.tensor([[True, False], [False, True]])
        >>> bool((unpack_bits(pack_bits(hits)) == hits).all())
        True
    """
    bits = np.packbits(values.cpu().numpy().flatten())
    text = base64.b64encode(zlib.compress(bits.tobytes(), 9)).decode()
    return {"shape": list(values.shape), "bits": text}


def unpack_bits(packed: Mapping[str, Any]) -> Tensor:
    """Return the tensor that was passed to :func:`pack_bits`."""
    raw = np.frombuffer(zlib.decompress(base64.b64decode(packed["bits"])), dtype=np.uint8)
    count = int(np.prod(packed["shape"]))
    return torch.from_numpy(np.unpackbits(raw, count=count)).bool().reshape(packed["shape"])
