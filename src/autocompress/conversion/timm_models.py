"""timm models with a trunk inside, registered as ``acn_`` plus timm's own names."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, cast

from torch import nn

from autocompress.connectivity import Spec, as_name
from autocompress.conversion.buffers import forget_buffers, watch_buffers
from autocompress.conversion.host import HostTrunk, set_rules, trunks_of
from autocompress.conversion.hosting import host_network
from autocompress.conversion.layers import SplitLayer, is_registered, layer_kinds
from autocompress.conversion.pickling import find_class, importable_name, reduction
from autocompress.conversion.planning import outline, registered_lists
from autocompress.conversion.sources import OURS
from autocompress.conversion.views import replaced
from autocompress.errors import ConfigError
from autocompress.extras import import_extra

__all__ = ["PREFIX", "become_acn", "become_plain", "register_timm"]

PREFIX = "acn_"

#: timm's modules whose models use no layer class of their own, but those of vision_transformer or
#: plain sequences.
_ALSO = ("deit", "convmixer")

#: Arguments that timm passes to an entry point besides those of the model.
_FILLERS = ("pretrained_cfg", "pretrained_cfg_overlay", "cache_dir", "pretrained_model_args")

#: Pretrained weights and their preprocessing by name, as timm's registry reads them.
default_cfgs: dict[str, Any] = {}


class _Trunked:
    """The methods that a host needs besides its trunk to keep timm's features working."""

    def forward_intermediates(self, *args: Any, **kwargs: Any) -> Any:
        """Return intermediates as timm does; in an isotropic network i is the readout at i + 1.

        With ``model.hidden_states_are = "layers"`` they are the outputs of the layers, for which a
        second pass is made.
        """
        readouts = self._intermediates("readouts", *args, **kwargs)
        if getattr(self, "hidden_states_are", "readouts") == "readouts":
            return readouts
        layers = self._intermediates("layers", *args, **kwargs)
        if isinstance(layers, dict):
            return {k: (layers if "intermediates" in k else readouts)[k] for k in layers}
        return (readouts[0], layers[1]) if isinstance(layers, tuple) else layers

    def _intermediates(self, kind: str, *args: Any, **kwargs: Any) -> Any:
        model = cast(nn.Module, self)
        own = trunks_of(model)
        trunks = {p: m.step_by_step(kind) for p, m in model.named_modules() if m in own}
        view: Any = replaced(model, trunks)
        return cast(Any, super()).forward_intermediates.__func__(view, *args, **kwargs)

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Recompute each layer in the backward pass instead of keeping its activations."""
        for module in cast(nn.Module, self).modules():
            if isinstance(module, SplitLayer):
                module.recompute = enable

    @property
    def _model_args(self) -> dict[str, Any]:
        """Return the arguments that timm writes for its loader: the host's and our current ones."""
        return {**self.__dict__.get("_model_args", {}), **_own_arguments(cast(nn.Module, self))}

    @_model_args.setter
    def _model_args(self, arguments: Mapping[str, Any]) -> None:
        kept = {key: value for key, value in arguments.items() if key not in OURS}
        self.__dict__["_model_args"] = kept

    def __reduce_ex__(self, protocol: Any) -> Any:
        inherited = super().__reduce_ex__(max(protocol, 2))
        return reduction(self, inherited, _acn_class, type(self).__bases__[1])


def _own_arguments(model: nn.Module) -> dict[str, Any]:
    """Return the arguments of :func:`_entry` that recreate a host's trunks from plain layers."""
    trunks = trunks_of(model)
    rules = [as_name(trunk.connectivity.to_config()) for trunk in trunks]
    found: dict[str, Any] = {"connectivity": rules[0]}
    if any(rule != rules[0] for rule in rules):
        found["connectivity"] = {"name": "stages", "rules": rules}
    layers = [len(trunk) for trunk in trunks]
    if layers != model.acn_layers:
        found["layers"] = layers
    if not all(is_registered(layer) for trunk in trunks for layer in trunk.blocks):
        found["branches"] = "given"
    return found


@cache
def _acn_class(cls: Any) -> type[Any]:
    body = {"__module__": __name__, "__qualname__": importable_name(cls, "timm.models")}
    return cast(type[Any], type(cls.__name__, (_Trunked, cls), body | {"__doc__": cls.__doc__}))


def become_acn(model: nn.Module) -> None:
    """Turn a timm model that has been given trunks into an object of its acn class, in place."""
    host: Any = model
    if isinstance(model, _Trunked):
        return
    host.acn_layers = [len(trunk) for trunk in trunks_of(model)]
    host.__class__ = _acn_class(cast(Any, type(host)))
    _rename(host, lambda name: PREFIX + name.removeprefix(PREFIX))
    watch_buffers(host)


def become_plain(model: nn.Module) -> None:
    """Undo :func:`become_acn`, in place."""
    host: Any = model
    if isinstance(model, _Trunked):
        host.__class__ = type(model).__bases__[1]
        _rename(host, lambda name: name.removeprefix(PREFIX))
        del host.acn_layers
        vars(host).pop("hidden_states_are", None)
        forget_buffers(host)


