"""``plan``: report what converting a network would do, and why it may be refused."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.table import Table
from torch import nn

from autocompress.conversion import (  # noqa: F401 - they register
    families_decoders,
    families_gpt,
    families_timm,
    families_torch,
    families_transformers,
)
from autocompress.conversion.layers import BranchCall, LayerKind, kind_of, layer_name
from autocompress.conversion.refusals import check_above, check_bare, check_forwards, check_mixed
from autocompress.conversion.verify import Observed, calls_of, check_shapes, layers_at, observe
from autocompress.errors import ConvertError, nearest
from autocompress.printing import layer_words

__all__ = ["Plan", "StagePlan", "outline", "plan", "planned"]


@dataclass(frozen=True)
class StagePlan:
    """One list of layers that becomes a trunk.

    Attributes:
        path: Path of the list in the network, e.g. ``"encoder.layer"``.
        layer: Class of its layers, ``"module:Class"``.
        route: Way of splitting them: ``"registered"``, ``"given"`` (by the caller's branches) or
            ``"graph"`` (from the layers' graphs, verified on the example).
        kinds: Way of splitting each layer.
    """

    path: str
    layer: str
    route: str
    kinds: tuple[LayerKind, ...] = field(repr=False)

    @property
    def depth(self) -> int:
        """Return the number of layers."""
        return len(self.kinds)

    @property
    def branches(self) -> int:
        """Return the number of skips in each layer."""
        return len(self.kinds[0].branches)


@dataclass(frozen=True)
class Plan:
    """The parts of a network to be converted; ``bool(plan)`` says whether that is possible.

    Attributes:
        model: Class of the network.
        stages: Lists of layers that become trunks; a stage-wise network has several, with long
            connections inside each stage.
        refusals: Reasons why it cannot be converted, if any. A network is never converted in part.
    """

    model: str
    stages: tuple[StagePlan, ...]
    refusals: tuple[str, ...]

    def __bool__(self) -> bool:
        return not self.refusals

    @property
    def depth(self) -> int:
        """Return the number of layers in all stages."""
        return sum(stage.depth for stage in self.stages)

    def __str__(self) -> str:
        console = Console(file=io.StringIO(), width=100)
        with console.capture() as text:
            if self.stages:
                console.print(self._table())
            for refusal in self.refusals:
                console.print(f"Refused: {refusal}", soft_wrap=True, highlight=False)
        return text.get().rstrip()

    def _table(self) -> Table:
        table = Table(title=f"{self.model}: {layer_words(self.depth)} to convert")
        for heading in ("where", "layer", "taken apart", "layers", "skips each"):
            right = heading in ("layers", "skips each")
            table.add_column(heading, justify="right" if right else "left")
        for stage in self.stages:
            name = stage.layer.partition(":")[2]
            counts = (str(stage.depth), str(stage.branches))
            table.add_row(stage.path, name, stage.route, *counts)
        return table


def plan(
    model: nn.Module,
    *,
    blocks: str | Sequence[str] | None = None,
    branches: BranchCall | Sequence[BranchCall] | None = None,
    example: Any = None,
) -> Plan:
    """Return what :func:`convert` would do with ``model``, without changing anything.

    To see that the network calls each layer once per pass, it is run once: on a small random batch
    if it comes from timm or transformers, otherwise on the example.

    Args:
        model: A timm, transformers or custom network.
        blocks: Path of the list of layers, if it cannot be found or is not the only one; several
            paths are the stages of a stage-wise network.
        branches: Calls for layers of an unregistered class, one per skip in order,
            ``(layer, x, skip, ...) -> x`` as in :func:`register_layer`; a single function is one.
        example: A batch that the model takes. Layers that are neither registered nor split by
            ``branches`` are then split by their graphs, which is verified on it.

    Example:
        >>> plan(nn.Linear(2, 2)).refusals
        ('Linear holds no list of layers; blocks= names one',)
    """
    return planned(model, blocks=blocks, branches=branches, example=example)[0]


def planned(
    model: nn.Module,
    *,
    blocks: str | Sequence[str] | None = None,
    branches: BranchCall | Sequence[BranchCall] | None = None,
    example: Any = None,
) -> tuple[Plan, Observed | None]:
    """Return the plan, and what the model did on the batch on which it was observed."""
    found = outline(model, blocks=blocks, branches=branches, example=example)
    if not found:
        return found, None
    try:
        return found, observe(model, [stage.path for stage in found.stages], example)
    except ConvertError as refusal:
        return Plan(found.model, (), (str(refusal),)), None


def outline(
    model: nn.Module,
    *,
    blocks: str | Sequence[str] | None = None,
    branches: BranchCall | Sequence[BranchCall] | None = None,
    example: Any = None,
) -> Plan:
    """Return the plan without running the model, unless an example is needed to make it."""
    name = type(model).__name__
    try:
        check_bare(model)
        check_mixed(model)
        paths = [blocks] if isinstance(blocks, str) else blocks
        given = None if branches is None else _given(branches)
        chosen = _find(model, given is not None or example is not None) if paths is None else paths
        if not chosen or len({*map(str, chosen)}) < len(chosen):
            raise ConvertError(
                f"blocks {[*chosen]} must name a list of layers, or several different ones that "
                "run one after another"
            )
        for path in chosen:
            _check_path(model, path)
            check_above(model, path)
        return Plan(name, tuple(_stage(model, path, given, example) for path in chosen), ())
    except ConvertError as refusal:
        return Plan(name, (), (str(refusal),))


def _lists(model: nn.Module) -> Iterator[tuple[str, list[nn.Module]]]:
    """Yield ModuleLists and Sequentials whose layers are all of one class, by path."""
    for path, module in model.named_modules():
        if path and isinstance(module, (nn.ModuleList, nn.Sequential)):
            layers = layers_at(model, path)
            if len({type(layer) for layer in layers}) == 1:
                yield path, layers


def registered_lists(model: nn.Module) -> list[str]:
    """Return the paths of the lists whose layers are of a registered class."""
    return [path for path, layers in _lists(model) if kind_of(layers[0])]


def other_lists(model: nn.Module) -> dict[str, str]:
    """Return the outermost lists of at least two similar layers with parts, and their classes."""
    found: dict[str, str] = {}
    for path, layers in _lists(model):
        inside = any(path.startswith(outer + ".") for outer in found)
        has_parts = next(layers[0].children(), None) is not None
        if not inside and len(layers) > 1 and has_parts:
            found[path] = type(layers[0]).__name__
    return found


def _find(model: nn.Module, others_too: bool) -> list[str]:
    """Return the paths of the lists to convert; raise ConvertError if that is ambiguous."""
    found = registered_lists(model)
    if not found:
        others = other_lists(model)
        if not (others and others_too):
            raise ConvertError(_unknown(model, others))
        found = list(others)
    if len(found) > 1 and not _stage_wise(found):
        raise ConvertError(f"several lists of layers ({', '.join(found)}); choose one by blocks=")
    return found


def _stage_wise(paths: Sequence[str]) -> bool:
    """Return whether paths differ in one number only (``stages.0.blocks``, ``stages.1.blocks``)."""
    shapes = {tuple("#" if p.isdigit() else p for p in path.split(".")) for path in paths}
    return len(shapes) == 1 and sum(p == "#" for p in next(iter(shapes))) == 1


def _unknown(model: nn.Module, lists: dict[str, str]) -> str:
    name = type(model).__name__
    if not lists:
        return f"{name} holds no list of layers; blocks= names one"
    here = ", ".join(f"{path} of {layer}" for path, layer in lists.items())
    return (
        f"no layer class of {name} is known ({here}); give example=BATCH to split them by their "
        "graphs, or their branches with branches="
    )


def _check_path(model: nn.Module, path: str) -> None:
    """Raise ConvertError unless ``path`` is a list of layers that are all of one class."""
    modules = dict(model.named_modules())
    if path not in modules:
        path = str(path)
        raise ConvertError(
            f"there is no module {path!r}{nearest(path, [p for p, _ in _lists(model)])}"
        )
    if not isinstance(modules[path], (nn.ModuleList, nn.Sequential)):
        raise ConvertError(f"{path!r} is a {type(modules[path]).__name__}, not a list of layers")
    layers = layers_at(model, path)
    if not layers:
        raise ConvertError(f"{path!r} is empty")
    classes = sorted({type(layer).__name__ for layer in layers})
    if len(classes) > 1:
        raise ConvertError(
            f"{path!r} mixes layers of several classes ({', '.join(classes)}); a trunk is of one"
        )


def _stage(
    model: nn.Module, path: str, given: tuple[BranchCall, ...] | None, example: Any
) -> StagePlan:
    """Return how the layers at ``path`` are split, or raise ConvertError with the reason."""
    layers = layers_at(model, path)
    holder = model.get_submodule(path.rpartition(".")[0])
    name = layer_name(type(layers[0]))
    short = type(layers[0]).__name__
    if given is not None:
        if example is not None:
            check_shapes(model, path, example)
        return StagePlan(path, name, "given", (LayerKind(name, given),) * len(layers))
    found = [kind_of(layer) for layer in layers]
    kinds = tuple(kind for kind in found if kind is not None)
    if len(kinds) == len(layers):
        for index, (layer, kind) in enumerate(zip(layers, kinds, strict=True)):
            reason = kind.refuse(layer, holder) if kind.refuse else None
            if reason:
                raise ConvertError(f"{path}.{index} ({short}): {reason}")
        check_forwards(path, layers)
        return StagePlan(path, name, "registered", kinds)
    if example is None:
        raise ConvertError(
            f"{path}: layer class {short} is not known; give example=BATCH to split it by its "
            "graph, or its branches with branches="
        )
    from autocompress.conversion.graph import graph_kinds  # torch.fx is slow to import

    try:
        return StagePlan(
            path, name, "graph", tuple(graph_kinds(layers, calls_of(model, path, example)))
        )
    except ConvertError as refusal:
        inner = _inner_lists(model, path)
        if not inner:
            raise
        raise ConvertError(
            f"{refusal}. Each {short} holds a list of layers itself, which may convert: "
            f"blocks={inner}"
        ) from refusal


def _inner_lists(model: nn.Module, path: str) -> list[str]:
    """Return the paths of lists of the same name in every module of a list, if there are any."""
    lists = {
        inner for inner, layers in _lists(model) if next(layers[0].children(), None) is not None
    }
    modules = dict(model.get_submodule(path).named_children())
    for name in dict(next(iter(modules.values())).named_children()):
        found = [f"{path}.{place}.{name}" for place in modules]
        if lists.issuperset(found):
            return found
    return []


def _given(branches: BranchCall | Sequence[BranchCall]) -> tuple[BranchCall, ...]:
    calls = (branches,) if callable(branches) else tuple(branches)
    if not calls:
        raise ConvertError("branches is empty: one call per skip is needed")
    return calls
