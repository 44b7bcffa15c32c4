"""Load transformers checkpoints that a user names: weights without code, within size limits."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, cast

from torch import nn

from autocompress.conversion.allowlist import check_safe
from autocompress.conversion.hf_classes import acn_class
from autocompress.conversion.offline import check_reached
from autocompress.conversion.pickling import PREFIX as ACN
from autocompress.errors import AutoCompressError, ConfigError
from autocompress.extras import import_extra
from autocompress.io.header import Header, check_sizes, read_header, read_json
from autocompress.io.skeleton import PARTS, PARTS_PER_TENSOR, limited_to

__all__ = ["checkpoint_config", "import_transformers", "load_checkpoint", "with_weights"]


def checkpoint_config(path: str, arguments: Mapping[str, Any] | None = None) -> Any:
    """Return the config of a transformers checkpoint, of an installed class.

    Args:
        path: Folder, or ``user/name`` on the hub.
        arguments: Values that replace those of the config.

    Raises:
        ConfigError: The checkpoint is damaged, its class is unknown to transformers, or it requires
            code that is not installed.
        OSError: There is no such checkpoint.
    """
    transformers: Any = import_transformers()
    folder = Path(path)
    if folder.is_dir():
        _check_folder(folder)
    options = {"trust_remote_code": False, "local_files_only": folder.is_dir()}
    config = transformers.AutoConfig.from_pretrained(path, **options, **(arguments or {}))
    said = config.to_dict()
    said.pop("auto_map", None)  # points to code in the checkpoint; the installed class is used
    check_safe(f"hf:{path}", said)
    for choice in ("_attn_implementation", "_experts_implementation"):
        check_safe(f"hf:{path}", {choice: getattr(config, choice, None)})
    return config


def _bounds_of(path: str) -> AbstractContextManager[object]:
    """Limit the parts of a checkpoint's network to what its weights can fill."""
    if not os.path.isdir(path):
        return nullcontext()
    tensors = sum(len(header.shapes) for header in _headers(Path(path)))
    return limited_to(max(PARTS, PARTS_PER_TENSOR * tensors))


def with_weights(cls: Any, path: str, config: Any) -> nn.Module:
    """Return a network of a transformers class with a checkpoint's weights; a head may be new.

    Args:
        cls: The class.
        path: Folder, or ``user/name`` on the hub.
        config: Its config.

    Raises:
        ConfigError: A weight of some layers is missing, which transformers would draw at random.
    """
    with _bounds_of(path):
        net, said = cls.from_pretrained(
            path,
            config=config,
            output_loading_info=True,
            trust_remote_code=False,
            use_safetensors=True,  # a pickle would run code
            local_files_only=os.path.isdir(path),
        )
    missing = {*said["missing_keys"]}
    there = {_in_any_layer(name) for name in net.state_dict() if name not in missing}
    lost = sorted(name for name in missing if _in_any_layer(name) in there)
    if lost:
        raise ConfigError(
            f"hf:{path} is not complete: it has no {lost[0]}, which it has for other layers"
        )
    return cast(nn.Module, net)


def _in_any_layer(name: str) -> str:
    """Return a weight's name without the number of its layer."""
    return re.sub(r"(?<=\.)\d+(?=\.)", "#", name)


def _headers(folder: Path) -> list[Header]:
    return [read_header(file) for file in sorted(folder.glob("*.safetensors"))]


def _check_folder(folder: Path) -> None:
    try:
        said = read_json(folder / "config.json")
    except FileNotFoundError as error:
        raise ConfigError(f"hf:{folder} is not a checkpoint: it has no config.json") from error
    if not isinstance(said, Mapping):
        raise ConfigError(f"hf:{folder} has a config.json that is not a mapping")
    check_safe(f"hf:{folder}", {key: value for key, value in said.items() if key != "auto_map"})
    if (folder / "adapter_config.json").exists():
        raise ConfigError(
            f"hf:{folder} holds an adapter, which names its base network elsewhere: merge it into "
            "that and save the result (peft: merge_and_unload)"
        )
    if not any(folder.glob("*.safetensors")):
        raise ConfigError(
            f"hf:{folder} has no .safetensors file; other weights are not read, as they may hold "
            "code: load them where you trust them and save_pretrained again"
        )
    largest = max(_headers(folder), key=lambda header: header.largest)
    check_sizes(said, largest, folder / "config.json")


def load_checkpoint(path: str, arguments: Mapping[str, Any]) -> nn.Module:
    """Build the network of a transformers checkpoint, with its weights.

    Args:
        path: Folder, or ``user/name`` on the hub.
        arguments: Values that replace those of the config.

    Raises:
        ConfigError: The checkpoint cannot be loaded, or requires code that is not installed.
    """
    transformers: Any = import_transformers()
    try:
        config = checkpoint_config(path, arguments)
        (name, *_) = config.architectures or ["AutoModel"]
        cls = getattr(transformers, str(name).removeprefix(ACN), None)
        if not (isinstance(cls, type) and issubclass(cls, transformers.PreTrainedModel)):
            cls = transformers.AutoModel
        elif str(name).startswith(ACN):  # a folder of a host with a trunk, which says its rule
            cls = acn_class(cls)
        return with_weights(cls, path, config)
    except AutoCompressError:
        raise
    except Exception as error:  # transformers may raise anything on a checkpoint
        check_reached(f"hf:{path}", error)
        raise ConfigError(f"transformers cannot load {path!r}: {error}") from error


def import_transformers() -> Any:
    """Return transformers; raise MissingExtraError without it."""
    return import_extra("transformers", "transformers", "a transformers model")
