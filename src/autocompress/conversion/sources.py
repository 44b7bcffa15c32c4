"""Sources: the names from which hosts are built, and from which saved networks are rebuilt.

No code comes from a config: a source names a timm model, or a transformers class and its config.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import Any, cast

import torch
from torch import nn

from autocompress.conversion.allowlist import (
    IMPLEMENTATIONS,
    check_arguments,
    check_no_kernel,
    check_safe,
    legal_hf,
    legal_timm,
    without_origin,
    without_unread,
)
from autocompress.conversion.checkpoints import import_transformers, load_checkpoint
from autocompress.conversion.interfaces import comes_from, is_transformer
from autocompress.conversion.offline import check_reached
from autocompress.errors import AutoCompressError, ConfigError, UnknownNameError
from autocompress.extras import import_extra
from autocompress.io.packed import unpacked
from autocompress.io.skeleton import nothing_to_fill, on_meta

__all__ = [
    "OURS",
    "OWN",
    "build_named",
    "build_source",
    "checkpoint_of",
    "image_arguments",
    "recorded",
    "source_of",
]

#: Arguments that our own entry points of timm add, the rule and later changes of the layers; a
#: converted network records them itself.
OURS = ("connectivity", "layers", "branches")

#: Source of a network that only its owner can build.
OWN = "own"


def build_source(source: str, arguments: Mapping[str, Any]) -> nn.Module:
    """Build the host that ``source`` names, with random weights or a checkpoint's own.

    The user has requested it: a checkpoint may be read, and a name on the hub downloaded. No code
    of a checkpoint is run, and of its weights only safetensors files are read.

    Args:
        source: ``"timm:NAME"``; ``"hf:CLASS"`` with a config's values as arguments; ``"hf:TYPE"``
            (a model type such as ``bert``: its base model in its default size, unless arguments
            change it); or ``"hf:PATH"``, a checkpoint's folder or ``user/name`` on the hub.
        arguments: Keyword arguments of ``timm.create_model``, or values of the config.

    Raises:
        ConfigError: The source has another form, or does not take the arguments.
        UnknownNameError: The library has no such name.
        MissingExtraError: The library is not installed.
    """
    kind, name = _parts(source)
    check_safe(source, arguments)
    if kind == "hf" and _is_path(name):
        return load_checkpoint(name, arguments)
    return _BUILDERS[kind](name, arguments)


def build_named(source: str, arguments: Mapping[str, Any]) -> nn.Module:
    """Build the host that a model folder names, of a class in an installed library.

    Only the arguments are read, and nothing is downloaded: the weights are the folder's.

    Args:
        source: ``"timm:NAME"``, ``"hf:CLASS"`` or ``"hf:TYPE"``.
        arguments: Arguments as in :func:`build_source`, limited to those that the class names.

    Raises:
        ConfigError: The source is a path or a name on the hub, or the arguments are not data for
            this class.
    """
    kind, name = _parts(source)
    if not name.replace("_", "").replace("-", "").replace(".", "").isalnum():
        raise ConfigError(
            f"source {source!r:.80} is not a class of an installed library; loading a network "
            "builds nothing else. To convert a checkpoint: autocompress.convert('hf:PATH')"
        )
    if not isinstance(arguments, Mapping):
        raise ConfigError(f"arguments of {source} are not a mapping: {arguments!r:.80}")
    said = without_origin(source, arguments)
    legal = (_legal_timm if kind == "timm" else _legal_hf)(name)
    check_arguments(source, said, legal)
    return _BUILDERS[kind](name, said)


def _parts(source: str) -> tuple[str, str]:
    kind, _, name = source.partition(":")
    if source == OWN:
        raise ConfigError("its class is not ours to build: load(FOLDER, model=A_FRESH_ONE)")
    if kind not in _BUILDERS or not name:
        raise ConfigError(f"source {source!r} is neither 'timm:NAME' nor 'hf:NAME'")
    return kind, name


def checkpoint_of(source: str) -> str | None:
    """Return the folder, or the name on the hub, of a source that is a checkpoint; None if not."""
    kind, _, name = source.partition(":")
    return name if kind == "hf" and _is_path(name) else None


def _is_path(name: str) -> bool:
    return "/" in name or os.path.isdir(name)


def source_of(model: nn.Module) -> dict[str, Any]:
    """Return ``{"source", "arguments"}`` that rebuild a network like ``model``, if possible."""
    if is_transformer(model):
        return {"source": f"hf:{_upstream(type(model)).__name__}", "arguments": _said(model)}
    if comes_from(model, "timm"):
        found = _timm_source(model)
        if found is not None:
            return found
    return {"source": OWN, "arguments": {}}


def recorded(model: nn.Module, config: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``{"source", "arguments"}`` of a host in its current form, with all its layers.

    Args:
        model: The host with trunks in it, cut or not.
        config: Config of the converted network, from the time of its conversion.
    """
    source, arguments = str(config["source"]), without_origin(config["source"], config["arguments"])
    if not source.startswith("hf:") or not hasattr(model, "config"):
        return {"source": source, "arguments": arguments}
    configs = [getattr(module, "config", None) for module in model.modules()]
    names = {*_OF_DEPTH, *(_other_name(config, "num_hidden_layers") for config in configs)}
    said = _with_depth(_said(model), arguments, names)
    return {"source": f"hf:{_upstream(type(model)).__name__}", "arguments": said}


