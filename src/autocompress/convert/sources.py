"""What a converted network is built from, by name: how a saved one is made again.

No code comes from a config: a source names a timm model, or a transformers class and its config.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import nn

from autocompress.convert.faces import comes_from
from autocompress.errors import ConfigError, UnknownNameError
from autocompress.extras import import_extra

__all__ = ["OWN", "build_source", "image_arguments", "source_of"]

#: The source of a network that only its owner can build.
OWN = "own"


def build_source(source: str, arguments: Mapping[str, Any]) -> nn.Module:
    """The host that ``source`` names, with random weights or, from a checkpoint, with its own.

    Args:
        source: ``"timm:NAME"``; ``"hf:CLASS"`` with a config's values as arguments; ``"hf:TYPE"``
            (a model type as ``bert``: its base model in its default size, arguments change it);
            or ``"hf:PATH"``, a checkpoint's folder or ``user/name`` on the hub, with its weights.
        arguments: keyword arguments of ``timm.create_model``, or values of the config.

    Raises:
        ConfigError: a source of another form, or arguments it does not take. UnknownNameError: a
        name that the library does not have. MissingExtraError: the library is not installed.
    """
    kind, _, name = source.partition(":")
    if source == OWN:
        raise ConfigError("its class is not ours to build: load(FOLDER, model=A_FRESH_ONE)")
    if kind not in _BUILDERS or not name:
        raise ConfigError(f"source {source!r} is neither 'timm:NAME' nor 'hf:NAME'")
    return _BUILDERS[kind](name, arguments)


def source_of(model: nn.Module) -> dict[str, Any]:
    """``{"source", "arguments"}`` that build a network like ``model`` again; own ones cannot be."""
    if comes_from(model, "transformers") and hasattr(model, "config"):
        host: Any = model
        return {"source": f"hf:{_upstream(type(model)).__name__}", "arguments": _plain(host.config)}
    if comes_from(model, "timm"):
        found = _timm_source(model)
        if found is not None:
            return found
    return {"source": OWN, "arguments": {}}


def _build_timm(name: str, arguments: Mapping[str, Any]) -> nn.Module:
    timm: Any = import_extra("timm", "timm", "a timm model")
    if not timm.is_model(name):
        raise UnknownNameError("timm model", name, timm.list_models())
    try:
        return cast(nn.Module, timm.create_model(name, **arguments))
    except (TypeError, ValueError, AssertionError, RuntimeError) as error:
        raise ConfigError(f"timm cannot build {name!r} with {dict(arguments)}: {error}") from error


def _build_transformers(name: str, arguments: Mapping[str, Any]) -> nn.Module:
    transformers: Any = import_extra("transformers", "transformers", "a transformers model")
    if "/" in name or os.path.isdir(name):
        return _from_checkpoint(transformers, name, arguments)
    try:
        if name in transformers.CONFIG_MAPPING:
            config = transformers.AutoConfig.for_model(name, **arguments)
            return cast(nn.Module, transformers.AutoModel.from_config(config))
        cls = getattr(transformers, name, None)
        if not (isinstance(cls, type) and issubclass(cls, transformers.PreTrainedModel)):
            raise UnknownNameError("transformers model", name, transformers.CONFIG_MAPPING)
        model: Any = cls
        return cast(nn.Module, model(model.config_class(**arguments)))
    except UnknownNameError:
        raise
    except (ImportError, TypeError, ValueError, KeyError, AttributeError, RuntimeError) as error:
        cause = f" ({error.__cause__})" if error.__cause__ else ""  # of an import within its import
        raise ConfigError(f"transformers cannot build {name!r}: {error}{cause}") from error


def _from_checkpoint(transformers: Any, path: str, arguments: Mapping[str, Any]) -> nn.Module:
    try:
        config = transformers.AutoConfig.from_pretrained(path, **arguments)
        names = config.architectures or ["AutoModel"]
        cls = getattr(transformers, names[0], transformers.AutoModel)
        return cast(nn.Module, cls.from_pretrained(path, config=config))
    except (OSError, ValueError, KeyError) as error:
        raise ConfigError(f"transformers cannot load {path!r}: {error}") from error


def image_arguments(
    source: str, classes: int, image_size: int, channels: int
) -> list[dict[str, Any]]:
    """Arguments that fit a host to images, the most telling first: not every host takes a size."""
    if source.startswith("hf:"):
        shape = {"image_size": image_size, "num_channels": channels}
        return [{"num_labels": classes, **shape}]
    counts = {"num_classes": classes, "in_chans": channels}
    return [{**counts, "img_size": image_size}, counts]


_BUILDERS = {"timm": _build_timm, "hf": _build_transformers}


def _upstream(cls: type) -> type:
    """The class of ``cls``'s ancestry that transformers itself has."""
    return next(c for c in cls.__mro__ if c.__module__.startswith("transformers."))


def _plain(config: Any) -> dict[str, Any]:
    """A config's values as JSON, without what only says which library wrote it."""
    written = {"transformers_version", "architectures", "model_type", "dtype", "connectivity"}
    return {key: value for key, value in config.to_dict().items() if key not in written}


def _timm_source(model: nn.Module) -> dict[str, Any] | None:
    """The name and arguments that give the same shapes; None where guessing fails.

    Shapes do not tell all (the number of heads, say): saving looks at the outputs too.
    """
    host: Any = model
    noted = getattr(host, "acn_source", None)  # a model that our own entry point has made
    if noted is not None:
        return {**noted, "arguments": {**noted["arguments"], "num_classes": host.num_classes}}
    # a host with trunks says that it is one; its layers are built by the plain name
    name = (
        (getattr(host, "pretrained_cfg", None) or {}).get("architecture", "").removeprefix("acn_")
    )
    if not name:
        return None
    patches = getattr(host, "patch_embed", None)
    size, patch = (getattr(patches, key, None) for key in ("img_size", "patch_size"))
    first = next(iter(getattr(host, "blocks", None) or [host]))
    guess = {
        "num_classes": getattr(host, "num_classes", None),
        "in_chans": getattr(host, "in_chans", None),
        "img_size": None if size is None else list(size),
        "patch_size": patch[0] if isinstance(patch, tuple) else patch,
        "embed_dim": getattr(host, "embed_dim", None),
        "depth": len(host.blocks) if hasattr(host, "blocks") else None,
        "num_heads": getattr(getattr(first, "attn", None), "num_heads", None),
    }
    known: dict[str, Any] = {key: value for key, value in guess.items() if value is not None}
    usual: dict[str, Any] = {
        key: known[key] for key in ("num_classes", "in_chans", "img_size") if key in known
    }
    shapes = {key: value.shape for key, value in model.state_dict().items()}
    for arguments in (usual, known):
        if _shapes(name, arguments) == shapes:
            return {"source": f"timm:{name}", "arguments": arguments}
    return None


def _shapes(name: str, arguments: Mapping[str, Any]) -> dict[str, torch.Size] | None:
    try:
        with torch.device("meta"):
            model = _build_timm(name, arguments)
    except (ConfigError, NotImplementedError):
        return None
    return {key: value.shape for key, value in model.state_dict().items()}
