"""transformers classes with a trunk inside, whose own save, load and Auto classes work.

``acn_class(BertForSequenceClassification)`` is a subclass that replaces its layers by trunks when
it is built. Its config is BERT's with the model type ``"acn-bert"`` and one more value, the
connectivity; its weights have BERT's own names.

transformers and its clients decide many things by the name of a model's class: how labels are
shifted, how checkpoints are renamed, what a pipeline accepts. The class therefore has its host's
name, and in memory they treat a converted BERT as a BERT. Files use names that no library mistakes
for a plain model: type ``"acn-bert"`` and architecture ``"AcnBertForSequenceClassification"``,
under which the class can also be imported.
"""

from __future__ import annotations

import copy
import importlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import cache, wraps
from pathlib import Path
from types import MethodType
from typing import Any, cast

import torch
from torch import nn

from autocompress.connectivity import make_rule
from autocompress.conversion.buffers import forget_buffers, watch_buffers
from autocompress.conversion.hf_ours import host_values, load_ours
from autocompress.conversion.hidden_states import KINDS, noting, shown_states
from autocompress.conversion.host import HostTrunk, set_rules, trunks_of
from autocompress.conversion.hosting import host_network
from autocompress.conversion.layers import is_registered
from autocompress.conversion.pickling import PREFIX as CLASS_PREFIX
from autocompress.conversion.pickling import find_class, importable_name, reduction
from autocompress.conversion.planning import outline
from autocompress.errors import ConvertError

__all__ = [
    "PREFIX",
    "acn_class",
    "acn_config",
    "become_acn",
    "become_plain",
    "when_family_is_made",
]

PREFIX = "acn-"

#: Families whose type transformers reads from the config of a running model (speech recognition
#: and generation treat Whisper specially), so there it must be the host's own.
_TYPE_IS_READ = ("whisper",)


#: Options by which a host is asked for what its layers compute.
_INSIDE = ("output_hidden_states", "output_attentions")


#: Functions called with the config class of a host's family when its acn classes are created.
_LISTENERS: list[Callable[[Any], None]] = []


def when_family_is_made(listener: Callable[[Any], None]) -> None:
    """Call ``listener`` with the config class of each family for which an acn config is created."""
    _LISTENERS.append(listener)


def _tell_of(config_class: Any) -> None:
    """Call the listeners with a family's config class.

    transformers' Auto classes are imported first, because that imports hf_auto, which listens
    (:mod:`autocompress.clients`).
    """
    importlib.import_module("transformers.models.auto.modeling_auto")
    for listener in _LISTENERS:
        listener(config_class)


class _Trunked:
    """The methods that an acn class adds to its transformers class."""

    def save_pretrained(self, *args: Any, **kwargs: Any) -> Any:
        """Save as transformers does, with the current connectivity, a model card and the module.

        The module (:mod:`autocompress.conversion.hf_folder`) opens the folder in programs that
        import nothing of ours; they are written first, so that ``push_to_hub`` takes them along.
        ``curve=``, from :func:`autocompress.probe`, is shown by the card.
        """
        from autocompress.conversion import hf_folder

        host: Any = self
        curve = kwargs.pop("curve", None)
        host.config.connectivity = rule_of(host)
        if hasattr(host.config, "validate"):
            host.config.validate()  # as transformers does, but before anything is written
        vars(host.config).pop("auto_map", None)
        vars(host.config).update(hf_folder.auto_map(host))
        directory = Path(args[0] if args else kwargs["save_directory"])
        if not directory.is_file() and kwargs.get("is_main_process", True):
            directory.mkdir(parents=True, exist_ok=True)
            hf_folder.write_beside(host, directory, curve)
        return super().save_pretrained(*args, **kwargs)  # type: ignore[misc]

    @classmethod
    def from_pretrained(
        cls, pretrained_model_name_or_path: Any, *args: Any, **kwargs: Any
    ) -> Any:  # the first name is transformers' own: some callers use it
        """Load as transformers does, and a folder of ours as this library does."""
        path = pretrained_model_name_or_path
        ours = None if args else load_ours(cls, path, kwargs, become_acn)
        if ours is not None:
            return ours
        return super().from_pretrained(path, *args, **kwargs)  # type: ignore[misc]

    @classmethod
    def register_for_auto_class(cls, auto_class: str = "AutoModel") -> None:
        """Do nothing: transformers would copy this library's source into every saved folder."""

    def initialize_weights(self) -> None:
        """Initialise as transformers does; gates without saved values start as their rule says."""
        super().initialize_weights()  # type: ignore[misc]
        host: Any = self
        for trunk in trunks_of(host):
            with torch.device("cpu"):
                fresh = make_rule(host.config.connectivity, len(trunk)).state_dict()
            for name, tensor in trunk.connectivity.state_dict(keep_vars=True).items():
                if not getattr(tensor, "_is_hf_initialized", False) and not tensor.is_meta:
                    with torch.no_grad():
                        tensor.copy_(fresh[name])

    @classmethod
    def is_custom_code(cls) -> bool:
        """Return whether the host's class is custom code; our subclass does not count as such."""
        return bool(cast(Any, super()).is_custom_code.__func__(_plain_class(cls)))

    def __reduce_ex__(self, protocol: Any) -> Any:
        return reduction(
            self, super().__reduce_ex__(max(protocol, 2)), acn_class, _plain_class(type(self))
        )

    def __setstate__(self, state: Any) -> None:
        cast(Any, super()).__setstate__(state)
        for module in cast(nn.Module, self).modules():
            if hasattr(type(module), "_can_record_outputs"):  # it was never constructed here
                _note_class(type(module))


