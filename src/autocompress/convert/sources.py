"""What a converted network is built from, by name: how a saved one is made again.

No code comes from a config: a source names a timm model, or a transformers class and its config.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import nn

from autocompress.convert.faces import comes_from
from autocompress.errors import ConfigError, MissingExtraError, UnknownNameError

__all__ = ["OWN", "build_source", "source_of"]

#: The source of a network that only its owner can build.
OWN = "own"


def build_source(source: str, arguments: Mapping[str, Any]) -> nn.Module:
    """The host that ``source`` names, with random weights.

    Args:
        source: ``"timm:NAME"``; ``"hf:CLASS"`` with a config's values as arguments, or ``"hf:TYPE"``
            (a model type as ``bert``: its base model in its default size, arguments change it).
        arguments: keyword arguments of ``timm.create_model``, or values of the config.

    Raises:
        ConfigError: a source of another form, or arguments it does not take. UnknownNameError: a
        name that the library does not have. MissingExtraError: the library is not installed.
    """
    kind, _, name = source.partition(":")
    if source == OWN:
        raise ConfigError(
            "this network's own class is not ours to build: load(FOLDER, model=THE_MODEL)"
        )
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
    timm: Any = _timm()
    if not timm.is_model(name):
        raise UnknownNameError("timm model", name, timm.list_models())
    try:
        return cast(nn.Module, timm.create_model(name, **arguments))
    except (TypeError, ValueError, AssertionError, RuntimeError) as error:
        raise ConfigError(f"timm cannot build {name!r} with {dict(arguments)}: {error}") from error


def _build_transformers(name: str, arguments: Mapping[str, Any]) -> nn.Module:
    transformers: Any = _transformers()
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
    except (TypeError, ValueError, KeyError, AttributeError, RuntimeError) as error:
        raise ConfigError(f"transformers cannot build {name!r}: {error}") from error


_BUILDERS = {"timm": _build_timm, "hf": _build_transformers}


def _timm() -> Any:
    try:
        import timm
    except ImportError as error:
        raise MissingExtraError("timm", "timm", "a timm model") from error
    return timm


def _transformers() -> Any:
    try:
        import transformers
    except ImportError as error:
        raise MissingExtraError("transformers", "transformers", "a transformers model") from error
    return transformers


def _upstream(cls: type) -> type:
    """The class of ``cls``'s ancestry that transformers itself has."""
    return next(c for c in cls.__mro__ if c.__module__.startswith("transformers."))


def _plain(config: Any) -> dict[str, Any]:
    """A config's values as JSON, without what only says which library wrote it."""
    written = {"transformers_version", "architectures", "model_type", "dtype", "connectivity"}
    return {key: value for key, value in config.to_dict().items() if key not in written}


def _timm_source(model: nn.Module) -> dict[str, Any] | None:
    """The name and arguments that give the same shapes; None where guessing fails."""
    host: Any = model
    configured = getattr(host, "pretrained_cfg", None) or {}
    name = configured.get("architecture")
    if not name:
        return None
    arguments: dict[str, Any] = {"num_classes": host.num_classes}
    for key, value in (
        ("in_chans", getattr(host, "in_chans", None)),
        ("img_size", getattr(getattr(host, "patch_embed", None), "img_size", None)),
    ):
        if value is not None:
            arguments[key] = list(value) if isinstance(value, tuple) else value
    try:
        with torch.device("meta"):
            again = build_source(f"timm:{name}", arguments)
    except (ConfigError, NotImplementedError):
        return None
    shapes = {key: value.shape for key, value in model.state_dict().items()}
    alike = shapes == {key: value.shape for key, value in again.state_dict().items()}
    return {"source": f"timm:{name}", "arguments": arguments} if alike else None
