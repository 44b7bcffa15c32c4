"""A trunk that stands where a host network keeps its layers, and views of such a host.

The host is somebody else's network: it makes x_0, loops over its layers, and goes on with what
they return. Its loop stays its own. What it finds in its list is one :class:`Step` per layer; the
first ones note with which arguments (masks, caches, rotations) their layer was called, the last
one runs our loop over all of them. So every layer gets its own arguments, and the host's code for
masks, caches, norm and head stays upstream's.
"""

from __future__ import annotations

import copy
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn

from autocompress.connectivity import BlockCall, Gate, Spec, resolve
from autocompress.conversion.caches import places, seated
from autocompress.conversion.layers import SplitLayer, adopt, kind_of, release
from autocompress.conversion.nested import padded_call
from autocompress.conversion.waiting import Call, Waiting, waited
from autocompress.errors import ConfigError, ConvertError
from autocompress.trunk import Trunk

__all__ = [
    "Call",
    "HostTrunk",
    "Memo",
    "Step",
    "recording",
    "replaced",
    "replaying",
    "set_rules",
    "trunks_of",
]


class Step:
    """What a host finds in its list in the place of layer ``index``.

    Calls are noted or, by the last step, run; every attribute is the layer's.

    Raises:
        ConvertError: A host that does not call its layers one after the other, each once.
    """

    _trunk: HostTrunk
    _index: int

    def __init__(self, trunk: HostTrunk, index: int) -> None:
        object.__setattr__(self, "_trunk", trunk)
        object.__setattr__(self, "_index", index)

    def __call__(self, x: Any, *args: Any, **kwargs: Any) -> Any:
        trunk = self._trunk
        x0, calls = waited(x, self._index)
        calls = (*calls, (args, kwargs))
        last = self._index + 1 == len(trunk)
        out = trunk.finish(x0, calls) if last else Waiting(x0, calls)
        return (out, None) if trunk.returns_tuple else out

    forward = __call__

    @property
    def _layer(self) -> nn.Module:
        return cast(nn.Module, self._trunk._modules[str(self._index)])

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self._layer, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._layer, name, value)