def rule_of(model: nn.Module) -> Any:
    """Return the connectivity of a host with one trunk, in the form its config holds."""
    rules = [trunk.connectivity.to_config() for trunk in trunks_of(model)]
    return rules[0] if rules else cast(Any, model).config.connectivity


@cache
def acn_class(cls: Any) -> type[Any]:
    """Return the subclass of a transformers model class with a trunk in place of its layers.

    Use it like any class of transformers: it takes what ``cls`` takes, and
    ``acn_class(BertModel).from_pretrained(...)`` also accepts a plain BERT checkpoint, since the
    weights have the same names. A plain config is copied and given the connectivity ``"acn"``.
    """
    if issubclass(cls, _Trunked):
        return cast(type[Any], cls)
    config_class = acn_config(cls.config_class)
    body = {
        "__init__": _constructor(cls, config_class),
        "forward": _showing(cls.forward),
        "__module__": __name__,
        "__qualname__": importable_name(cls, "transformers"),
        "__doc__": cls.__doc__,
        "__annotations__": {"config": config_class},
        "config_class": config_class,
        "config": None,
    }
    made = cast(type[Any], type(cls.__name__, (_Trunked, cls), body))
    _note_class(made)
    return made


def _constructor(cls: type[Any], config_class: type[Any]) -> Callable[..., None]:
    """Return the ``__init__`` of an acn class: the host's, with its signature, then the trunk."""

    def acn(value: Any) -> Any:
        return _with_connectivity(value, config_class)

    @wraps(cls.__init__)
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        for value in (*args, *kwargs.values()):
            _check_branches(value, cls.__name__)
        args, kwargs = tuple(map(acn, args)), {key: acn(value) for key, value in kwargs.items()}
        cls.__init__(self, *args, **kwargs)
        self.config = acn(self.config)  # in case a user's class creates its own config
        # a class with a head may have built its base as an acn class; a cut at 0 has no layers
        blocks = getattr(self.config, "blocks", None)
        if not trunks_of(self) and _has_layers(self, blocks):
            host_network(self, outline(self, blocks=blocks))
        set_rules(self, self.config.connectivity)
        watch_buffers(self)

    return __init__


def _has_layers(host: Any, blocks: Sequence[str] | None) -> bool:
    if blocks is None:
        return bool(host.config.num_hidden_layers)
    return all(len(host.get_submodule(path)) for path in blocks)