def _with_depth(now: Mapping[str, Any], then: Mapping[str, Any], names: set[str]) -> dict[str, Any]:
    """Return a config's values with those of earlier under ``names``, in nested configs as well."""
    kept = {key: value for key, value in then.items() if key in names}
    inner = {
        key: _with_depth(value, then[key], names)
        for key, value in now.items()
        if isinstance(value, Mapping) and isinstance(then.get(key), Mapping)
    }
    return {key: value for key, value in now.items() if key not in kept} | inner | kept


#: Values of configs that a cut changes; a network is rebuilt in full and then cut.
_OF_DEPTH = (
    "num_hidden_layers",
    "encoder_layers",
    "layer_types",
    "attention_layers",
    "attention_types",
    "stage_names",
    "out_features",
    "out_indices",
)


def _other_name(config: Any, word: str) -> str:
    return str(getattr(type(config), "attribute_map", {}).get(word, word))


def _build_timm(name: str, arguments: Mapping[str, Any]) -> nn.Module:
    timm: Any = _timm()
    if not timm.is_model(name):
        raise UnknownNameError("timm model", name, timm.list_models())
    try:
        with _quick():
            return cast(nn.Module, timm.create_model(name, **arguments))
    except AutoCompressError:
        raise
    except Exception as error:  # constructors may raise anything
        check_reached(f"timm:{name}", error)
        raise ConfigError(f"timm cannot build {name!r} with {dict(arguments)}: {error}") from error


def _quick() -> AbstractContextManager[object]:
    """Skip timm's own initialisation for a network that is built without memory."""
    on_device = torch.get_default_device().type
    return nothing_to_fill() if on_device == "meta" else nullcontext()


def _legal_timm(name: str) -> frozenset[str]:
    timm: Any = _timm()
    if not timm.is_model(name):
        raise UnknownNameError("timm model", name, timm.list_models())
    plain = name.removeprefix("acn_")
    return legal_timm(plain) | ({"connectivity"} if plain != name else set())


def _build_transformers(name: str, arguments: Mapping[str, Any]) -> nn.Module:
    transformers: Any = import_transformers()
    cls = _hf_class(name)
    try:
        if cls is None:
            config = transformers.AutoConfig.for_model(name, **arguments)
            return cast(nn.Module, transformers.AutoModel.from_config(config))
        return cast(nn.Module, cls(cls.config_class(**arguments)))
    except AutoCompressError:
        raise
    except Exception as error:  # constructors may raise anything, and imports may fail
        cause = f" ({error.__cause__})" if error.__cause__ else ""  # from a nested import
        raise ConfigError(f"transformers cannot build {name!r}: {error}{cause}") from error


def _hf_class(name: str) -> Any:
    """Return the transformers class of this name, None for a model type; or UnknownNameError."""
    transformers: Any = import_transformers()
    if name in transformers.CONFIG_MAPPING:
        return None
    try:
        cls = getattr(transformers, name, None)
    except (ImportError, RuntimeError) as error:
        raise ConfigError(f"transformers cannot import {name!r}: {error}") from error
    if not (isinstance(cls, type) and issubclass(cls, transformers.PreTrainedModel)):
        raise UnknownNameError("transformers model", name, transformers.CONFIG_MAPPING)
    return cls


def _legal_hf(name: str) -> frozenset[str]:
    transformers: Any = import_transformers()
    cls = _hf_class(name)
    config_class = transformers.CONFIG_MAPPING[name] if cls is None else cls.config_class
    if config_class is None:
        raise ConfigError(f"transformers has no config for {name!r}, so it cannot be built")
    check_no_kernel(f"hf:{name}", config_class)
    return legal_hf(config_class)


def image_arguments(
    source: str, classes: int, image_size: int, channels: int
) -> list[dict[str, Any]]:
    """Return arguments that fit a host to images, most specific first: not all take a size."""
    if source.startswith("hf:"):
        shape = {"image_size": image_size, "num_channels": channels}
        return [{"num_labels": classes, **shape}]
    counts = {"num_classes": classes, "in_chans": channels}
    return [{**counts, "img_size": image_size}, counts]


_BUILDERS = {"timm": _build_timm, "hf": _build_transformers}


def _upstream(cls: type) -> type:
    """Return the first class among ``cls``'s bases that transformers itself defines."""
    return next(c for c in cls.__mro__ if c.__module__.startswith("transformers."))