class HostTrunk(Trunk):
    """A trunk in the place of a host's ``nn.ModuleList`` or ``nn.Sequential`` of layers.

    The layers are its children under their old names "0", "1", ..., so the host's state_dict has
    the keys that it had. To the host it is a list of :class:`Step`; called, it is a sequence.

    Args:
        layers: The host's layers, adopted (:func:`autocompress.conversion.layers.adopt`).
        connectivity: The rule.
        sequential: It stands for an ``nn.Sequential``, not for an ``nn.ModuleList``.
    """

    def __init__(
        self, layers: Sequence[nn.Module], connectivity: Spec, sequential: bool = False
    ) -> None:
        nn.Module.__init__(self)
        for index, layer in enumerate(layers):
            self.add_module(str(index), layer)
        self.count, self.sequential = len(layers), sequential
        self.connectivity = resolve(connectivity, len(layers))
        self.returns_tuple = any(
            isinstance(layer, SplitLayer) and layer.kind.returns_tuple for layer in layers
        )
        #: The layers' places where their own index says another; see :mod:`convert.caches`.
        self.places = places(layers)
        #: What a host that asks its first layer finds when none is left.
        self.absent: _Absent | None = None
        self.run: Callable[[HostTrunk, Tensor, Sequence[Call]], Tensor] = _to_the_end
        #: Steps hand each depth's readout to the host, instead of waiting for the last.
        self.stepwise = False

    @property
    def blocks(self) -> list[nn.Module]:  # type: ignore[override]  # same words, other shelf
        """The layers."""
        return [cast(nn.Module, self._modules[str(index)]) for index in range(self.count)]

    def call(self, index: int, context: dict[str, Any]) -> BlockCall:
        calls: tuple[Call, ...] = context.get("calls", ())
        call, place = calls[index] if calls else ((), {}), self.places[index]
        if place is not None:
            call = seated(call, place)
        layer = cast(nn.Module, self._modules[str(index)])
        return cast(BlockCall, partial(_call, layer, call))

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """To a host that calls its list as ``nn.Sequential``: x to the full depth's readout."""
        return self.finish(x, ((args, kwargs),) * len(self))

    def finish(self, x: Tensor, calls: Sequence[Call]) -> Tensor:
        """What the host is given of its layers, all of whose calls are known now."""
        if isinstance(x, Tensor) and x.is_nested:
            return cast(Tensor, padded_call(partial(self.run, self), x, calls))
        return self.run(self, x, calls)

    def cut(self, depth: int) -> HostTrunk:
        """A trunk of the first ``depth`` layers; it shares them with this one."""
        trunk = HostTrunk(self.blocks[:depth], self.connectivity.cut(depth), self.sequential)
        trunk.returns_tuple, trunk.stepwise = self.returns_tuple, self.stepwise
        trunk.training = trunk.connectivity.training = self.training
        if not depth and (self.absent or self.count):
            trunk.absent = _Absent(trunk, self.absent.like if self.absent else self.blocks[0])
        return trunk

    def ending(self, run: Callable[[HostTrunk, Tensor, Sequence[Call]], Tensor]) -> HostTrunk:
        """A view of this trunk that does ``run`` where this one runs all its layers."""
        twin = copy.copy(self)
        twin.run = run
        return twin

    def step_by_step(self) -> HostTrunk:
        """A view whose steps return the readouts of depth 1, 2, .., for hosts that look at them."""
        twin = copy.copy(self)
        twin.stepwise = True
        return twin

    # -- to the host, a list -----------------------------------------------------------------------

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[Step]:
        if self.stepwise:
            return iter(_readout_steps(self))
        if self.returns_tuple and not self.count:  # such a host's loop has to run once
            return iter([cast(Step, lambda x, *_, **__: (x, None))])
        return iter([Step(self, index) for index in range(self.count)])

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            start, stop, stride = index.indices(self.count)
            if start != 0 or stride != 1:
                raise ConfigError("a trunk can be cut from its top only: [:k]")
            return self if stop == self.count else self.cut(stop)
        if self.absent is not None:
            return self.absent
        return Step(self, range(self.count)[index])

    def __setitem__(self, index: int, layer: nn.Module) -> None:
        """Put another layer in the place of layer ``index``, taken apart if it is not yet.

        Raises:
            ConfigError: A slice, or a layer of a class that nobody registered.
        """
        if isinstance(index, slice):
            raise ConfigError("the layers of a trunk are exchanged one by one, not by a slice")
        layer = layer._layer if isinstance(layer, Step) else layer
        kind = layer.kind if isinstance(layer, SplitLayer) else kind_of(layer)
        if kind is None:
            raise ConfigError(
                f"a {type(layer).__name__} cannot be a layer of a trunk: it is not known how it is "
                "taken apart; restore the host, exchange the layer there, and convert it again"
            )
        self._modules[str(range(self.count)[index])] = adopt(layer, kind)
        self.places = places(self.blocks)

    def __delitem__(self, index: Any) -> None:
        raise ConfigError("a trunk can be cut from its top only: assign trunk[:k]")


def _to_the_end(trunk: HostTrunk, x: Tensor, calls: Sequence[Call]) -> Tensor:
    return Trunk.forward(trunk, x, calls=calls)


def _call(
    layer: nn.Module, call: Call, x: Tensor, short: Gate = 1.0, inner: Gate | None = None
) -> Tensor:
    args, kwargs = call
    return cast(Tensor, layer(x, *args, short=short, inner=inner, **kwargs))


class _Absent:
    """What is left of a first layer that was cut away: what hosts ask it, not what it does.

    ``nn.TransformerEncoder`` looks at the options of its first layer before it calls any.

    Args:
        trunk: The trunk that has no layers.
        like: The layer; of its tensors only shapes are kept.
    """

    def __init__(self, trunk: HostTrunk, like: nn.Module) -> None:
        shapes: dict[int, Any] = {
            id(p): nn.Parameter(torch.empty_like(p, device="meta"), p.requires_grad)
            for p in like.parameters()
        } | {id(b): torch.empty_like(b, device="meta") for b in like.buffers()}
        self.like, self._trunk = release(copy.deepcopy(like, shapes)), trunk

    def __call__(self, *_: Any, **__: Any) -> Any:
        raise ConvertError("this network was cut at depth 0: it has no layer to call")

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name in ("like", "_trunk"):
            raise AttributeError(name)
        return self._trunk.training if name == "training" else getattr(self.like, name)


