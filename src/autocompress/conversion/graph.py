"""Split layers of unregistered classes into branches by their graphs.

The layer is traced with torch.fx. Every path from its input x to its output passes certain nodes,
the *cut points*; between two of them lies one operation, or a part with several paths. If such a
part ends in an addition with the previous cut point as a term, that term is a skip: x + f(x). The
graph is split after such parts into one branch each, and the term becomes ``skip * x``. Branches
are code over the layer's own attributes, so weights stay live and shared. The result is verified on
the example (:mod:`autocompress.conversion.graph_proof`).
"""

from __future__ import annotations

import copy
import operator
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor, fx, nn

from autocompress.connectivity import Gate
from autocompress.conversion.code import GraphCode
from autocompress.conversion.graph_proof import prove
from autocompress.conversion.host import Call
from autocompress.conversion.layers import LayerKind, layer_name
from autocompress.errors import ConvertError
from autocompress.trunk import add_skip

__all__ = ["graph_kinds"]

_ADDITIONS = (operator.add, operator.iadd, torch.add, "add", "add_")
#: Attributes and methods that read a tensor's form and not its values.
_FORMS = ("shape", "dtype", "device", "ndim", "size", "dim")
_CONSTANTS = (bool, int, float, str, type(None))


def graph_kinds(layers: Sequence[nn.Module], calls: Sequence[Call]) -> list[LayerKind]:
    """Return how each of these layers of one class is split; layers with equal code share a kind.

    Args:
        layers: The layers, which are not changed.
        calls: Arguments of each layer's call on the example, x first.

    Raises:
        ConvertError: A layer has another form, or the branches compute something else.
    """
    shared: dict[tuple[str, ...], LayerKind] = {}
    kinds: list[LayerKind] = []
    for index, (layer, call) in enumerate(zip(layers, calls, strict=True)):
        own, source = _split(layer, call)
        kind = shared.setdefault(source, own)
        for before, other in zip(layers, kinds, strict=False):
            if before is layer and other is not kind:
                raise ConvertError(
                    f"layer {index} stands in its list more than once and is called with other "
                    "options each time: its graph holds for one of them; convert it with branches="
                )
        prove(layer, kind, call)
        kinds.append(kind)
    if len({len(kind.branches) for kind in kinds}) > 1:
        raise ConvertError(f"the layers of {kinds[0].name} do not all have as many skips")
    return kinds


def _split(layer: nn.Module, call: Call) -> tuple[LayerKind, tuple[str, ...]]:
    """Split one layer, first without tracing into its parts, then with.

    Returns:
        The kind, and the code it was built from, by which kinds are shared.
    """
    reasons: dict[str, None] = {}  # in order, each once
    for whole in (True, False):
        options: dict[tuple[str, ...], Any] = {}
        try:
            both = [_parts(layer, call, training, whole, options) for training in (False, True)]
        except _NoSplitError as error:
            reasons[str(error)] = None
            continue
        if len(both[0]) != len(both[1]):
            reasons["it has other skips in training than in evaluation"] = None
            continue
        form = _Form.of(call)
        pairs = zip(*both, strict=True)
        read = tuple(options.items())
        branches = [_Branch(GraphCode(one), GraphCode(other), form, read) for one, other in pairs]
        sources = (repr((form, read)), *(part.python_code("self").src for p in both for part in p))
        return LayerKind(layer_name(type(layer)), tuple(branches)), sources
    raise ConvertError(
        f"{type(layer).__name__} cannot be split by its graph: {'; '.join(reasons)}. "
        "Give its branches with branches="
    )


class _NoSplitError(Exception):
    """The reason why a graph does not have the form."""


# -- the arguments of a layer ----------------------------------------------------------------------


@dataclass(frozen=True)
class _Form:
    """The arguments after x: their number and names, and the values of those that are not tensors.

    A number or flag may change what the layer does, so the code holds only for that value.
    """

    count: int
    names: tuple[str, ...]
    constants: tuple[tuple[int | str, Any], ...]

    @classmethod
    def of(cls, call: Call) -> _Form:
        args, kwargs = call[0][1:], call[1]
        items: list[tuple[int | str, Any]] = [*enumerate(args), *kwargs.items()]
        constants = tuple((at, value) for at, value in items if isinstance(value, _CONSTANTS))
        return cls(len(args), tuple(sorted(kwargs)), constants)

    def check(self, layer: nn.Module, args: Sequence[Any], kwargs: dict[str, Any]) -> None:
        """Raise ConvertError for a call to which the code does not apply."""
        same = len(args) == self.count and tuple(sorted(kwargs)) == self.names
        for at, value in self.constants if same else ():
            given = args[at] if isinstance(at, int) else kwargs[at]
            same = same and isinstance(given, _CONSTANTS) and given == value
        if not same:
            raise ConvertError(
                f"{type(layer).__name__} was split by its graph for the arguments of the example "
                f"({self.count} after x, {list(self.names)}, of these {dict(self.constants)}) and "
                "is called with others; convert it with branches="
            )