def _said(model: nn.Module) -> dict[str, Any]:
    """Return the values of a host's config as JSON, as far as its family reads them.

    The implementation of attention is included if it needs no kernel from the hub.
    """
    config: Any = model.config
    said = {**config.to_dict()}
    said.pop("auto_map", None)
    for choice in ("attn_implementation", "experts_implementation"):
        word = getattr(config, f"_{choice}", None)
        if word in IMPLEMENTATIONS:
            said[choice] = word
    family: Any = _upstream(type(model))
    return without_unread(family.config_class or type(config), _without_origin(said))


def _without_origin(said: dict[str, Any]) -> dict[str, Any]:
    """Return a config's values without their origin; nested configs keep their type."""
    kept = without_origin("hf:", said)
    for key, value in kept.items():
        if isinstance(value, dict) and "model_type" in value:
            kept[key] = {"model_type": value["model_type"], **_without_origin(value)}
    return kept


def _timm_source(model: nn.Module) -> dict[str, Any] | None:
    """Return the name and arguments that give the same shapes, except the head; None if none do.

    Shapes do not determine everything (e.g. the number of heads); saving finds other differences.
    """
    host: Any = model
    noted = getattr(host, "acn_source", None)  # a model that our own entry point has made
    if noted is not None:
        return {**noted, "arguments": {**noted["arguments"], "num_classes": host.num_classes}}
    known = getattr(host, "pretrained_cfg", None) or {}
    # a host with trunks has the prefixed name; its layers are built by the plain one
    name = known.get("architecture", "").removeprefix("acn_")
    if not name:
        return None
    heads = known.get("classifier") or ()
    heads = tuple(f"{head}." for head in ([heads] if isinstance(heads, str) else heads))
    packed = unpacked(model)  # a quantised host, of which timm's names know the plain weights
    shapes = _without((model if packed is None else packed.plain).state_dict(), heads)
    for arguments in (*_noted(host, name), *_guesses(host)):
        made = _shapes(name, arguments)
        if made is not None and _without(made, heads) == shapes:
            return {"source": f"timm:{name}", "arguments": arguments}
    return None


def _noted(host: Any, name: str) -> Iterator[dict[str, Any]]:
    """Yield the arguments that timm has noted on a host that it built, if all of them are data."""
    noted = vars(host).get("_model_args")
    if not isinstance(noted, Mapping) or not noted:
        return
    found = {**noted, "num_classes": getattr(host, "num_classes", None)}
    found = {k: v for k, v in found.items() if v is not None and k not in OURS}
    with suppress(ConfigError, TypeError, ValueError):
        data = json.loads(json.dumps(found, allow_nan=False))
        check_arguments(f"timm:{name}", data, legal_timm(name))
        yield data


def _guesses(host: Any) -> Iterator[dict[str, Any]]:
    """Yield arguments with which a timm host may have been built, fewest first."""
    patches = getattr(host, "patch_embed", None)
    size, patch = (getattr(patches, key, None) for key in ("img_size", "patch_size"))
    first = next(iter(getattr(host, "blocks", None) or [host]))
    attention = getattr(first, "attn", None)
    drops = [getattr(module, "drop_prob", None) or 0.0 for module in host.modules()]
    usual = {
        "num_classes": getattr(host, "num_classes", None),
        "in_chans": getattr(host, "in_chans", None),
        "img_size": None if size is None else list(size),
        "drop_path_rate": max(drops) or None,
    }
    sizes = {
        "patch_size": patch[0] if isinstance(patch, tuple) else patch,
        "embed_dim": getattr(host, "embed_dim", None),
        "depth": len(host.blocks) if hasattr(host, "blocks") else None,
        "num_heads": getattr(attention, "num_heads", None),
    }
    query = getattr(attention, "qkv", None)
    scaled = type(getattr(first, "ls1", None)).__name__ == "LayerScale"
    parts = {
        "qkv_bias": None if query is None else getattr(query, "bias", None) is not None,
        "init_values": 1e-5 if scaled else None,
    }
    for guess in (usual, usual | sizes, usual | sizes | parts):
        yield {key: value for key, value in guess.items() if value is not None}


def _without(state: Mapping[str, Any], heads: tuple[str, ...]) -> dict[str, torch.Size]:
    """Return the shape of each tensor (or the given shape), without those of the heads."""
    return {
        key: getattr(value, "shape", value)
        for key, value in state.items()
        if not key.startswith(heads)
    }


def _shapes(name: str, arguments: Mapping[str, Any]) -> dict[str, torch.Size] | None:
    try:
        with on_meta(1_000_000):
            model = _build_timm(name, arguments)
    except (AutoCompressError, NotImplementedError):
        return None
    return {key: value.shape for key, value in model.state_dict().items()}


def _timm() -> Any:
    return import_extra("timm", "timm", "a timm model")