def _readout_steps(trunk: HostTrunk) -> list[Step]:
    calls: list[Call] = []
    states: list[Iterator[Any]] = []
    return [_ReadoutStep(trunk, index, calls, states) for index in range(len(trunk))]


class _ReadoutStep(Step):
    """A step of one pass that runs its layer at once and returns the readout after it."""

    def __init__(
        self, trunk: HostTrunk, index: int, calls: list[Call], states: list[Iterator[Any]]
    ) -> None:
        super().__init__(trunk, index)
        self._calls, self._states = calls, states

    def __call__(self, x: Any, *args: Any, **kwargs: Any) -> Any:
        self._calls.append((args, kwargs))
        if not self._states:
            self._states.append(self._trunk.states(x, calls=self._calls))
            next(self._states[0])
        readout = self._trunk.connectivity.readout(next(self._states[0]))
        return (readout, None) if self._trunk.returns_tuple else readout


def trunks_of(model: nn.Module) -> list[HostTrunk]:
    """The trunks that stand in a host, in the order of its modules."""
    return [module for module in model.modules() if isinstance(module, HostTrunk)]


def set_rules(model: nn.Module, spec: Spec) -> None:
    """Give every trunk in ``model`` the rule, or each its own (``{"name": "stages", ...}``).

    Raises:
        ConfigError: It does not fit the depth of a trunk.
    """
    trunks = trunks_of(model)
    staged = isinstance(spec, Mapping) and spec.get("name") == "stages"
    specs = cast(Any, spec)["rules"] if staged else [spec] * len(trunks)
    rules = [resolve(one, len(trunk)) for one, trunk in zip(specs, trunks, strict=True)]
    for trunk, rule in zip(trunks, rules, strict=True):
        trunk.connectivity = rule


# -- views: the same weights, one module on the way exchanged --------------------------------------


def replaced(host: nn.Module, modules: dict[str, nn.Module]) -> nn.Module:
    """A view of ``host`` with the modules at these paths exchanged; weights shared, host unchanged.

    Only the modules on the way are copied, and those shallowly.
    """
    twin = copy.copy(host)
    twin._modules = dict(host._modules)
    deeper: dict[str, dict[str, nn.Module]] = {}
    for path, module in modules.items():
        first, _, rest = path.partition(".")
        if rest:
            deeper.setdefault(first, {})[rest] = module
        else:
            twin._modules[first] = module
    for first, below in deeper.items():
        child = host._modules[first]
        assert child is not None
        twin._modules[first] = replaced(child, below)
    return twin


#: What each module before the trunk returned, by path, in the order of its calls.
Memo = dict[str, deque[Any]]


def recording(host: nn.Module, paths: Sequence[str], memo: Memo) -> dict[str, nn.Module]:
    """Twins of all modules that hold no trunk, which note in ``memo`` what they return."""
    return {name: _recorder(module, name, memo) for name, module in _beside(host, paths)}


def replaying(host: nn.Module, memo: Memo) -> dict[str, nn.Module]:
    """Twins that return what ``memo`` holds, call by call, instead of computing it again."""
    return {name: _replayer(host.get_submodule(name), outputs) for name, outputs in memo.items()}


def _beside(host: nn.Module, paths: Sequence[str], at: str = "") -> Iterator[tuple[str, nn.Module]]:
    """The largest modules below ``at`` that neither are nor hold a trunk."""
    for name, child in host.named_children():
        path = at + name
        if path in paths:
            continue
        if any(trunk.startswith(path + ".") for trunk in paths):
            yield from _beside(child, paths, path + ".")
        else:
            yield path, child


def _recorder(module: nn.Module, name: str, memo: Memo) -> nn.Module:
    def note(_: nn.Module, __: Any, out: Any) -> None:
        memo.setdefault(name, deque()).append(out)

    twin = copy.copy(module)
    twin._forward_hooks = OrderedDict(module._forward_hooks)
    twin.register_forward_hook(note)
    return twin


def _replayer(module: nn.Module, outputs: deque[Any]) -> nn.Module:
    left = deque(outputs)

    def forward(*args: Any, **kwargs: Any) -> Any:
        return left.popleft() if left else module(*args, **kwargs)

    twin = copy.copy(module)
    twin._forward_hooks, twin._forward_pre_hooks = OrderedDict(), OrderedDict()
    twin.forward = forward
    return twin