@dataclass(frozen=True, eq=False)
class _Branch:
    """One branch as code, for evaluation and for training.

    Attributes:
        evaluate: Code for evaluation.
        train: Code for training.
        form: Arguments for which the code holds.
        options: Numbers and flags of the layer that its code has as constants, by path.
    """

    evaluate: GraphCode
    train: GraphCode
    form: _Form
    options: tuple[tuple[tuple[str, ...], Any], ...]

    def __call__(self, layer: nn.Module, x: Tensor, skip: Gate, *args: Any, **kwargs: Any) -> Any:
        self.form.check(layer, args, kwargs)
        for path, value in self.options:
            now: Any = layer
            for name in path:
                now = getattr(now, name)
            if now != value:
                raise ConvertError(
                    f"{type(layer).__name__} was split by its graph when its {'.'.join(path)} was "
                    f"{value!r}, and it is now {now!r}: convert the network again, or with "
                    "branches="
                )
        code = self.train if layer.training else self.evaluate
        return code.forward(layer, x, skip, args, kwargs)


# -- tracing ---------------------------------------------------------------------------------------


class _Tracer(fx.Tracer):
    """A tracer that does not enter modules or, with ``whole`` off, only those of torch."""

    def __init__(self, whole: bool) -> None:
        super().__init__()
        self.whole, self.nesting = whole, _autocasts()

    def proxy(self, node: fx.Node) -> fx.Proxy:
        if _autocasts() != self.nesting:
            raise RuntimeError("it enters torch.autocast, which a graph does not keep")
        return super().proxy(node)

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return self.whole or super().is_leaf_module(m, module_qualified_name)


def _autocasts() -> int:
    """Return how many autocast contexts are entered."""
    torch.autocast_increment_nesting()
    return int(torch.autocast_decrement_nesting())


def _noting(
    module: nn.Module, path: tuple[str, ...], options: dict[tuple[str, ...], Any], **more: Any
) -> None:
    """Make ``module`` note in ``options`` which of its own numbers and flags are read."""
    cls = type(module)

    def look(self: nn.Module, name: str) -> Any:
        value = cls.__getattribute__(self, name)
        if isinstance(value, _CONSTANTS) and not hasattr(nn.Module, name) and name != "training":
            options.setdefault((*path, name), value)
        return value

    body = {"__getattribute__": look, "__module__": cls.__module__, **more}
    module.__class__ = type(cls.__name__, (cls,), body)


def _trace(
    layer: nn.Module,
    call: Call,
    training: bool,
    whole: bool,
    options: dict[tuple[str, ...], Any],
) -> fx.Graph:
    """Return the graph of ``forward(x, args, kwargs)`` with the arguments that follow x.

    The numbers and flags of the layer that its code reads are added to ``options``.
    """
    forward, form = type(layer).forward, dict(_Form.of(call).constants)
    count, names = len(call[0]) - 1, list(call[1])

    def of_two(self: nn.Module, x: Any, args: Any, kwargs: Any) -> Any:
        after = [form[at] if at in form else args[at] for at in range(count)]
        return forward(self, x, *after, **{n: form[n] if n in form else kwargs[n] for n in names})

    twin = copy.deepcopy(layer).train(training)
    tracer = _Tracer(whole)
    for path, module in twin.named_modules():
        if path and not tracer.is_leaf_module(module, path):
            _noting(module, tuple(path.split(".")), options)
    _noting(twin, (), options, forward=of_two)
    try:
        graph = tracer.trace(twin)
    except Exception as error:  # the tracer runs foreign code, which may raise anything
        reason = str(error).strip().partition("\n")[0]
        raise _NoSplitError(f"it cannot be traced ({type(error).__name__}: {reason})") from error
    for node in graph.nodes:
        if node.op == "get_attr" and not _has(layer, str(node.target)):
            raise _NoSplitError("it makes a constant tensor as it runs; a buffer would do")
        if node.op == "call_module" and node.args and type(_at(layer, node)) is nn.Identity:
            node.replace_all_uses_with(node.args[0])  # identity shortcut instead of a projection
            graph.erase_node(node)
    return graph


def _at(layer: nn.Module, node: fx.Node) -> nn.Module:
    return layer.get_submodule(str(node.target))


def _has(layer: nn.Module, path: str) -> bool:
    try:
        operator.attrgetter(path)(layer)
    except AttributeError:
        return False
    return True


# -- the parts of a graph --------------------------------------------------------------------------


