"""Folders that this library writes, opened by transformers' own ``from_pretrained``.

config.json of such a folder names our model type, so the Auto classes find the acn class, and the
class loads the folder as :func:`autocompress.load` does, with all its checks.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import nn

from autocompress.errors import ConfigError

__all__ = ["load_ours", "model_type", "host_values"]

#: Arguments of ``from_pretrained`` that change nothing here, or are answered below.
_KNOWN = frozenset(
    (
        *("config", "dtype", "torch_dtype", "output_loading_info", "trust_remote_code", "revision"),
        *("local_files_only", "token", "cache_dir", "use_safetensors", "low_cpu_mem_usage"),
        *("device_map", "_from_auto", "_from_pipeline", "_commit_hash", "adapter_kwargs"),
        *("force_download", "subfolder", "code_revision"),
    )
)


def model_type(model: nn.Module) -> dict[str, str]:
    """Return ``{"model_type": ...}`` for config.json of a host with an acn class; empty without."""
    host: Any = model
    found = getattr(type(getattr(host, "config", None)), "model_type", None)
    ours = isinstance(found, str) and found.startswith("acn-") and hasattr(host, "save_pretrained")
    return {"model_type": str(found)} if ours else {}


def host_values(said: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the values of a host's config, from config.json of a folder of ours or of its own."""
    if said.get("library") != "autocompress" or not isinstance(said.get("arguments"), Mapping):
        return said
    name = str(said.get("source", "")).partition(":")[2]
    return {
        **said["arguments"],
        "model_type": said["model_type"],
        "architectures": [f"Acn{name}"],
        "connectivity": said["connectivity"],
        "num_hidden_layers": said["depth"],
    }


def _of_class(model: Any, cls: Any, path: Any, become: Callable[[Any], None]) -> Any:
    """Return the host if it is of the class that was asked for, or its part that is."""
    if isinstance(model, cls):
        return model
    part, name = model.base_model, type(model).__name__
    if type(part) is not cls.__mro__[2]:  # the plain class: our mixin comes before it
        raise ConfigError(
            f"{path} holds a {name}, not a {cls.__name__}: open it as one (AutoModelFor..., or "
            "autocompress.load)"
        )
    become(part)
    return part


def load_ours(
    cls: Any, path: Any, options: Mapping[str, Any], become: Callable[[Any], None]
) -> Any:
    """Return the host of the network in a folder of ours; None if ``path`` is no such folder.

    Args:
        cls: Acn class that was asked for: the host's, or that of its part without a head.
        path: First argument of ``from_pretrained``.
        options: Its other arguments; ``dtype`` is applied.
        become: Function that turns a module with a trunk into an object of its acn class.

    Raises:
        ConfigError: An argument would be ignored, or the folder holds a network of another class.
        CheckpointError: As for :func:`autocompress.load`, without its tokenizer.
    """
    from autocompress.io.header import read_json
    from autocompress.io.saving import load_for_others
    from autocompress.io.schema import CONFIG

    file = os.path.join(str(path), CONFIG)
    if not isinstance(path, (str, os.PathLike)) or not os.path.isfile(file):
        return None
    said = read_json(Path(file))
    if not isinstance(said, dict) or said.get("library") != "autocompress":
        return None
    strange = sorted(set(options) - _KNOWN)
    if strange or options.get("device_map") not in (None, "cpu"):
        raise ConfigError(
            f"{path} is a folder of autocompress, which is loaded as a whole: "
            f"{strange[0] if strange else 'device_map'} cannot be applied; autocompress.load "
            "takes a device"
        )
    net: Any = load_for_others(path)
    model = _of_class(net.model, cls, path, become)
    dtype = options.get("dtype") or options.get("torch_dtype")
    if dtype is not None and dtype != "auto":
        model = model.to(dtype)
    nothing: dict[str, list[str]] = {
        "missing_keys": [],
        "unexpected_keys": [],
        "mismatched_keys": [],
        "error_msgs": [],
    }
    return (model, nothing) if options.get("output_loading_info") else model
