"""The arguments that a source may receive: data for installed classes, nothing that runs code.

Loading a model folder accepts only keys that the installed library's own class names (an
allow-list). Converting by name or from a checkpoint is requested by the user and may load local
weights; there, too, anything that would make a library fetch or run foreign code is refused.
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import re
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from torch import nn

from autocompress.errors import ConfigError, UnknownNameError

__all__ = [
    "check_arguments",
    "check_no_kernel",
    "check_safe",
    "legal_hf",
    "legal_timm",
    "without_origin",
    "without_unread",
]

#: Options that make transformers or timm run a checkpoint's code, or fetch code or weights.
_UNSAFE = frozenset(
    (
        "allow_all_kernels", "auto_map", "backbone", "backbone_kwargs", "code_revision",
        "custom_generate", "custom_pipelines", "extra_config_files", "extra_files", "kernel_config",
        "pretrained_cfg", "pretrained_cfg_overlay", "quantization_config", "trust_remote_code",
        "use_kernels", "use_pretrained_backbone", "use_timm_backbone",
    )
)  # fmt: skip

#: Implementations of attention and experts; any other word names a kernel to be downloaded.
IMPLEMENTATIONS = ("eager", "sdpa", "flex_attention", "grouped_mm", "batched_mm")
_CHOOSES = ("attn_implementation", "experts_implementation")

#: Options that say where a config or weights came from. The weights are loaded from the folder, so
#: they have no meaning there; older folders contain them.
_ORIGIN = frozenset(
    (
        "_name_or_path", "name_or_path", "_commit_hash", "transformers_version", "architectures",
        "dtype", "torch_dtype", "connectivity", "model_type", "tokenizer_class",
        "hidden_states_are",
    )
)  # fmt: skip
_TIMM_ORIGIN = frozenset(
    ("pretrained", "pretrained_cfg", "pretrained_cfg_overlay", "checkpoint_path", "cache_dir")
)

#: Options of every transformers config that are not fields of its class.
_COMMON = frozenset(
    (
        "add_cross_attention", "attn_implementation", "experts_implementation", "is_decoder",
        "num_labels", "out_features", "out_indices", "output_attentions", "stage_names",
        "tie_encoder_decoder", "tie_word_embeddings", "use_cache",
    )
)  # fmt: skip

#: Words allowed in data: names within a library, never a path or an address.
_WORD = re.compile(r"[\w.+|-]{0,64}")

#: Options that hold texts for people.
_TEXTS = ("id2label", "label2id")


def check_safe(source: str, arguments: Mapping[str, Any]) -> None:
    """Raise ConfigError for an argument that would make a library fetch or run foreign code.

    Args:
        source: Name of the network, for the message.
        arguments: Its arguments, including nested ones.
    """
    for key, value in _pairs(arguments):
        if key in _UNSAFE and value not in (None, False):
            raise ConfigError(
                f"{source}: {key} is refused, as it lets a checkpoint fetch or run code; networks "
                "are built from the installed libraries only"
            )
        if key.removeprefix("_") in _CHOOSES:
            _check_implementation(source, key, value)
        if key == "checkpoint_path" and value and not str(value).endswith(".safetensors"):
            raise ConfigError(
                f"{source}: checkpoint_path {value!r} is refused: only .safetensors files are read "
                "as weights, since others may hold code"
            )


def _check_implementation(source: str, key: str, value: Any) -> None:
    for word in value.values() if isinstance(value, Mapping) else [value]:
        if word is None or word in IMPLEMENTATIONS:
            continue
        if str(word).startswith("flash_attention") and importlib.util.find_spec("flash_attn"):
            continue
        raise ConfigError(
            f"{source}: {key} {word!r} is not one of {', '.join(IMPLEMENTATIONS)}, and others are "
            "downloaded as code (except flash_attention_2 if flash-attn is installed)"
        )


def check_arguments(source: str, arguments: Mapping[str, Any], legal: frozenset[str]) -> None:
    """Raise ConfigError unless the arguments in a model folder are data for an installed class.

    Args:
        source: Name of the network, for the message.
        arguments: Arguments in its config.json.
        legal: Keys that its class names.

    Raises:
        UnknownNameError: A key is not valid.
    """
    check_safe(source, arguments)
    for key in arguments:
        if key not in legal:
            raise UnknownNameError(f"argument of {source}:", key, legal)
    for key, value in _pairs({k: v for k, v in arguments.items() if k not in _TEXTS}):
        if key in _UNSAFE or key.startswith("__"):
            raise ConfigError(f"{source}: {key} is refused in a model folder")
        if isinstance(value, str) and not _WORD.fullmatch(value):
            raise ConfigError(f"{source}: {key} {value!r:.80} is not a name within a library")


def without_origin(source: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments without those that say where the weights came from."""
    gone = _TIMM_ORIGIN if source.startswith("timm:") else _ORIGIN
    return {key: value for key, value in arguments.items() if key not in gone}


