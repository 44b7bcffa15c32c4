"""A trunk in the place where a host network keeps its layers.

The host comes from another library: it makes x_0, loops over its layers, and processes what they
return. Its loop is not changed. In its list it finds one :class:`Step` per layer. The first steps
record the arguments (masks, caches, rotations) with which their layer was called, and the last step
runs our loop over all layers. Every layer thus receives its own arguments, and the code for masks,
caches, norm and head remains the host library's.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NoReturn, cast

import torch
from torch import Tensor, nn

from autocompress.connectivity import BlockCall, Gate, Spec, make_rule
from autocompress.conversion.caches import cache_places, renumber, seated
from autocompress.conversion.deferred import Call, Deferred, calls_below
from autocompress.conversion.hidden_states import recorded_layers, run_noted
from autocompress.conversion.layers import SplitLayer, adopt, kind_of, release
from autocompress.conversion.nested import padded_call
from autocompress.errors import ConfigError, ConvertError
from autocompress.sharded import twin_of, unsharded
from autocompress.trunk import Trunk

__all__ = ["Call", "HostTrunk", "Step", "set_rules", "trunks_of"]


class Step:
    """The object that a host finds in its list in place of layer ``index``.

    A call is recorded or, by the last step, run; attributes are those of the layer that was there
    when the step was taken, so that two layers can change places.

    Raises:
        ConvertError: The host does not call its layers one after another, each once.
    """

    _trunk: HostTrunk
    _index: int
    _layer: nn.Module

    def __init__(self, trunk: HostTrunk, index: int) -> None:
        object.__setattr__(self, "_trunk", trunk)
        object.__setattr__(self, "_index", index)
        object.__setattr__(self, "_layer", trunk._modules[str(index)])

    def __call__(self, x: Any, *args: Any, **kwargs: Any) -> Any:
        trunk = self._trunk
        x0, calls = calls_below(x, self._index)
        calls = (*calls, (args, kwargs))
        last = self._index + 1 == len(trunk)
        out = trunk.finish(x0, calls) if last else Deferred(x0, calls)
        return (out, None) if trunk.returns_tuple else out

    forward = __call__

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self._layer, name)

    def __deepcopy__(self, memo: dict[int, Any]) -> nn.Module:
        """Return a copy of the layer itself, which stands in no trunk."""
        return copy.deepcopy(self._layer, memo)

    def __copy__(self) -> nn.Module:
        return copy.copy(self._layer)

    def __reduce__(self) -> Any:
        return _itself, (self._layer,)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._layer, name, value)


class HostTrunk(Trunk):
    """A trunk in place of a host's ``nn.ModuleList`` or ``nn.Sequential`` of layers.

    The layers are its children under their old names "0", "1", ..., so the host's state_dict keeps
    its keys. To the host it is a list of :class:`Step`; when called, it is a sequence.

    Args:
        layers: The host's layers, adopted (:func:`autocompress.conversion.layers.adopt`).
        connectivity: Rule between the layers.
        sequential: Whether it replaces an ``nn.Sequential`` rather than an ``nn.ModuleList``.
    """

    def __init__(
        self, layers: Sequence[nn.Module], connectivity: Spec, sequential: bool = False
    ) -> None:
        nn.Module.__init__(self)
        for index, layer in enumerate(layers):
            self.add_module(str(index), layer)
        self.count, self.sequential = len(layers), sequential
        self.connectivity = make_rule(connectivity, len(layers))
        self.returns_tuple = any(
            isinstance(layer, SplitLayer) and layer.kind.returns_tuple for layer in layers
        )
        #: Positions of layers whose own index differs; see :mod:`autocompress.conversion.caches`.
        self.places = cache_places(layers)
        #: Stand-in for the first layer, for hosts that inspect it, when no layer is left.
        self.absent: _Absent | None = None
        self.run: Callable[[HostTrunk, Tensor, Sequence[Call]], Tensor] = run_noted
        #: What steps return to the host instead of waiting for the last: see :mod:`hidden_states`.
        self.stepwise = ""

    @property
    def blocks(self) -> list[nn.Module]:  # type: ignore[override]  # stored under other names
        """Return the layers."""
        return [cast(nn.Module, self._modules[str(index)]) for index in range(self.count)]

    @property
    def depth(self) -> int:
        """Return the number of layers."""
        return self.count

    def call(self, index: int, context: dict[str, Any]) -> BlockCall:
        calls: tuple[Call, ...] = context.get("calls", ())
        call, place = calls[index] if calls else ((), {}), self.places[index]
        if place is not None:
            call = seated(call, place)
        layer = cast(nn.Module, self._modules[str(index)])
        return cast(BlockCall, partial(_call, layer, call))

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """Return the full depth's readout, for a host that calls its list as ``nn.Sequential``."""
        return self.finish(x, ((args, kwargs),) * len(self))

    def finish(self, x: Tensor, calls: Sequence[Call]) -> Tensor:
        """Run the layers, all of whose calls are known now, and return the result for the host."""
        if isinstance(x, Tensor) and x.is_nested:
            return cast(Tensor, padded_call(partial(self.run, self), x, calls))
        return self.run(self, x, calls)

    def cut(self, depth: int) -> HostTrunk:
        """Return a trunk of the first ``depth`` layers, shared with this one."""
        return self.only(range(self.connectivity.check_depth(depth)))

    def only(self, layers: Sequence[int]) -> HostTrunk:
        rule, blocks, depth = self.connectivity.only(layers), self.blocks, len(layers)
        trunk = HostTrunk([blocks[index] for index in layers], rule, self.sequential)
        trunk.returns_tuple, trunk.stepwise = self.returns_tuple, self.stepwise
        trunk.training = trunk.connectivity.training = self.training
        if not depth and (self.absent or self.count):
            trunk.absent = _Absent(trunk, self.absent.like if self.absent else self.blocks[0])
        return trunk

    def renumber(self) -> None:
        """Give each layer that counts its own position, for a cache, the position it has here."""
        if any(place is not None for place in self.places):
            renumber(self.blocks)
            self.places = cache_places(self.blocks)

    def ending(self, run: Callable[[HostTrunk, Tensor, Sequence[Call]], Tensor]) -> HostTrunk:
        """Return a view of this trunk that does ``run`` instead of running all its layers."""
        twin = twin_of(self)
        twin.run = run
        return twin

    def step_by_step(self, kind: str) -> HostTrunk:
        """Return a view whose steps return the readouts or layers of depths 1, 2, .."""
        twin = copy.copy(self)
        twin.stepwise = kind
        return twin

    # -- the interface of a list, for the host -----------------------------------------------------

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[Step]:
        if self.stepwise:
            return iter(_readout_steps(self))
        if self.returns_tuple and not self.count:  # the loop of such a host must run once
            return iter([cast(Step, lambda x, *_, **__: (x, None))])
        return iter([Step(self, index) for index in range(self.count)])

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            start, stop, stride = index.indices(self.count)
            if start != 0 or stride != 1:
                raise ConfigError("a trunk can only be cut from its top: [:k]")
            return self if stop == self.count else self.cut(stop)
        if self.absent is not None:
            return self.absent
        return Step(self, range(self.count)[index])

    def __setitem__(self, index: int, layer: nn.Module) -> None:
        """Replace layer ``index`` by another layer, splitting it if necessary.

        Raises:
            ConfigError: The index is a slice, or the layer's class is not registered.
        """
        if isinstance(index, slice):
            raise ConfigError("the layers of a trunk are exchanged one by one, not by a slice")
        layer = layer._layer if isinstance(layer, Step) else layer
        kind = layer.kind if isinstance(layer, SplitLayer) else kind_of(layer)
        if kind is None:
            raise ConfigError(
                f"a {type(layer).__name__} cannot be a layer of a trunk, as its class is not "
                "registered: restore the host, replace the layer there, and convert it again"
            )
        self._modules[str(range(self.count)[index])] = adopt(layer, kind)
        self.places = cache_places(self.blocks)

    def __prepare_scriptable__(self) -> NoReturn:
        raise ConvertError(
            "torch.jit.script cannot compile a network whose connectivity is chosen at run time: "
            "use torch.compile, torch.export or torch.jit.trace"
        )

    def __delitem__(self, index: Any) -> None:
        raise ConfigError("a trunk can only be cut from its top: assign trunk[:k]")

    def append(self, *_: Any) -> NoReturn:
        raise ConfigError("a trunk's layers are exchanged, trunk[i] = layer, or cut, trunk[:k]")

    extend = insert = pop = append


