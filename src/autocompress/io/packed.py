"""Quantised weights in a saved network.

config.json describes the network as it was before it was quantised, and under ``quantised`` each
weight that is. model.safetensors has the tensors that such a weight consists of, as ``NAME:PART``.
The layers that come back are torch.ao's and torchao's own, with the same numbers.
"""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

import torch
from torch import Tensor, nn

from autocompress.errors import CheckpointError
from autocompress.extras import import_extra
from autocompress.io.header import Header
from autocompress.io.quantised import quantised
from autocompress.io.weights import put_weights, read_tensors

__all__ = ["PackedNetwork", "plain_header", "read_packed", "unpacked"]

#: torch.ao's linear layer of int8 or float16 weights, whose inputs are quantised as they come.
_DYNAMIC = "torch.ao dynamic"
_TORCHAO = "torchao"

#: Keys of an entry of each kind.
_KEYS = {_DYNAMIC: {"kind", "shape", "axis"}, _TORCHAO: {"kind", "shape", "data"}}


@dataclass(frozen=True)
class PackedNetwork:
    """A quantised network, taken apart.

    Attributes:
        plain: A copy whose weights are ordinary tensors.
        said: Record for config.json, by the weight's name.
        tensors: Tensors of model.safetensors in place of these weights.
    """

    plain: Any
    said: dict[str, dict[str, Any]]
    tensors: dict[str, Tensor]


def unpacked(net: nn.Module) -> PackedNetwork | None:
    """Return a quantised network in parts that files can hold; None for other networks.

    Weights that cannot be taken apart stay quantised in ``plain``.
    """
    if quantised(net) is None:
        return None
    plain = copy.deepcopy(net)
    packed = PackedNetwork(plain, {}, {})
    for path, module in list(plain.named_modules()):
        if _is_dynamic(module):
            _put(plain, path, _take_dynamic(f"{path}.weight", module, packed))
            continue
        for key, weight in module._parameters.items():
            if weight is not None and type(weight).__module__.startswith("torchao."):
                _take_torchao(f"{path}.{key}", weight, packed)
                if f"{path}.{key}" in packed.said:
                    module._parameters[key] = nn.Parameter(cast(Any, weight).dequantize())
    return packed


def _is_dynamic(module: Any) -> bool:
    name = f"{type(module).__module__}.{type(module).__name__}"
    return name == "torch.ao.nn.quantized.dynamic.modules.linear.Linear"


def _take_dynamic(name: str, module: Any, packed: PackedNetwork) -> nn.Linear:
    """Note a layer of torch.ao; return an ordinary one."""
    weight, bias = module._weight_bias()
    axis = None
    if not weight.is_quantized:
        parts = {"values": weight.half()}
    elif weight.qscheme() == torch.per_channel_affine:
        axis = weight.q_per_channel_axis()
        scale, zero = weight.q_per_channel_scales(), weight.q_per_channel_zero_points()
        parts = {"values": weight.int_repr(), "scale": scale, "zero": zero}
    else:
        scale = torch.tensor([weight.q_scale()], dtype=torch.float64)
        zero = torch.tensor([weight.q_zero_point()])
        parts = {"values": weight.int_repr(), "scale": scale, "zero": zero}
    packed.said[name] = {"kind": _DYNAMIC, "shape": list(weight.shape), "axis": axis}
    packed.tensors.update({f"{name}:{part}": tensor for part, tensor in parts.items()})
    with torch.device("meta"):
        made = nn.Linear(weight.shape[1], weight.shape[0], bias is not None)
    made.weight = nn.Parameter(weight.dequantize() if weight.is_quantized else weight.clone())
    if bias is not None:
        made.bias = nn.Parameter(bias.detach().clone())
    return made.train(module.training)


def _take_torchao(name: str, weight: Any, packed: PackedNetwork) -> None:
    """Note a tensor of torchao, if torchao can describe it."""
    utils = _torchao()
    if type(weight).__name__ not in utils.ALLOWED_TENSORS_SUBCLASSES:
        return
    told = json.loads(json.dumps(weight.detach(), cls=utils.TensorSubclassAttributeJSONEncoder))
    parts = told.pop("_tensor_data_names")
    packed.said[name] = {"kind": _TORCHAO, "shape": list(weight.shape), "data": told}
    for part in parts:
        packed.tensors[f"{name}:{part}"] = getattr(weight, part).detach()


def _torchao() -> Any:
    return import_extra(
        "torchao.prototype.safetensors.safetensors_utils", "clients", "a network with its weights"
    )


