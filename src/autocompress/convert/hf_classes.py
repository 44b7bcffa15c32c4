"""transformers classes with a trunk inside, so that its own save, load and Auto classes work.

``acn_class(BertForSequenceClassification)`` is a subclass that puts trunks in the place of its
layers when it is built. Its config is BERT's with the model type ``"acn-bert"`` and one value more,
the connectivity; its weights have BERT's own names.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from functools import cache
from typing import Any, cast

from torch import nn

from autocompress.convert.host import set_rules, trunks_of
from autocompress.convert.layers import layer_kinds
from autocompress.errors import UnknownNameError
from autocompress.extras import import_extra

__all__ = ["acn_class", "become_acn", "become_plain", "register_auto"]

PREFIX = "acn-"


class _Trunked:
    """What an acn class adds to the transformers class beside it."""

    def __init__(self, config: Any, *args: Any, **kwargs: Any) -> None:
        from autocompress.convert.convert import host_network
        from autocompress.convert.plan import plan

        super().__init__(config, *args, **kwargs)  # type: ignore[call-arg]
        model = cast(nn.Module, self)
        # a head's class may have built its base as an acn class; a cut at 0 has no layers to host
        if not trunks_of(model) and config.num_hidden_layers:
            host_network(model, plan(model))
        set_rules(model, config.connectivity)

    def save_pretrained(self, *args: Any, **kwargs: Any) -> Any:
        """As transformers does, with the connectivity as it is now."""
        host: Any = self
        host.config.connectivity = rule_of(host)
        return super().save_pretrained(*args, **kwargs)  # type: ignore[misc]


def rule_of(model: nn.Module) -> Any:
    """The connectivity of a host with one trunk, as its config holds it."""
    rules = [trunk.connectivity.to_config() for trunk in trunks_of(model)]
    return rules[0] if rules else cast(Any, model).config.connectivity


@cache
def acn_class(cls: type[Any]) -> type[Any]:
    """The subclass of a transformers model class that has a trunk where ``cls`` has its layers.

    Use it as any of transformers' classes: ``acn_class(BertModel).from_pretrained(...)`` also takes
    a plain BERT checkpoint, as the weights have the same names.
    """
    config_class = _acn_config(cls.config_class)
    body = {"config_class": config_class, "config": None, "__module__": __name__}
    annotations = {"config": config_class}
    made = type(f"Acn{cls.__name__}", (_Trunked, cls), body | {"__annotations__": annotations})
    return cast(type[Any], made)


@cache
def _acn_config(cls: type[Any]) -> type[Any]:
    body = {"model_type": PREFIX + cls.model_type, "connectivity": "acn", "__module__": __name__}
    return type(f"Acn{cls.__name__}", (cls,), body)


def become_acn(model: nn.Module) -> None:
    """Make a transformers model with a trunk an object of its acn class, in place."""
    from transformers.utils.output_capturing import _CAN_RECORD_REGISTRY

    host: Any = model
    plain, made = type(host).config_class, acn_class(cast(Any, type(host)))
    host.__class__ = made
    _CAN_RECORD_REGISTRY[host] = host._can_record_outputs  # transformers keeps it by class name
    for config in _configs(model, plain):
        config.__class__ = _acn_config(plain)
    host.config.connectivity = rule_of(host)


def become_plain(model: nn.Module) -> None:
    """Undo :func:`become_acn`, in place."""
    host: Any = model
    made: Any = type(host)
    if not issubclass(made, _Trunked):
        return
    for config in _configs(model, made.config_class):
        config.__class__ = made.config_class.__bases__[0]
    host.__class__ = made.__bases__[1]
    host.config.__dict__.pop("connectivity", None)


def register_auto() -> list[str]:
    """Make ``AutoConfig`` and the ``AutoModel...`` classes know every supported family.

    Returns:
        The model types that are known now, ``"acn-bert"`` and so on. Called again, it does nothing.

    Raises:
        MissingExtraError: transformers is not installed.
    """
    transformers: Any = import_extra("transformers", "transformers", "a transformers model")
    auto_config = transformers.AutoConfig
    found = []
    for config_class, classes in _families():
        made = _acn_config(config_class)
        auto_config.register(made.model_type, made, exist_ok=True)
        found.append(made.model_type)
        for auto, cls in classes:
            auto.register(made, acn_class(cls), exist_ok=True)
    return sorted(found)


def _families() -> Iterator[tuple[Any, list[tuple[Any, Any]]]]:
    """Each supported config class with the (Auto class, model class) pairs that go with it."""
    from transformers import CONFIG_MAPPING
    from transformers.models.auto import modeling_auto

    autos = [a for name, a in vars(modeling_auto).items() if name.startswith("AutoModel")]
    folders = {
        name.split(".")[2] for name in layer_kinds() if name.startswith("transformers.models.")
    }
    for folder in sorted(folders):
        # a folder is named as its model type is, but for the hyphens
        name = next((n for n in (folder, folder.replace("_", "-")) if n in CONFIG_MAPPING), None)
        if name is None:
            raise UnknownNameError("transformers model type", folder, CONFIG_MAPPING)
        config_class = CONFIG_MAPPING[name]
        classes = []
        for auto in autos:
            value = auto._model_mapping.get(config_class, ())
            candidates = value if isinstance(value, tuple) else (value,)
            classes += [(auto, cls) for cls in candidates[:1] if _is_ours(cls, folder)]
        yield config_class, classes


def _is_ours(cls: Any, folder: str) -> bool:
    """Whether a class holds the layers that are registered for its family."""
    module = importlib.import_module(cls.__module__)
    return module.__name__.startswith(f"transformers.models.{folder}.")


def _configs(model: nn.Module, cls: type[Any]) -> list[Any]:
    """The distinct configs of exactly this class that modules of ``model`` hold."""
    held = [getattr(module, "config", None) for module in model.modules()]
    return list({id(config): config for config in held if type(config) is cls}.values())
