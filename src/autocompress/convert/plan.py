"""``plan``: what converting a network would do, and what stands against it."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table
from torch import nn

from autocompress.convert import families_timm, families_transformers  # noqa: F401 - they register
from autocompress.convert.host import HostTrunk
from autocompress.convert.layers import kind_of, layer_kinds, layer_name
from autocompress.errors import nearest

__all__ = ["Plan", "StagePlan", "plan"]


@dataclass(frozen=True)
class StagePlan:
    """One list of layers that becomes a trunk.

    Attributes:
        path: where it stands in the network, e.g. ``"encoder.layer"``.
        layer: class of its layers, ``"module:Class"``.
        depth: number of layers. branches: skips of each.
    """

    path: str
    layer: str
    depth: int
    branches: int


@dataclass(frozen=True)
class Plan:
    """What would be converted. ``bool(plan)`` says whether it can be.

    Attributes:
        model: class of the network.
        stages: the lists of layers that become trunks; more than one in a stage-wise network,
            which then has long connections inside each stage.
        refusals: why it cannot be converted; empty if it can.
    """

    model: str
    stages: tuple[StagePlan, ...]
    refusals: tuple[str, ...]

    def __bool__(self) -> bool:
        return not self.refusals

    @property
    def depth(self) -> int:
        """Layers in all stages."""
        return sum(stage.depth for stage in self.stages)

    def __str__(self) -> str:
        table = Table(title=f"{self.model}: {self.depth} layers to convert")
        for heading in ("where", "layer", "layers", "skips each"):
            table.add_column(heading, justify="left" if heading in ("where", "layer") else "right")
        for stage in self.stages:
            name = stage.layer.partition(":")[2]
            table.add_row(stage.path, name, str(stage.depth), str(stage.branches))
        console = Console(file=io.StringIO(), width=100)
        with console.capture() as text:
            console.print(table)
            for refusal in self.refusals:
                console.print(f"Refused: {refusal}", soft_wrap=True, highlight=False)
        return text.get().rstrip()


def plan(model: nn.Module, *, blocks: str | Sequence[str] | None = None) -> Plan:
    """What :func:`convert` would do with ``model``; nothing is changed.

    Args:
        model: a timm, transformers or own network.
        blocks: path of its list of layers, where that is not to be found or not the only one;
            several paths are the stages of a stage-wise network.

    Example:
        >>> plan(nn.Linear(2, 2)).refusals
        ('Linear holds no list of layers; blocks= names one',)
    """
    name = type(model).__name__
    wrapped = _wrapper(model)
    if wrapped:
        return Plan(name, (), (wrapped,))
    if any(isinstance(module, HostTrunk) for module in model.modules()):
        return Plan(name, (), (f"this {name} is converted already",))
    paths = [blocks] if isinstance(blocks, str) else blocks
    if paths is None:
        paths, refusals = _find(model)
    else:
        refusals = [text for path in paths for text in _check_path(model, path)]
    if refusals:
        return Plan(name, (), tuple(refusals))
    stages, refusals = [], []
    for path in paths:
        layers = list(model.get_submodule(path).children())
        refusals += [f"{path}: {text}" for text in _refusals(layers)]
        kind = kind_of(layers[0])
        branches = len(kind.branches) if kind else 0
        stages.append(StagePlan(path, layer_name(type(layers[0])), len(layers), branches))
    return Plan(name, tuple(stages), tuple(refusals))


def lists_of_layers(model: nn.Module) -> dict[str, nn.Module]:
    """Every ModuleList and Sequential whose children are more than one and all of one class."""
    found = {}
    for path, module in model.named_modules():
        if path and isinstance(module, (nn.ModuleList, nn.Sequential)):
            classes = {type(child) for child in module.children()}
            if len(classes) == 1 and not classes & {nn.Linear, nn.Identity}:
                found[path] = module
    return found


def _wrapper(model: nn.Module) -> str | None:
    """Why a model is no bare network, or None."""
    name = type(model).__name__
    if hasattr(model, "_orig_mod"):
        return "this network is compiled; convert it first and compile the result"
    if isinstance(model, (nn.DataParallel, nn.parallel.DistributedDataParallel)):
        return f"this network is wrapped in {name}; convert its .module and wrap the result"
    return None


def _find(model: nn.Module) -> tuple[list[str], list[str]]:
    """Paths of the lists whose layers are known, or why there is no telling."""
    lists = lists_of_layers(model)
    known = {path: group for path, group in lists.items() if kind_of(next(group.children()))}
    if not known:
        return [], [_unknown(model, lists)]
    if len(known) == 1 or _stage_wise(list(known)):
        return list(known), []
    return [], [f"several lists of layers ({', '.join(known)}); blocks= says which"]


def _stage_wise(paths: Sequence[str]) -> bool:
    """Whether paths differ in one number only, as in ``stages.0.blocks``, ``stages.1.blocks``."""
    shapes = {tuple("#" if p.isdigit() else p for p in path.split(".")) for path in paths}
    return len(shapes) == 1 and sum(p == "#" for p in next(iter(shapes))) == 1


def _unknown(model: nn.Module, lists: dict[str, nn.Module]) -> str:
    name = type(model).__name__
    if not lists:
        return f"{name} holds no list of layers; blocks= names one"
    here = ", ".join(f"{p} of {type(next(m.children())).__name__}" for p, m in lists.items())
    return f"no layer class of {name} is known ({here}); blocks= and branches= take it apart"


def _check_path(model: nn.Module, path: str) -> list[str]:
    modules = dict(model.named_modules())
    if path not in modules:
        lists = list(lists_of_layers(model))
        return [f"there is no module {path!r}{nearest(path, lists)}"]
    if not isinstance(modules[path], (nn.ModuleList, nn.Sequential)):
        return [f"{path!r} is a {type(modules[path]).__name__}, not a list of layers"]
    if not len(list(modules[path].children())):
        return [f"{path!r} is empty"]
    return []


def _refusals(layers: Sequence[nn.Module]) -> list[str]:
    """Why these layers cannot be taken apart, all of them: never a part."""
    found = []
    for index, layer in enumerate(layers):
        kind = kind_of(layer)
        name = type(layer).__name__
        if kind is None:
            known = [n.partition(":")[2] for n in layer_kinds()]
            text = f"no class {name} is known{nearest(name, known) if len(known) < 9 else ''}"
        else:
            text = (kind.refuse(layer) if kind.refuse else None) or ""
            text = text and f"{name}: {text}"
        if text:
            found.append(f"layer {index}: {text}")
    return found[:3] + ([f"and {len(found) - 3} more layers"] if len(found) > 3 else [])