def plain_header(header: Header, said: Mapping[str, Any]) -> Header:
    """Return the content list that the file would have if no weight were quantised.

    Raises:
        CheckpointError: The entries do not fit the file.
    """
    if not said:
        return header
    shapes = {name: shape for name, shape in header.shapes.items() if ":" not in name}
    for name, entry in said.items():
        kind = entry.get("kind") if isinstance(entry, dict) else None
        if kind not in _KEYS or set(entry) != _KEYS[kind] or name in shapes:
            raise CheckpointError(f"{header.path}: {name!r:.80} is not described as quantised")
        shape = entry["shape"]
        good = isinstance(shape, list) and all(type(n) is int and n > 0 for n in shape)
        if not good or math.prod(shape) > 8 * header.size:
            raise CheckpointError(f"{header.path} cannot hold {name} of shape {shape!r:.80}")
        shapes[name] = tuple(shape)
    told = {key: value for key, value in header.metadata.items() if ":" not in key}
    floating = frozenset(name for name in shapes if name in header.floating or name in said)
    return replace(header, shapes=shapes, floating=floating, metadata=told)


def read_packed(
    net: nn.Module, header: Header, plain: Header, said: Mapping[str, dict[str, Any]]
) -> None:
    """Load the file of a quantised network into the plain one, and quantise it as it was.

    Args:
        net: The network as config.json describes it.
        header: Header of the file.
        plain: Result of :func:`plain_header`.
        said: Record in config.json.

    Raises:
        CheckpointError: The file does not hold what the entries need.
    """
    tensors = read_tensors(header, header.shapes)
    parts: dict[str, dict[str, Tensor]] = {name: {} for name in said}
    for name, tensor in tensors.items():
        of, _, part = name.partition(":")
        if part and of in parts:
            parts[of][part] = tensor.clone()
    empty = {name: torch.zeros(()).expand(entry["shape"]) for name, entry in said.items()}
    put_weights(net, plain, {n: t for n, t in tensors.items() if ":" not in n} | empty)
    for name, entry in said.items():
        put = _put_dynamic if entry["kind"] == _DYNAMIC else _put_torchao
        try:
            put(net, name, entry, parts[name])
        except (KeyError, ValueError, RuntimeError, TypeError, AttributeError) as error:
            raise CheckpointError(
                f"{header.path}: {name} cannot be quantised as it was: {error}"
            ) from error


def _put_dynamic(
    net: nn.Module, name: str, entry: Mapping[str, Any], parts: Mapping[str, Tensor]
) -> None:
    import torch.ao.nn.quantized.dynamic as layers

    path = name.removesuffix(".weight")
    plain = net.get_submodule(path)
    values = parts["values"]
    if not isinstance(plain, nn.Linear) or values.dtype not in (torch.int8, torch.float16):
        raise ValueError(f"{path} is a {type(plain).__name__} with values of {values.dtype}")
    if values.shape != plain.weight.shape:
        raise ValueError(f"its values have shape {tuple(values.shape)}")
    axis, build, dtype = entry["axis"], cast(Any, torch), torch.qint8
    rows = 1 if axis is None else len(values)
    if axis not in (None, 0) or any(len(parts[p]) != rows for p in ("scale", "zero") if p in parts):
        raise ValueError(f"it has {len(values)} rows, and the axis {axis!r:.40} does not fit them")
    if values.dtype == torch.float16:
        weight, dtype = values.float(), torch.float16
    elif axis is None:
        numbers = (parts["scale"].item(), parts["zero"].item())
        weight = build._make_per_tensor_quantized_tensor(values, *numbers)
    else:
        weight = build._make_per_channel_quantized_tensor(
            values, parts["scale"], parts["zero"], axis
        )
    made: Any = cast(Any, layers).Linear(plain.in_features, plain.out_features, dtype=dtype)
    made.set_weight_bias(weight, None if plain.bias is None else plain.bias.detach())
    _put(net, path, made.train(plain.training))


def _put_torchao(
    net: nn.Module, name: str, entry: Mapping[str, Any], parts: Mapping[str, Tensor]
) -> None:
    data = entry["data"]
    for node in _nodes(data):
        if node.get("_type") == "torch.dtype":
            known = getattr(torch, str(node.get("_data")), None)
            if not isinstance(known, torch.dtype):
                raise ValueError(f"{node.get('_data')!r:.40} is not a type of numbers")
    utils = _torchao()
    if data.get("_type") not in utils.ALLOWED_TENSORS_SUBCLASSES:
        raise ValueError(f"{data.get('_type')!r:.40} is not a class of torchao")
    weight = utils.object_from_dict({**data, "_data": {**data["_data"], **parts}})
    if list(weight.shape) != entry["shape"]:
        raise ValueError(f"its parts make a weight of shape {tuple(weight.shape)}")
    path, _, key = name.rpartition(".")
    net.get_submodule(path)._parameters[key] = nn.Parameter(weight, requires_grad=False)


def _nodes(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
    for inner in value.values() if isinstance(value, dict) else value:
        if isinstance(inner, (dict, list)):
            yield from _nodes(inner)


def _put(net: nn.Module, path: str, module: nn.Module) -> None:
    above, _, key = path.rpartition(".")
    net.get_submodule(above)._modules[key] = module