def _showing(call: Callable[..., Any]) -> Callable[..., Any]:
    """Return a host's ``forward`` with the hidden states that its config names.

    It is not ``__call__`` that is changed: PEFT and sentence-transformers call ``forward`` itself.
    """
    taken = list(inspect.signature(call).parameters)[1:]  # without self

    def asked(self: Any, name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        place = taken.index(name) if name in taken else len(taken)
        said = args[place] if len(args) > place else kwargs.get(name)
        return getattr(self.config, name, False) if said is None else said  # as some pass None

    @wraps(call)
    def forward(self: Any, *args: Any, **kwargs: Any) -> Any:
        wanted = any(asked(self, name, args, kwargs) for name in _INSIDE)
        if not wanted or torch.compiler.is_compiling():
            return call(self, *args, **kwargs)
        with noting() as notes:
            out = call(self, *args, **kwargs)
        return shown_states(out, notes, getattr(self.config, "hidden_states_are", KINDS[0]))

    cast(Any, forward).shows_states_of = call
    return forward


def _check_branches(config: Any, name: str) -> None:
    """Raise ConvertError for the config of a network that no class can rebuild by itself."""
    if isinstance(config, _AcnConfig) and getattr(config, "branches", None) == "given":
        raise ConvertError(
            f"the layers of this {name} were split by example= or branches= of its owner, "
            "which no file holds: convert a plain one so, then give it these weights"
        )


def _with_connectivity(value: Any, config_class: type[Any]) -> Any:
    """Return a copy of a plain config with a connectivity; return other values unchanged."""
    if type(value) is not config_class.__bases__[1]:
        return value
    config = copy.deepcopy(value)
    config.__class__ = config_class
    return config


class _AcnConfig:
    """The methods that the config of an acn class adds to its host's."""

    def __new__(cls, *_: Any, **__: Any) -> Any:
        _tell_of(_plain_class(cls))  # the Auto classes may meet this type from now on
        return super().__new__(cls)

    @classmethod
    def get_config_dict(cls, *args: Any, **kwargs: Any) -> Any:
        """Read a config as transformers does; a plain checkpoint's type becomes ours."""
        found, rest = super().get_config_dict(*args, **kwargs)  # type: ignore[misc]
        if found.get("model_type") == _plain_class(cls).model_type:
            found["model_type"] = cast(Any, cls).model_type
        return found, rest

    @classmethod
    def from_dict(cls, config_dict: Any, **kwargs: Any) -> Any:
        """Build a config as transformers does, also from config.json of a folder of ours."""
        return super().from_dict(dict(host_values(config_dict)), **kwargs)  # type: ignore[misc]

    def to_dict(self) -> dict[str, Any]:
        """Write the config as transformers does, with architectures that name acn classes."""
        written: dict[str, Any] = super().to_dict()  # type: ignore[misc]
        names = written.get("architectures")
        if names:
            known = [name.removeprefix(CLASS_PREFIX) for name in names]
            written["architectures"] = [CLASS_PREFIX + name for name in known]
        return written

    @classmethod
    def register_for_auto_class(cls, auto_class: str = "AutoConfig") -> None:
        """Do nothing, as for models."""

    def __reduce_ex__(self, protocol: Any) -> Any:
        return reduction(
            self, super().__reduce_ex__(max(protocol, 2)), acn_config, _plain_class(type(self))
        )


class _TypeInMemory:
    """A model type: ours on the class and in files, the host's on objects in memory."""

    def __init__(self, plain: str) -> None:
        self.plain = plain

    def __get__(self, config: Any, cls: Any) -> str:
        return self.plain if config is not None else PREFIX + self.plain


@cache
def acn_config(cls: Any) -> type[Any]:
    """Return the config class of :func:`acn_class` for a host's config class."""
    read = cls.model_type in _TYPE_IS_READ
    body = {
        "__module__": __name__,
        "__qualname__": importable_name(cls, "transformers"),
        "__doc__": cls.__doc__,
        "model_type": _TypeInMemory(cls.model_type) if read else PREFIX + cls.model_type,
        "connectivity": "acn",
    }
    made = cast(type[Any], type(CLASS_PREFIX + cls.__name__, (_AcnConfig, cls), body))
    _share_renamings(cls.model_type)
    return made


def _plain_class(cls: type[Any]) -> Any:
    """Return the host's class for one of ours, or for a subclass of one."""
    return next(
        c for c in cls.__mro__[1:] if not issubclass(c, (_Trunked, _AcnConfig)) and c is not object
    )


def _share_renamings(model_type: str) -> None:
    """Let checkpoints of our type be renamed like those of the host's type."""
    from transformers import conversion_mapping

    renamings: Any = conversion_mapping
    found = renamings.get_checkpoint_conversion_mapping(model_type)
    if found is not None:
        renamings.register_checkpoint_conversion_mapping(PREFIX + model_type, found, overwrite=True)


def _note_class(cls: Any) -> None:
    """Tell transformers which outputs a class records: it looks them up by the class's text."""
    from transformers.utils.output_capturing import _CAN_RECORD_REGISTRY

    dict.__setitem__(_CAN_RECORD_REGISTRY, str(cls), cls._can_record_outputs)


def become_acn(model: nn.Module) -> None:
    """Turn a transformers model with a trunk into an object of its acn class, in place."""
    host: Any = model
    plain, made = type(host).config_class, acn_class(cast(Any, type(host)))
    host.__class__ = made
    for config in _configs(model, plain):
        config.__class__ = acn_config(plain)
    host.config.connectivity = rule_of(host)
    if not all(is_registered(layer) for trunk in trunks_of(model) for layer in trunk.blocks):
        host.config.branches = "given"  # saved as well, and no class can rebuild it
    if not hasattr(host.config, "num_hidden_layers"):  # made of several models: which has trunks?
        named = model.named_modules()
        host.config.blocks = [path for path, module in named if isinstance(module, HostTrunk)]
    _tell_of(plain)
    watch_buffers(host)
    own = vars(host).get("forward")
    if isinstance(own, MethodType):  # as accelerate replaces it for mixed precision
        host.forward = MethodType(_showing(own.__func__), host)


def become_plain(model: nn.Module) -> None:
    """Undo :func:`become_acn`, in place."""
    host: Any = model
    made: Any = type(host)
    if not issubclass(made, _Trunked):
        return
    for config in _configs(model, made.config_class):
        config.__class__ = _plain_class(made.config_class)
    host.__class__ = _plain_class(made)
    for key in ("connectivity", "branches", "blocks", "auto_map", "hidden_states_are"):
        host.config.__dict__.pop(key, None)
    own = vars(host).get("forward")
    if hasattr(own, "shows_states_of"):
        host.forward = MethodType(own.shows_states_of, host)
    forget_buffers(host)


def _configs(model: nn.Module, cls: type[Any]) -> list[Any]:
    """Return the distinct configs of exactly this class that modules of ``model`` hold."""
    held = [getattr(module, "config", None) for module in model.modules()]
    return list({id(config): config for config in held if type(config) is cls}.values())


def __getattr__(name: str) -> Any:
    """Return an acn class by name, e.g. ``AcnBertModel``, as pickle does to read classes."""
    cls: Any = find_class(name, "transformers")
    if cls is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return acn_class(cls) if issubclass(cls, nn.Module) else acn_config(cls)
