"""Find what has changed in a network since it was built, store it as data and apply it again.

A host's owner may give it a new head, other drop rates, another pooling or larger embeddings. Its
constructor, called with the arguments in config.json, then no longer builds it. Differences that
can be written as data are stored in config.json under ``changes``; the others are reasons for
refusing to save, and are described in words.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import torch
from torch import Tensor, nn

from autocompress.errors import CheckpointError

__all__ = ["Changes", "apply_changes", "find_changes"]

#: Modules of torch.nn that can be rebuilt from these attributes.
_PARTS: dict[str, tuple[str, ...]] = {
    "Identity": (),
    "Linear": ("in_features", "out_features", "bias"),
    "Bilinear": ("in1_features", "in2_features", "out_features", "bias"),
    "Embedding": ("num_embeddings", "embedding_dim", "padding_idx"),
    "LayerNorm": ("normalized_shape", "eps", "elementwise_affine", "bias"),
    "RMSNorm": ("normalized_shape", "eps", "elementwise_affine"),
    "GroupNorm": ("num_groups", "num_channels", "eps", "affine"),
    "BatchNorm1d": ("num_features", "eps", "momentum", "affine", "track_running_stats"),
    "BatchNorm2d": ("num_features", "eps", "momentum", "affine", "track_running_stats"),
    "Conv1d": ("in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation",
               "groups", "bias", "padding_mode"),
    "Conv2d": ("in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation",
               "groups", "bias", "padding_mode"),
    "Dropout": ("p",),
    "Dropout1d": ("p",),
    "Dropout2d": ("p",),
    "GELU": ("approximate",),
    "ReLU": (),
    "SiLU": (),
    "Tanh": (),
    "Sigmoid": (),
    "Hardswish": (),
    "ELU": ("alpha",),
    "LeakyReLU": ("negative_slope",),
    "Softplus": ("beta", "threshold"),
    "PReLU": ("num_parameters",),
    "Flatten": ("start_dim", "end_dim"),
    "AdaptiveAvgPool1d": ("output_size",),
    "AdaptiveAvgPool2d": ("output_size",),
    "Sequential": (),
    "ModuleList": (),
    "ModuleDict": (),
}  # fmt: skip

_CONTAINERS = ("Sequential", "ModuleList", "ModuleDict")

#: Attributes that give a module's mode or origin and do not affect its outputs.
_MODES = frozenset(
    ("training", "gradient_checkpointing", "grad_checkpointing", "recompute", "name_or_path")
)

_WORD = re.compile(r"[A-Za-z0-9_.+-]{0,64}")


@dataclass
class Changes:
    """Differences between a network and a second one that was built from its config.

    Attributes:
        modules: Current modules by path, as ``{"class", "arguments", "parts"}`` or None.
        values: Attributes with other values, by path.
        tensors: Current shapes of parameters and buffers, by name; None if a tensor is gone.
        refusals: Differences that cannot be written as data.
        notes: Functions and hooks, which may or may not change the outputs.
    """

    modules: dict[str, Any] = field(default_factory=dict)
    values: dict[str, dict[str, Any]] = field(default_factory=dict)
    tensors: dict[str, list[int] | None] = field(default_factory=dict)
    refusals: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def every(self) -> dict[str, Any]:
        """Return every kind of difference that is data, by its key in config.json."""
        return {"modules": self.modules, "values": self.values, "tensors": self.tensors}

    def to_config(self) -> dict[str, Any]:
        """Return the value of ``changes`` in config.json, without empty parts."""
        return {key: value for key, value in self.every().items() if value}


def find_changes(net: nn.Module, built: nn.Module) -> Changes:
    """Return the differences between ``net`` and ``built``, which was built from its config.

    The values of tensors and the attributes of the outermost module are not compared.
    """
    changes = Changes()
    _compare_parts(net, built, "", changes)
    return changes


def _compare(net: nn.Module, built: nn.Module, path: str, changes: Changes) -> None:
    if type(net) is not type(built):
        _exchange(net, type(built), path, changes)
        return
    values, words = _other_values(net, built)
    if values:
        changes.values[path] = values
    changes.notes += [f"{path}: {word}" for word in words]
    _compare_parts(net, built, path, changes)


def _compare_parts(net: nn.Module, built: nn.Module, path: str, changes: Changes) -> None:
    dot = path + "." if path else ""
    for name, tensor in _tensors(net).items():
        there = _tensors(built).get(name)
        now = None if tensor is None else list(tensor.shape)
        if now != (None if there is None else list(there.shape)):
            if name in net._non_persistent_buffers_set or (name in net._buffers and there is None):
                changes.refusals.append(f"{dot}{name} is a buffer of {now}, {_built_as(there)}")
            else:
                changes.tensors[dot + name] = now
    for name in _tensors(built).keys() - _tensors(net).keys():
        changes.tensors[dot + name] = None
    ours, theirs = net._modules, built._modules
    for name in [*ours, *(name for name in theirs if name not in ours)]:
        child, twin = ours.get(name), theirs.get(name)
        if child is None:
            if twin is not None:
                changes.modules[dot + name] = None
        elif twin is None:
            _exchange(child, None, dot + name, changes)
        else:
            _compare(child, twin, dot + name, changes)
    ordered = isinstance(net, nn.Sequential | nn.ModuleList)
    kept = [name for name in theirs if name in ours]
    if ordered and list(ours) != kept + [name for name in ours if name not in theirs]:
        changes.refusals.append(f"the modules of {path} stand in another order: {list(ours)}")


def _built_as(buffer: Tensor | None) -> str:
    if buffer is None:
        return "which its class lacks"
    shape = list(buffer.shape)
    return f"which its class builds as {shape}: change the size of a network before it is converted"


def _exchange(net: nn.Module, built: type | None, path: str, changes: Changes) -> None:
    strange = list(_strangers(net, path))
    if strange:
        wanted = f", and config.json builds {_name(built)}" if built is not None else ""
        changes.refusals.append(f"{strange[0]}{wanted}")
    else:
        changes.modules[path] = _described(net)


def _strangers(net: nn.Module, path: str) -> Iterator[str]:
    """Yield a description of each module at or below ``path`` that data cannot rebuild."""
    if vars(nn).get(type(net).__name__) is not type(net) or type(net).__name__ not in _PARTS:
        yield f"{path} is {_name(type(net))}"
        return
    for name, child in net._modules.items():
        if child is not None:
            yield from _strangers(child, f"{path}.{name}")


def _name(cls: type) -> str:
    article = "an" if cls.__name__[0] in "AEIOU" else "a"
    return f"{article} {cls.__module__}.{cls.__qualname__}"


def _described(net: nn.Module) -> dict[str, Any]:
    name = type(net).__name__
    said: dict[str, Any] = {"class": name}
    options = {key: _option(net, key) for key in _PARTS[name]}
    if options:
        said["arguments"] = options
    if name in _CONTAINERS:
        said["parts"] = {
            key: None if child is None else _described(child) for key, child in net._modules.items()
        }
    return said


def _option(net: nn.Module, key: str) -> Any:
    value = getattr(net, key, None)
    return value is not None if key == "bias" else _plain(value)


def _tensors(net: nn.Module) -> dict[str, Tensor | None]:
    return {**net._parameters, **net._buffers}


# -- attributes ------------------------------------------------------------------------------------


def _other_values(net: nn.Module, built: nn.Module) -> tuple[dict[str, Any], list[str]]:
    """Return the attributes that differ: those that are data, and descriptions of the others."""
    values, words = {}, []
    theirs = vars(built)
    for key, value in vars(net).items():
        if key == "forward":
            words.append("its forward is replaced")
        if key.startswith("_") or key in _MODES or key not in theirs:
            continue
        other = theirs[key]
        if _is_plain(value) and _is_plain(other):
            if not _same(value, other):
                values[key] = _plain(value)
        elif _is_function(value) and value is not other:
            words.append(f"{key} is {getattr(value, '__qualname__', value)}")
    if len(net._forward_hooks) > len(built._forward_hooks) or len(net._forward_pre_hooks) > len(
        built._forward_pre_hooks
    ):
        words.append("it has hooks")
    return values, words


def _same(value: Any, other: Any) -> bool:
    return type(value) is type(other) and bool(value == other)


def _is_function(value: Any) -> bool:
    return callable(value) and not isinstance(value, (nn.Module, type))


def _is_plain(value: Any) -> bool:
    """Return whether a value is a number, a string, None, or a short collection of them."""
    if isinstance(value, (tuple, list)):
        return len(value) <= 4096 and all(_is_plain(one) for one in value)
    if isinstance(value, str):
        return _WORD.fullmatch(value) is not None
    return value is None or type(value) in (bool, int, float)


def _plain(value: Any) -> Any:
    return [_plain(one) for one in value] if isinstance(value, (tuple, list)) else value


def _like(value: Any, before: Any) -> Any:
    """Convert a JSON value to the type of the present one; raise TypeError if it is another."""
    if not _is_plain(value) or not _is_plain(before):
        raise TypeError(f"{value!r} in place of {before!r}")
    if isinstance(before, (tuple, list)):
        if not isinstance(value, list):
            raise TypeError(f"{value!r} in place of {before!r}")
        return tuple(_frozen(one) for one in value) if isinstance(before, tuple) else value
    kinds = {bool: bool, str: str, int: (int, float), float: (int, float)}
    if value is None or before is None:
        return value
    fits = isinstance(value, kinds[type(before)])  # type: ignore[arg-type]
    if not fits or (isinstance(value, bool) and not isinstance(before, bool)):
        raise TypeError(f"{value!r} in place of {before!r}")
    return value


def _frozen(value: Any) -> Any:
    return tuple(_frozen(one) for one in value) if isinstance(value, list) else value


# -- the way back ----------------------------------------------------------------------------------


def apply_changes(net: nn.Module, said: Mapping[str, Any]) -> None:
    """Apply the ``changes`` of a config.json to ``net``, just built; new tensors are on meta.

    Raises:
        CheckpointError: An entry is not a valid change of this network.
    """
    try:
        if not set(said) <= set(Changes().every()):
            raise ValueError(f"{sorted(said)} are not {', '.join(Changes().every())}")
        for path, module in said.get("modules", {}).items():
            if not path:
                raise ValueError("the outermost module cannot be exchanged")
            parent, _, name = path.rpartition(".")
            net.get_submodule(parent)._modules[name] = None if module is None else _made(module)
        for path, values in said.get("values", {}).items():
            _set_values(net.get_submodule(path), values, path)
        for name, shape in said.get("tensors", {}).items():
            path, _, key = name.rpartition(".")
            _reshape(net.get_submodule(path), key, shape)
    except CheckpointError:
        raise
    except (AttributeError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise CheckpointError(
            f"config.json has changes that do not fit this network: {error}"
        ) from error


def _made(said: Mapping[str, Any]) -> nn.Module:
    name, options = said["class"], said.get("arguments", {})
    if name not in _PARTS or set(options) != set(_PARTS[name]):
        raise ValueError(f"no module {name!r} with {sorted(options)}")
    values = {key: _frozen(value) for key, value in options.items()}
    if not all(_is_plain(value) for value in values.values()):
        raise ValueError(f"arguments of {name!r} that are not numbers")
    with torch.device("meta"):
        made: nn.Module = getattr(nn, name)(**values)
    for key, part in said.get("parts", {}).items():
        if name not in _CONTAINERS:
            raise ValueError(f"a {name} has no parts")
        made.add_module(key, None if part is None else _made(part))
    return made


def _set_values(module: nn.Module, values: Mapping[str, Any], path: str) -> None:
    for key, value in values.items():
        if key.startswith("_") or key in _MODES or key not in vars(module):
            raise ValueError(f"{path} has no value {key!r}")
        vars(module)[key] = _like(value, vars(module)[key])


def _reshape(module: nn.Module, key: str, shape: list[int] | None) -> None:
    if key in module._buffers:
        if key in module._non_persistent_buffers_set:
            raise ValueError(f"{key!r} is not saved")
        kept = module._buffers[key]
        dtype = torch.float32 if kept is None else kept.dtype
        new = None if shape is None else torch.empty(shape, dtype=dtype, device="meta")
        module._buffers[key] = new
    elif key.isidentifier() and not hasattr(type(module), key):
        if key not in module._parameters and hasattr(module, key):
            raise ValueError(f"{key!r} is not a tensor")
        made = None if shape is None else nn.Parameter(torch.empty(shape, device="meta"))
        module._parameters[key] = cast(Any, made)
    else:
        raise ValueError(f"{key!r} is not the name of a tensor")
