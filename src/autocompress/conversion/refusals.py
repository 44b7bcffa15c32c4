"""Refuse wrapped networks and patched layers, into which no trunk can be put."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from autocompress.conversion.host import trunks_of
from autocompress.errors import ConfigError, ConvertError
from autocompress.network import Network
from autocompress.sharded import check_forward

__all__ = ["check_above", "check_bare", "check_forwards", "check_mixed"]

#: Wrappers by class name, with advice on what to convert instead. None of them is imported.
_WRAPPERS = {
    "DataParallel": "convert its .module, then wrap it",
    "DistributedDataParallel": "convert its .module, then wrap it",
    "FullyShardedDataParallel": "convert the network first, then wrap it",
    "FSDPModule": "convert the network first, then shard it",
    "DeepSpeedEngine": "convert its .module, then wrap it",
    "ScriptModule": "convert the network that was scripted",
    "GraphModule": "convert the network that was traced",
}


def check_bare(model: nn.Module) -> None:
    """Raise ConvertError for a network that is wrapped, compiled, or has a trunk already."""
    name = type(model).__name__
    if isinstance(model, Network):
        raise ConvertError(
            f"this {name} is one of this library's networks already; net.set_connectivity(RULE) "
            "gives it another rule"
        )
    for path, module in model.named_modules():
        where = f"{path} of this network" if path else "this network"
        if hasattr(module, "_orig_mod") or getattr(module, "_compiled_call_impl", None) is not None:
            raise ConvertError(f"{where} is compiled; convert it first and compile the result")
        for cls in type(module).__mro__:
            if cls.__name__ in _WRAPPERS and cls.__module__.partition(".")[0] != "transformers":
                advice = _WRAPPERS[cls.__name__]
                raise ConvertError(f"{where} is wrapped in {type(module).__name__}; {advice}")
    if trunks_of(model):
        raise ConvertError(f"this {name} has its trunk already")


def check_mixed(model: nn.Module) -> None:
    """Raise ConvertError for a head that reads the outputs of all layers, as speech models may."""
    config = getattr(model, "config", None)
    if getattr(config, "use_weighted_layer_sum", False) and hasattr(model, "layer_weights"):
        raise ConvertError(
            f"use_weighted_layer_sum is set: the head of this {type(model).__name__} reads the "
            "outputs of all layers, so it can read no other depth; set it to False"
        )


def check_above(model: nn.Module, path: str) -> None:
    """Raise ConvertError for a module around the layers that calls itself by another object."""
    names = path.split(".")[:-1]
    for end in range(len(names) + 1):
        above = ".".join(names[:end])
        try:
            check_forward(model.get_submodule(above), above)
        except ConfigError as error:
            raise ConvertError(str(error)) from error


def check_forwards(path: str, layers: Sequence[nn.Module]) -> None:
    """Raise ConvertError for layers whose forward was replaced on the object itself."""
    for index, layer in enumerate(layers):
        if "forward" in vars(layer):
            raise ConvertError(
                f"the forward of {path}.{index} was replaced on the object, so its class does not "
                "say what it computes (accelerate does so to move weights between devices: load "
                "the network without device_map, or call remove_hook_from_submodules first)"
            )
