"""transformers' Auto classes and our types: known without an import of every model."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from functools import cache
from typing import Any

from autocompress.convert.hf_classes import acn_class, acn_config
from autocompress.convert.layers import layer_kinds
from autocompress.errors import UnknownNameError
from autocompress.extras import import_extra

__all__ = ["register_auto", "register_family", "register_types"]


def register_auto() -> list[str]:
    """Make ``AutoConfig`` and the ``AutoModel...`` classes know every supported family.

    Returns:
        The model types that are known now, ``"acn-bert"`` and so on. Called again, it does nothing.

    Raises:
        MissingExtraError: transformers is not installed.
    """
    import_extra("transformers", "transformers", "a transformers model")
    for config_class in _config_classes():
        register_family(config_class)
    return register_types()


def register_types() -> list[str]:
    """Make ``AutoConfig`` know our types; a config of one registers its family when it is made."""
    from transformers import AutoConfig

    found = [acn_config(config_class) for config_class in _config_classes()]
    for made in found:
        AutoConfig.register(made.model_type, made, exist_ok=True)
    return sorted(made.model_type for made in found)


@cache
def register_family(config_class: Any) -> None:
    """Make the Auto classes know the acn classes of one family, and what prepares its inputs.

    Args:
        config_class: the config class of the host's family, as ``transformers.BertConfig``.
    """
    from transformers import AutoConfig

    made = acn_config(config_class)
    AutoConfig.register(made.model_type, made, exist_ok=True)
    for auto in _autos():
        value = auto._model_mapping.get(config_class, ())
        candidates = value if isinstance(value, tuple) else (value,)
        ours = [acn_class(cls) for cls in candidates if _is_ours(cls)]
        if ours:
            auto.register(made, ours[0], exist_ok=True)
    for mapping in _preparing():
        value = mapping.get(config_class, None)
        if value is not None:
            mapping.register(made, value, exist_ok=True)


def _autos() -> list[Any]:
    from transformers.models.auto import modeling_auto

    return [cls for name, cls in vars(modeling_auto).items() if name.startswith("AutoModel")]


def _preparing() -> list[Any]:
    """Return the tables of tokenizers and processors by config class."""
    from transformers.models.auto import (
        feature_extraction_auto,
        image_processing_auto,
        processing_auto,
        tokenization_auto,
    )

    return [
        tokenization_auto.TOKENIZER_MAPPING,
        image_processing_auto.IMAGE_PROCESSOR_MAPPING,
        feature_extraction_auto.FEATURE_EXTRACTOR_MAPPING,
        processing_auto.PROCESSOR_MAPPING,
    ]


def _folders() -> set[str]:
    """Return the folders of transformers' models whose layers are registered."""
    names = [name.split(":")[0].split(".") for name in layer_kinds()]
    return {parts[2] for parts in names if parts[:2] == ["transformers", "models"]}


def _config_classes() -> Iterator[Any]:
    """The config class of each supported family."""
    from transformers import CONFIG_MAPPING

    for folder in sorted(_folders()):
        # a folder is named as its model type is, but for the hyphens
        name = next((n for n in (folder, folder.replace("_", "-")) if n in CONFIG_MAPPING), None)
        if name is None:
            raise UnknownNameError("transformers model type", folder, CONFIG_MAPPING)
        yield CONFIG_MAPPING[name]


#: Classes of a supported family that are made of other layers than its registered ones.
_OTHERS = {"WhisperForCausalLM"}


def _is_ours(cls: Any) -> bool:
    """Whether a class holds the layers that are registered for its family."""
    if cls.__name__ in _OTHERS:
        return False
    parts = importlib.import_module(cls.__module__).__name__.split(".")
    return parts[:2] == ["transformers", "models"] and parts[2] in _folders()