def _rename(host: Any, name: Callable[[str], str]) -> None:
    """Change the architecture name that timm writes."""
    for key in ("pretrained_cfg", "default_cfg"):
        known = host.__dict__.get(key)
        if isinstance(known, Mapping) and known.get("architecture"):
            setattr(host, key, {**known, "architecture": name(known["architecture"])})


def register_timm() -> list[str]:
    """Register ``acn_NAME`` with timm for every model of a supported family.

    ``timm.create_model("acn_vit_tiny_patch16_224", connectivity="acn", depth=8)`` is a timm model
    whose ``blocks`` are a trunk; its pretrained weights are those of the plain name.

    Returns:
        The new names, sorted. Further calls change nothing.

    Raises:
        MissingExtraError: timm is not installed.
    """
    timm: Any = import_extra("timm", "timm", "a timm model")
    names = [n for n in timm.list_models(module=_modules()) if not n.startswith(PREFIX)]
    for name in names:
        if not timm.is_model(PREFIX + name):
            _share_weights(name)
            timm.models.register_model(_entry(name))
    return sorted(PREFIX + name for name in names)


def _modules() -> list[str]:
    """Return timm's modules that hold supported layers."""
    timm_kinds = [n for n in layer_kinds() if n.startswith("timm.models.")]
    return sorted({n.partition(":")[0].split(".")[-1] for n in timm_kinds} | set(_ALSO))


def _share_weights(name: str) -> None:
    """Register the pretrained weights of the plain name for our name as well."""
    from timm.models import DefaultCfg, get_arch_pretrained_cfgs

    found = get_arch_pretrained_cfgs(name)
    tags = {known.partition(".")[2]: value for known, value in found.items()}
    if tags:
        pretrained = any(value.has_weights for value in tags.values())
        default_cfgs[PREFIX + name] = DefaultCfg(deque(tags), tags, pretrained)


def _entry(name: str) -> Callable[..., nn.Module]:
    def create(
        pretrained: bool = False,
        connectivity: Spec | None = None,
        layers: Sequence[int] | None = None,
        branches: str | None = None,
        **kwargs: Any,
    ) -> nn.Module:
        import timm

        if branches is not None:
            raise ConfigError(
                f"the layers of this {PREFIX}{name} were split by branches= of its owner, "
                "which no file holds: convert the plain network with them, then load its weights"
            )
        saved_by_us = pretrained and _source(kwargs.get("pretrained_cfg")) is not None
        if saved_by_us and connectivity is None:
            raise ConfigError(
                f"this folder of {PREFIX}{name} does not say its connectivity: the timm that "
                "wrote it keeps no arguments of a model; give connectivity=RULE"
            )
        arguments = _without_none(kwargs)
        made: Any = timm.create_model(name, pretrained=pretrained and not saved_by_us, **arguments)
        # timm wraps a whole model to extract features, or takes its stages out of it
        host = made.model if type(made).__name__ == "FeatureGetterNet" else made
        _host(host, connectivity or "acn", layers)
        if not hasattr(host, "forward_intermediates"):
            return cast(nn.Module, made)
        told = {key: value for key, value in arguments.items() if key not in _FILLERS}
        host.acn_source = {"source": f"timm:{name}", "arguments": told}
        if saved_by_us:
            _load(host)
        return cast(nn.Module, made)

    create.__name__ = create.__qualname__ = PREFIX + name
    create.__module__ = __name__
    create.__doc__ = f"timm's {name} with the connectivity of your choice."
    setattr(sys.modules[__name__], create.__name__, create)
    return create


def _host(model: nn.Module, connectivity: Spec, layers: Sequence[int] | None) -> None:
    """Give a plain model its trunks, with the given number of layers each."""
    whole = hasattr(model, "forward_intermediates")
    # in a model split up for feature extraction the stages have other names
    paths = host_network(model, outline(model, blocks=None if whole else registered_lists(model)))
    if whole:
        become_acn(model)
    trunks = [cast(HostTrunk, model.get_submodule(path)) for path in paths]
    kept = [len(trunk) for trunk in trunks] if layers is None else list(layers)
    if len(kept) != len(trunks):
        raise ConfigError(f"layers {kept} has not one number for each of {len(trunks)} trunks")
    for path, trunk, count in zip(paths, trunks, kept, strict=True):
        if count != len(trunk):
            model.set_submodule(path, trunk.cut(count).train(trunk.training))
    set_rules(model, connectivity)


def _source(known: Any) -> str | None:
    """Return where a config that timm read from a saved folder has its weights; None for others."""
    source = known.get("source") if isinstance(known, Mapping) else getattr(known, "source", None)
    return source if source in ("hf-hub", "local-dir") else None


def _load(host: Any) -> None:
    """Load the weights of a saved host whose layers and gates match ``host``."""
    from timm.models import load_pretrained

    home = sys.modules[type(host).__bases__[1].__module__]
    load_pretrained(
        host,
        num_classes=host.num_classes,
        in_chans=getattr(host, "in_chans", 3),
        filter_fn=getattr(home, "checkpoint_filter_fn", None),
    )


def _without_none(kwargs: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments without timm's own fillers, which the plain name sets again."""
    return {key: value for key, value in kwargs.items() if key not in _FILLERS or value is not None}


def __getattr__(name: str) -> Any:
    """Return a converted host's class by its name, as pickle does to read classes."""
    cls: Any = find_class(name, "timm.models")
    if cls is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return _acn_class(cls)
