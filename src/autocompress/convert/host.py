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
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple, cast

from torch import Tensor, nn

from autocompress.connectivity import BlockCall, Gate, Spec, resolve
from autocompress.convert.layers import SplitLayer
from autocompress.errors import ConfigError
from autocompress.trunk import Trunk

__all__ = ["Call", "HostTrunk", "Memo", "Step", "recording", "replaced", "replaying"]

#: Positional and keyword arguments of one layer's call, after x.
Call = tuple[tuple[Any, ...], dict[str, Any]]


class _Waiting(NamedTuple):
    """What goes through the host's loop until its last step: x_0 and the calls noted so far."""

    x: Tensor
    calls: tuple[Call, ...]


class Step:
    """What a host finds in its list in the place of layer ``index``.

    Calls are noted or, by the last step, run; every attribute is the layer's.
    """

    def __init__(self, trunk: HostTrunk, index: int) -> None:
        self._trunk, self._index = trunk, index

    def __call__(self, x: Any, *args: Any, **kwargs: Any) -> Any:
        trunk = self._trunk
        x0, calls = x if isinstance(x, _Waiting) else (x, ())
        calls = (*calls, (args, kwargs))
        last = self._index + 1 == len(trunk)
        out = trunk.run(trunk, x0, calls) if last else _Waiting(x0, calls)
        return (out, None) if trunk.returns_tuple else out

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self._trunk[self._index], name)


class HostTrunk(Trunk):
    """A trunk in the place of a host's ``nn.ModuleList`` or ``nn.Sequential`` of layers.

    The layers are its children under their old names "0", "1", ..., so the host's state_dict has
    the keys that it had. To the host it is a list of :class:`Step`; called, it is a sequence.

    Args:
        layers: the host's layers, adopted (:func:`autocompress.convert.layers.adopt`).
        connectivity: the rule.
    """

    def __init__(self, layers: Sequence[nn.Module], connectivity: Spec) -> None:
        nn.Module.__init__(self)
        for index, layer in enumerate(layers):
            self.add_module(str(index), layer)
        self.count = len(layers)
        self.connectivity = resolve(connectivity, len(layers))
        self.returns_tuple = any(
            isinstance(layer, SplitLayer) and layer.kind.returns_tuple for layer in layers
        )
        self.run: Callable[[HostTrunk, Tensor, tuple[Call, ...]], Tensor] = _to_the_end

    @property
    def blocks(self) -> list[nn.Module]:  # type: ignore[override]  # same words, other shelf
        """The layers."""
        return [cast(nn.Module, self._modules[str(index)]) for index in range(self.count)]

    def call(self, index: int, context: dict[str, Any]) -> BlockCall:
        calls: tuple[Call, ...] = context.get("calls", ())
        return cast(BlockCall, partial(_call, self[index], calls[index] if calls else ((), {})))

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:  # type: ignore[override]
        """What ``nn.Sequential`` is to a host that calls its list: x to the full depth's readout."""
        return self.run(self, x, ((args, kwargs),) * len(self))

    def cut(self, depth: int) -> HostTrunk:
        """A trunk of the first ``depth`` layers; it shares them with this one."""
        trunk = HostTrunk(self.blocks[:depth], self.connectivity.cut(depth))
        trunk.returns_tuple = self.returns_tuple
        return trunk

    def ending(self, run: Callable[[HostTrunk, Tensor, tuple[Call, ...]], Tensor]) -> HostTrunk:
        """A view of this trunk that does ``run`` where this one runs all its layers."""
        twin = copy.copy(self)
        twin.run = run
        return twin

    # -- to the host, a list -----------------------------------------------------------------------

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[Step]:
        return iter([Step(self, index) for index in range(self.count)])

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            start, stop, stride = index.indices(self.count)
            if start != 0 or stride != 1:
                raise ConfigError("a trunk can be cut from its top only: [:k]")
            return self if stop == self.count else self.cut(stop)
        return self._modules[str(range(self.count)[index])]


def _to_the_end(trunk: HostTrunk, x: Tensor, calls: tuple[Call, ...]) -> Tensor:
    return Trunk.forward(trunk, x, calls=calls)


def _call(
    layer: nn.Module, call: Call, x: Tensor, short: Gate = 1.0, inner: Gate | None = None
) -> Tensor:
    args, kwargs = call
    return cast(Tensor, layer(x, *args, short=short, inner=inner, **kwargs))


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
    twin.forward = forward  # type: ignore[method-assign]
    return twin