def _call(
    layer: nn.Module, call: Call, x: Tensor, short: Gate = 1.0, inner: Gate | None = None
) -> Tensor:
    args, kwargs = call
    return cast(Tensor, layer(x, *args, short=short, inner=inner, **kwargs))


class _Absent:
    """The stand-in for a first layer that was cut away: it answers questions but cannot run.

    ``nn.TransformerEncoder`` inspects the options of its first layer before it calls any.

    Args:
        trunk: The trunk that has no layers.
        like: The layer that was cut; only the shapes of its tensors are kept.
    """

    def __init__(self, trunk: HostTrunk, like: nn.Module) -> None:
        shapes: dict[int, Any] = {
            id(p): nn.Parameter(torch.empty(p.shape, dtype=p.dtype, device="meta"), p.requires_grad)
            for p in like.parameters()
        } | {id(b): torch.empty_like(b, device="meta") for b in like.buffers()}
        self.like, self._trunk = release(copy.deepcopy(unsharded(like), shapes)), trunk

    def __call__(self, *_: Any, **__: Any) -> Any:
        raise ConvertError("this network was cut at depth 0: it has no layer to call")

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name in ("like", "_trunk"):
            raise AttributeError(name)
        return self._trunk.training if name == "training" else getattr(self.like, name)


