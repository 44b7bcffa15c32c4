"""timm models with a trunk inside, under timm's own names with ``acn_`` before them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cache
from typing import Any, cast

from torch import nn

from autocompress.connectivity import Spec
from autocompress.convert.host import replaced, set_rules, trunks_of
from autocompress.convert.layers import SplitLayer, layer_kinds
from autocompress.extras import import_extra

__all__ = ["become_acn", "become_plain", "register_timm"]

PREFIX = "acn_"

#: timm's modules whose models have no layers of their own but those of vision_transformer.
_ALSO = ("deit",)


class _Trunked:
    """What a host needs beyond its trunk to keep timm's promises."""

    def forward_intermediates(self, *args: Any, **kwargs: Any) -> Any:
        """As timm has it; in an isotropic network intermediate i is the readout of depth i + 1."""
        model = cast(nn.Module, self)
        trunks = {p: m.step_by_step() for p, m in model.named_modules() if m in trunks_of(model)}
        view: Any = replaced(model, trunks)
        return cast(Any, super()).forward_intermediates.__func__(view, *args, **kwargs)

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Recompute each layer in the backward pass instead of keeping its activations."""
        for module in cast(nn.Module, self).modules():
            if isinstance(module, SplitLayer):
                module.recompute = enable


@cache
def _acn_class(cls: type[Any]) -> type[Any]:
    return type(f"Acn{cls.__name__}", (_Trunked, cls), {"__module__": __name__})


def become_acn(model: nn.Module) -> None:
    """Make a timm model that has been given trunks an object of its acn class, in place."""
    if not isinstance(model, _Trunked):
        cast(Any, model).__class__ = _acn_class(cast(Any, type(model)))


def become_plain(model: nn.Module) -> None:
    """Undo :func:`become_acn`, in place."""
    if isinstance(model, _Trunked):
        cast(Any, model).__class__ = type(model).__bases__[1]


def register_timm() -> list[str]:
    """Register ``acn_NAME`` with timm for every model of a supported family.

    ``timm.create_model("acn_vit_tiny_patch16_224", connectivity="acn", depth=8)`` is a timm model
    whose ``blocks`` are a trunk; pretrained weights are those of the plain name.

    Returns:
        The new names, sorted. Called again, it does nothing.

    Raises:
        MissingExtraError: timm is not installed.
    """
    timm: Any = import_extra("timm", "timm", "a timm model")
    names = [n for n in timm.list_models(module=_modules()) if not n.startswith(PREFIX)]
    for name in names:
        if not timm.is_model(PREFIX + name):
            timm.models.register_model(_entry(name))
    return sorted(PREFIX + name for name in names)


def _modules() -> list[str]:
    """Timm's modules that hold supported layers."""
    timm_kinds = [n for n in layer_kinds() if n.startswith("timm.models.")]
    return sorted({n.partition(":")[0].split(".")[-1] for n in timm_kinds} | set(_ALSO))


def _entry(name: str) -> Callable[..., nn.Module]:
    def create(pretrained: bool = False, connectivity: Spec = "acn", **kwargs: Any) -> nn.Module:
        import timm

        from autocompress.convert.convert import host_network
        from autocompress.convert.plan import plan

        arguments = _without_none(kwargs)
        model: Any = timm.create_model(name, pretrained=pretrained, **arguments)
        model.acn_source = {"source": f"timm:{name}", "arguments": arguments}
        host_network(model, plan(model))
        set_rules(model, connectivity)
        become_acn(model)
        return cast(nn.Module, model)

    create.__name__ = create.__qualname__ = PREFIX + name
    create.__module__ = __name__
    create.__doc__ = f"timm's {name} with the connectivity of your choice."
    setattr(sys.modules[__name__], create.__name__, create)
    return create


def _without_none(kwargs: dict[str, Any]) -> dict[str, Any]:
    """Without timm's own fillers, which the plain name sets again."""
    fillers = ("pretrained_cfg", "pretrained_cfg_overlay", "cache_dir")
    return {key: value for key, value in kwargs.items() if key not in fillers or value is not None}