def _pairs(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every key with its value, at any level; values in a list have the list's key."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield str(name), inner
            yield from _pairs(inner, str(name))
    elif isinstance(value, (list, tuple)):
        for inner in value:
            if isinstance(inner, str):
                yield key, inner
            yield from _pairs(inner, key)


@cache
def legal_hf(config_class: type[Any]) -> frozenset[str]:
    """Return the names that a transformers config class and its family's networks read.

    These are its fields, their aliases, and the names that the family's code reads from a config.
    """
    fields = [f.name for f in dataclasses.fields(config_class)]
    named = set(fields) | set(config_class.attribute_map) | _COMMON
    home = config_class.__module__
    words = re.compile(r"\bconfig\.([a-z]\w*)|\"([a-z]\w*)\"")
    for name in (home, home.replace(".configuration_", ".modeling_")):
        named |= {one or other for one, other in words.findall(_text(name))}
    return frozenset(named) - _UNSAFE - _ORIGIN


def without_unread(config_class: Any, said: Mapping[str, Any]) -> dict[str, Any]:
    """Return a config's values without those that no code of its family reads.

    Checkpoints carry options of older versions (``gradient_checkpointing``) and notes of whoever
    trained them (``finetuning_task``), which transformers keeps as attributes of the config. What
    would fetch or run code stays, as it has to be refused.
    """
    read = legal_hf(config_class)
    return {key: value for key, value in said.items() if key in read or (key in _UNSAFE and value)}


def check_no_kernel(source: str, config_class: type[Any]) -> None:
    """Raise ConfigError for a network whose constructor would download compiled code.

    Args:
        source: Name of the network, for the message.
        config_class: Config class of its family; some families of transformers use such code when
            the package ``kernels`` is installed.
    """
    modeling = config_class.__module__.replace(".configuration_", ".modeling_")
    if importlib.util.find_spec("kernels") and "get_kernel(" in _text(modeling):
        raise ConfigError(
            f"{source} downloads a compiled kernel as it is built, and loading a network downloads "
            "nothing: load it where the package kernels is not installed"
        )


@cache
def _text(module: str) -> str:
    """Return the source text of an installed module; an empty text if it cannot be read."""
    spec = importlib.util.find_spec(module)
    path = None if spec is None else spec.origin
    return Path(path).read_text(encoding="utf-8") if path and path.endswith(".py") else ""


@cache
def legal_timm(name: str) -> frozenset[str]:
    """Return keyword arguments of the classes in the timm module that builds ``name``."""
    from timm.models import model_entrypoint

    module = sys.modules[model_entrypoint(name).__module__]
    found: set[str] = set()
    for cls in vars(module).values():
        if not (isinstance(cls, type) and cls.__module__.startswith("timm.")):
            continue
        if issubclass(cls, nn.Module):
            made = [base for base in cls.__mro__ if "__init__" in vars(base)]
            for base in made:
                found |= set(inspect.signature(vars(base)["__init__"]).parameters)
        elif dataclasses.is_dataclass(cls):
            found |= {field.name for field in dataclasses.fields(cls)}
    return frozenset(found) - _UNSAFE - _TIMM_ORIGIN - {"self", "args", "kwargs", "device", "dtype"}