def _readout_steps(trunk: HostTrunk) -> list[Step]:
    run: tuple[list[Call], list[Iterator[Any]], list[Tensor]] = ([], [], [])
    return [_ReadoutStep(trunk, index, *run) for index in range(len(trunk))]


class _ReadoutStep(Step):
    """A step of one pass that runs its layer immediately, and returns what it or the head has."""

    _calls: list[Call]
    _states: list[Iterator[Any]]
    _layers: list[Tensor]

    def __init__(
        self,
        trunk: HostTrunk,
        index: int,
        calls: list[Call],
        states: list[Iterator[Any]],
        layers: list[Tensor],
    ) -> None:
        super().__init__(trunk, index)
        for name, value in (("_calls", calls), ("_states", states), ("_layers", layers)):
            object.__setattr__(self, name, value)  # an attribute of its own, not of the layer

    def __call__(self, x: Any, *args: Any, **kwargs: Any) -> Any:
        self._calls.append((args, kwargs))
        trunk = self._trunk
        if not self._states:
            self._layers.append(x)
            self._states.append(recorded_layers(trunk, self._layers).states(x, calls=self._calls))
            next(self._states[0])
        out = trunk.connectivity.readout(next(self._states[0]))
        if trunk.stepwise == "layers":
            out = self._layers[-1]
        return (out, None) if trunk.returns_tuple else out


def _itself(layer: nn.Module) -> nn.Module:
    return layer


def trunks_of(model: nn.Module) -> list[HostTrunk]:
    """Return the trunks in a host, in the order of its modules."""
    return [module for module in model.modules() if isinstance(module, HostTrunk)]


def set_rules(model: nn.Module, spec: Spec) -> None:
    """Give every trunk in ``model`` the rule, or each its own (``{"name": "stages", ...}``).

    Raises:
        ConfigError: The rule does not fit the depth of a trunk.
    """
    trunks = trunks_of(model)
    staged = isinstance(spec, Mapping) and spec.get("name") == "stages"
    specs = cast(Any, spec)["rules"] if staged else [spec] * len(trunks)
    rules = [make_rule(one, len(trunk)) for one, trunk in zip(specs, trunks, strict=True)]
    for trunk, rule in zip(trunks, rules, strict=True):
        trunk.connectivity = rule
