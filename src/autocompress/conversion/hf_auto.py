"""Register our types with transformers' Auto classes without importing every model."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from functools import cache
from typing import Any

from autocompress.conversion.checkpoints import import_transformers
from autocompress.conversion.hf_classes import (
    PREFIX,
    acn_class,
    acn_config,
    when_family_is_made,
)
from autocompress.conversion.layers import layer_kinds
from autocompress.errors import UnknownNameError

__all__ = ["register_auto", "register_family", "register_types"]


def register_auto() -> list[str]:
    """Register every supported family with ``AutoConfig`` and the ``AutoModel...`` classes.

    Returns:
        The registered model types, ``"acn-bert"`` and so on. Further calls change nothing.

    Raises:
        MissingExtraError: transformers is not installed.
    """
    import_transformers()
    return register_types()


def register_types() -> list[str]:
    """Register our types with ``AutoConfig``; a family follows when a config of it is created.

    No family is imported before its type is requested: there are many, and transformers may be
    in the middle of importing one of them.
    """
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    if not isinstance(CONFIG_MAPPING._extra_content, _Types):
        CONFIG_MAPPING._extra_content = _Types(CONFIG_MAPPING._extra_content)
    types = CONFIG_MAPPING._extra_content
    for name in _names():
        types.setdefault(PREFIX + name, None)
    return sorted(PREFIX + name for name in _names())


class _Types(dict[str, Any]):
    """transformers' table of registered types, in which ours are created on request."""

    def __getitem__(self, key: str) -> Any:
        from transformers.models.auto.configuration_auto import CONFIG_MAPPING

        found = super().__getitem__(key)
        if found is None:
            plain: Any = CONFIG_MAPPING[key.removeprefix(PREFIX)]
            found = self[key] = acn_config(plain)
        return found

    def items(self) -> Any:
        """Return the created types; others are not needed, since nobody can hold their classes."""
        return [(key, value) for key, value in super().items() if value is not None]

    def values(self) -> Any:
        return [value for _, value in self.items()]


@cache
def register_family(config_class: Any) -> None:
    """Register the acn classes of one family with the Auto classes, with its tokenizers etc.

    Args:
        config_class: Config class of the host's family, e.g. ``transformers.BertConfig``.
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


#: How the names of the Auto classes of models begin.
AUTO = ("AutoModel", "AutoBackbone")


def _autos() -> list[Any]:
    from transformers.models.auto import modeling_auto

    return [cls for name, cls in vars(modeling_auto).items() if name.startswith(AUTO)]


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


def _modules() -> dict[str, set[str]]:
    """Return the modules with registered layers, by their folder among transformers' models."""
    found: dict[str, set[str]] = {}
    for parts in (name.split(":")[0].split(".") for name in layer_kinds()):
        if parts[:2] == ["transformers", "models"]:
            found.setdefault(parts[2], set()).add(parts[3].removeprefix("modeling_"))
    return found


def _names() -> Iterator[str]:
    """Yield each supported family's model type, as named by transformers."""
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    for folder, modules in sorted(_modules().items()):
        # a folder, or each module of a folder with several, is the model type without hyphens
        words = [
            word for stem in (folder, *sorted(modules)) for word in (stem, stem.replace("_", "-"))
        ]
        name = next((word for word in words if word in CONFIG_MAPPING), None)
        if name is None:
            raise UnknownNameError("transformers model type", folder, CONFIG_MAPPING)
        yield name


#: Classes of a supported family that use other layers than its registered ones.
_OTHERS = {"WhisperForCausalLM"}


def _is_ours(cls: Any) -> bool:
    """Return whether a class holds the layers that are registered for its family."""
    if cls.__name__ in _OTHERS:
        return False
    parts = importlib.import_module(cls.__module__).__name__.split(".")
    return parts[:2] == ["transformers", "models"] and parts[2] in _modules()


when_family_is_made(register_family)
