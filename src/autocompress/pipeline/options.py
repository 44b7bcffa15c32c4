"""The options of models and connectivities, and the check of their values.

A model's options are the keyword arguments of its constructor, with their annotations as types;
a connectivity's options are the arguments of its factory. A new option is declared in one place.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, cast

from autocompress.bounds import Within, annotations_of, bounds_in, fits
from autocompress.connectivity import find_connectivity, list_connectivities
from autocompress.data import DataConfig
from autocompress.data.generated import GENERATED
from autocompress.errors import ConfigError, UnknownNameError
from autocompress.network import list_models, model_class
from autocompress.pipeline.hints import Beside, Named, argument_types, expected, mark_options
from autocompress.training import FitConfig
from autocompress.training.hooks import HOOKS

__all__ = ["MODELS", "MODEL_OPTIONS", "RULES", "check_model", "check_rule"]

#: Arguments that the data and the fields of a model's config already determine.
_GIVEN = frozenset(
    (
        *("depth", "connectivity", "classes", "image_size", "channels"),
        *("vocabulary", "length", "pad", "per_token"),
    )
)

#: Bounds of a whole number for which its owner declares none.
_SIZE = Within(1, 2**20, "1 or more, at most 1048576")


def _models() -> list[str]:
    return [name for name in list_models() if model_class(name).tasks]


def _model_options(name: str) -> Mapping[str, Any]:
    return argument_types(cast(Any, model_class(name)), _GIVEN)


def _rule_options(name: str) -> Mapping[str, Any]:
    return argument_types(find_connectivity(name), frozenset(("depth", "point")))


def _data_options(name: str) -> Mapping[str, Any]:
    return argument_types(GENERATED[name], frozenset())


#: The networks that a config may name.
MODELS = Named("model", _models, _model_options)

#: The connectivities that a config may name.
RULES = Named("connectivity", list_connectivities, _rule_options, default="acn")

#: The options of models; earlier versions had those of connectivities there as well.
MODEL_OPTIONS = Beside(
    MODELS,
    tuple((key, f"connectivity.{key}") for key in ("inner", "short", "long", "gates", "channels")),
)


#: The options of generated data sets.
DATA_OPTIONS = Beside(Named("data set", lambda: list(GENERATED), _data_options))

mark_options(DataConfig, DATA_OPTIONS)

#: The options of registered training hooks, each a config class of its own.
HOOK_OPTIONS = Beside(Named("training hook", lambda: list(HOOKS), lambda name: {name: HOOKS[name]}))

mark_options(FitConfig, HOOK_OPTIONS, "hooks")


def check_model(name: str, options: Mapping[str, Any]) -> None:
    """Raise an error unless the model ``name`` takes these options.

    Raises:
        UnknownNameError: There is no such model, or it has no such option; the message says which
            models have the option.
        ConfigError: A value has another type or is out of bounds, or a required option is missing.
    """
    if name not in MODELS.names():
        raise UnknownNameError("model", name, MODELS.names())
    _check(MODELS, name, options, model_class(name), "model.")


def check_rule(spec: str | Mapping[str, Any], key: str = "model.connectivity") -> None:
    """Raise an error unless ``spec`` names a connectivity, with options that it takes.

    Args:
        spec: A name, or a mapping with the key ``name``.
        key: Option that holds it, for messages.

    Raises:
        UnknownNameError: There is no such connectivity, or it has no such option.
        ConfigError: The name is missing, a value has another type or is out of bounds, or a
            required option is missing.
    """
    options = {"name": spec} if isinstance(spec, str) else dict(spec)
    name = options.pop("name", None)
    if name is None:
        raise ConfigError(f"{key} given as a mapping needs the key 'name'")
    if name not in RULES.names():
        raise UnknownNameError("connectivity", name, RULES.names())
    _check(RULES, name, options, find_connectivity(name), f"{key}.")


def _check(
    named: Named,
    name: str,
    options: Mapping[str, Any],
    factory: Callable[..., Any],
    prefix: str,
) -> None:
    legal = named.options(name)
    for key, value in options.items():
        if key not in legal:
            error = UnknownNameError(f"option of {named.kind} {name!r}:", key, legal)
            error.args = (f"{error}{_elsewhere(named, key, prefix)}",)
            raise error
        hint = annotations_of(factory).get(key, Any)
        _check_value(f"{prefix}{key}", value, hint)
    for key, parameter in inspect.signature(factory).parameters.items():
        if key in legal and parameter.default is parameter.empty and key not in options:
            raise ConfigError(
                f"{named.kind} {name!r} needs {key}: give --{prefix}{key}, in YAML {key} beside "
                "name"
            )


def _check_value(key: str, value: Any, hint: Any) -> None:
    """Raise ConfigError unless a value has the type and is within its bounds."""
    if not fits(value, hint):
        raise ConfigError(f"{key} {value!r} is not valid; expected {expected(hint)}")
    for each in value if isinstance(value, list | tuple) else (value,):
        if isinstance(each, int | float) and not isinstance(each, bool):
            for bounds in bounds_in(hint) or ([_SIZE] if isinstance(each, int) else []):
                bounds.check(key, each)


def _elsewhere(named: Named, key: str, prefix: str) -> str:
    """Return which names have an option, to end a message about one that does not."""
    having = [name for name in named.names() if key in named.options(name)]
    if not having:
        return ""
    said = f"; {', '.join(having)} {'has' if len(having) == 1 else 'have'} it"
    option = prefix.rstrip(".")
    return (
        f"{said}; a mapping replaces all options: {option}: {{name: ..}}"
        if named is RULES
        else said
    )