def _parts(
    layer: nn.Module,
    call: Call,
    training: bool,
    whole: bool,
    options: dict[tuple[str, ...], Any],
) -> list[fx.Graph]:
    """Return one graph per skip, each ``(x, skip, args, kwargs) -> x``; see :func:`_trace`."""
    graph = _trace(layer, call, training, whole, options)
    x = next(node for node in graph.nodes if node.op == "placeholder")
    (out,) = next(node for node in graph.nodes if node.op == "output").args
    if not isinstance(out, fx.Node):
        raise _NoSplitError(f"it returns a {type(out).__name__}, not a tensor")
    points = _cut_points(graph, x, out)
    skips = _skips(points, _stream(graph, x, out))
    if not skips:
        raise _NoSplitError("no addition on the way from its input to its output is x + f(x)")
    starts = [x, *(skip.before for skip in skips[1:])]
    ends = [*starts[1:], out]
    order = {node: index for index, node in enumerate(graph.nodes)}
    return [
        _part(graph, order, start, end, skip)
        for start, end, skip in zip(starts, ends, skips, strict=True)
    ]


def _tells_form(node: fx.Node) -> bool:
    if node.op == "call_function" and node.target is getattr:
        return node.args[1] in _FORMS
    return node.op == "call_method" and node.target in _FORMS


def _inputs(node: fx.Node) -> Collection[fx.Node]:
    """Return the nodes whose values ``node`` is computed from."""
    return () if _tells_form(node) else node.all_input_nodes


def _stream(graph: fx.Graph, x: fx.Node, out: fx.Node) -> list[fx.Node]:
    """Return the nodes on any path from x to out, in order."""
    below, above = {x}, {out}
    for node in graph.nodes:
        if any(source in below for source in _inputs(node)):
            below.add(node)
    for node in reversed(list(graph.nodes)):
        if node in above:
            above.update(_inputs(node))
    return [node for node in graph.nodes if node in below and node in above]


def _cut_points(graph: fx.Graph, x: fx.Node, out: fx.Node) -> list[fx.Node]:
    """Return the nodes on every path from x to out: no edge of the stream bypasses them."""
    stream = _stream(graph, x, out)
    if not stream or stream[0] is not x:
        raise _NoSplitError("its output does not depend on its input")
    at = {node: index for index, node in enumerate(stream)}
    furthest, points = 0, []
    for index, node in enumerate(stream):
        if furthest <= index:
            points.append(node)
        users = (at[user] for user in node.users if user in at and node in _inputs(user))
        furthest = max(furthest, *users, index)
    return points


class _Skip(NamedTuple):
    """An addition, and the previous cut point that is one of its terms."""

    before: fx.Node
    addition: fx.Node


def _skips(points: Sequence[fx.Node], stream: Sequence[fx.Node]) -> list[_Skip]:
    """Return every skip in order; raise _NoSplitError if one is more than x itself."""
    on_stream, skips = set(stream), []
    for before, end in pairwise(points):
        additions = list(_additions(end))
        here = [node for node in additions if before in node.args]
        ways = [source for source in end.all_input_nodes if source in on_stream]
        if len(ways) < 2 or not additions:
            continue  # one operation, or a part that is not a sum
        if len(here) != 1 or here[0].args[0] is here[0].args[1]:
            names = " and ".join(str(way) for way in ways)
            raise _NoSplitError(f"{names} are added, and neither is just what came before")
        skips.append(_Skip(before, here[0]))
    return skips


def _additions(end: fx.Node) -> Iterator[fx.Node]:
    """Yield the additions of a sum, from the last to the first."""
    plain = end.op in ("call_function", "call_method") and not end.kwargs and len(end.args) == 2
    if plain and end.target in _ADDITIONS:
        yield end
        for term in end.args:
            if isinstance(term, fx.Node) and len(term.users) == 1:
                yield from _additions(term)


def _part(
    graph: fx.Graph, order: dict[fx.Node, int], start: fx.Node, end: fx.Node, skip: _Skip
) -> fx.Graph:
    """Return the nodes from ``start`` to ``end`` as a graph of (x, skip, args, kwargs)."""
    x, args, kwargs = (node for node in graph.nodes if node.op == "placeholder")
    before, addition = skip
    part = fx.Graph()
    new = {start: part.placeholder("x")}
    gate = part.placeholder("skip")
    new[args], new[kwargs] = part.placeholder("args"), part.placeholder("kwargs")
    for node in _needed(order, start, end, {x, args, kwargs}):
        if node is addition:
            other = next(term for term in node.args if term is not before)
            other = new[other] if isinstance(other, fx.Node) else other
            new[node] = part.call_function(add_skip, (other, new[before], gate))
        else:
            # shapes of earlier nodes equal those of this branch's input
            new[node] = part.node_copy(node, lambda n: new.get(n, new[start]))
    part.output(new[end])
    part.lint()
    return part


def _needed(
    order: dict[fx.Node, int], start: fx.Node, end: fx.Node, inputs: set[fx.Node]
) -> list[fx.Node]:
    """Return the nodes that must run between ``start`` and ``end``, in order."""
    found: set[fx.Node] = set()
    waiting = [end]
    while waiting:
        node = waiting.pop()
        if node is start or node in inputs or node in found:
            continue
        if _tells_form(node) and all(order[s] <= order[start] for s in node.all_input_nodes):
            found.add(node)
            continue
        found.add(node)
        waiting.extend(node.all_input_nodes)
    return sorted(found, key=order.__getitem__)
