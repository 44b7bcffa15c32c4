"""The passes of a converted network: lazily through its stages, and for some of its examples.

The host's own code runs before a trunk, between two, and after the last one. Its outputs before a
trunk are kept with the pass (:data:`autocompress.conversion.views.Memo`), so that reading a depth
runs it again without computing anything but what follows.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from typing import Any, NamedTuple, cast
from weakref import WeakKeyDictionary

from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from autocompress.checks import rows_of
from autocompress.compaction import Layout, layouts_of, take_rows
from autocompress.conversion.host import Call, HostTrunk
from autocompress.conversion.runs import hand_back, hand_on
from autocompress.conversion.views import Memo, replayers
from autocompress.errors import ConfigError
from autocompress.network import Network

__all__ = ["HostPasses", "Seen"]


class Seen(NamedTuple):
    """A pass of a converted network, stopped at some depth of some stage.

    Attributes:
        depth: Number of layers that have run, in all stages.
        inner: State of the connectivity.
        context: The arguments with which the host calls the layers of this stage.
        stage: The stage, from 0.
        inputs: The batch with which the pass began.
        memo: Outputs of the host's modules before this stage, for that batch.
        front: The part of ``(inputs, memo)`` of the first example, once a depth was read early.
        rows: Indices of the examples that are left of it; None if all are.
        size: Number of examples in that batch, if some have left.
        layout: Places of the examples in ``(inputs, memo)``, if some have left.
        called: Places of the examples in ``context``, if some have left.
    """

    depth: int
    inner: Any
    context: dict[str, Any]
    stage: int
    inputs: Any
    memo: Memo
    front: list[Any]
    rows: Tensor | None = None
    size: int = 0
    layout: Layout | None = None
    called: Layout | None = None

    def theirs(self) -> tuple[Any, Memo]:
        """Return inputs and memo of the examples that are left."""
        if self.rows is None or self.layout is None:
            return self.inputs, self.memo
        return self.layout.take((self.inputs, self.memo), self.rows, self.size)


#: Whether what a host computes after a trunk depends on nothing but the readout, if it is known.
_ALONE: WeakKeyDictionary[object, dict[Any, bool]] = WeakKeyDictionary()


class HostPasses(Network):
    """The part of a converted network that runs it depth by depth."""

    model: nn.Module

    def begin(self, x: Any) -> Any:
        if not self.depth:  # a host's loop over no layers calls nothing at which to stop
            return Seen(0, None, {}, 0, x, {}, [])
        return self._enter(0, None, x, {})

    def onwards(
        self,
        state: Any,
        first: int,
        depth: int | None = None,
        mediated: float = 1.0,
        dropped: Collection[int] = (),
    ) -> Iterator[Any]:
        seen: Seen = state
        stop = self.depth if depth is None else self.check_depth(depth)
        yield seen
        while self.depth:
            trunk, below = self.trunks[seen.stage], self._below(seen.stage)
            out = {index - below for index in dropped}
            until = min(stop - below, trunk.depth)
            states = trunk.onwards(seen.inner, first - below, until, mediated, out, **seen.context)
            for at, inner in enumerate(islice(states, 1, None), first + 1):
                seen = seen._replace(depth=at, inner=inner)
                yield seen
            first = seen.depth
            if first >= stop:
                return
            before = self.hidden(seen)
            inputs, memo = seen.theirs()
            seen = self._enter(seen.stage + 1, before, inputs, memo)

    def read(self, state: Any) -> Tensor:
        if not self.depth:
            return cast(Tensor, self(state.inputs))
        inputs, memo = state.theirs()
        out = self._pass(self._handing_on(state), self._replaying(memo), inputs)
        return cast(Tensor, out)

    def hidden(self, state: Any) -> Tensor:
        seen: Seen = state
        return self.trunks[seen.stage].connectivity.readout(seen.inner)

    def counted(self, x: Any) -> Tensor | None:
        pad = (self.preprocess or {}).get("pad")
        mask = x.get("attention_mask") if isinstance(x, Mapping) else None
        if isinstance(x, Tensor) and pad is not None:
            mask = x != pad
        return None if mask is None else mask.bool()

    def read_early(self, state: Any) -> Tensor:
        """Return the same as ``read``, with one example in front of the trunk if that suffices.

        What the host computes before the trunk is thrown away, so it need not be computed for
        every example again, unless its code after the trunk uses it: that is tried once.
        """
        seen: Seen = state
        if not self.depth:
            return self.read(seen)
        size = len(tree_leaves(seen.inner)[0])
        layout = seen.layout or self._layout(seen, size)
        known = _ALONE.setdefault(self, {})
        key = (seen.stage, str(layout.form))
        if known.get(key) is False or size < 2:
            return self.read(seen)
        if not seen.front:
            seen.front.append(layout.first((seen.inputs, seen.memo), seen.size or size))
        inputs, memo = seen.front[0]
        tail = None if key in known else _Tail(self.model)
        runs = self._handing_on(seen, tail)
        if tail is None:
            out = self._pass(runs, self._replaying(memo), inputs)
            if len(out) == size:
                return cast(Tensor, out)
            known[key] = False
            return self.read(seen)
        truth = self.read(seen)
        try:
            with tail:
                out = self._pass(runs, self._replaying(memo), inputs)
            known[key] = tail.alone and out.shape == truth.shape and bool((out == truth).all())
        except Exception:  # code after the trunk may fail in any way on what is one example here
            known[key] = False
        return truth

    def compacted(self, state: Any, rows: Tensor, x: Any, size: int) -> Any:
        seen: Seen = state
        layout = seen.layout or self._layout(seen, size)
        calls = seen.called or layouts_of(self).of(
            seen.context, size, lambda: self._larger(seen.stage, seen.inputs, size)[1]
        )
        return seen._replace(
            inner=take_rows(seen.inner, rows),
            context=calls.take(seen.context, rows, size),
            rows=rows if seen.rows is None else seen.rows[rows],
            size=seen.size or size,
            layout=layout,
            called=calls,
        )

    def _layout(self, seen: Seen, size: int) -> Layout:
        """Return where the examples are in the inputs and the memo of a pass that has all."""

        def larger() -> Any:
            x0, _, inputs, memo = self._larger(seen.stage, seen.inputs, size)
            if len(x0) != size + 1:
                raise ConfigError(
                    f"examples cannot leave this network early: {type(self.model).__name__} hands "
                    f"its layers {tuple(x0.shape)} for {size + 1} examples, whose first dimension "
                    "is not the batch (batch_first=False?)"
                )
            return inputs, memo

        return layouts_of(self).of((seen.inputs, seen.memo), size, larger)

    def _larger(self, stage: int, inputs: Any, size: int) -> tuple[Tensor, Any, Any, Memo]:
        """Return x_0, context, inputs and memo of a stage for one example more.

        Only their shapes count: in place of an earlier stage's readout stands its x_0.
        """
        inputs = rows_of(inputs, range(size + 1))
        before: Tensor | None = None
        memo: Memo = {}
        calls: Sequence[Call] = ()
        for number in range(stage + 1):
            memo = dict(memo)
            before, calls = self._arrive(inputs, number, before, memo)
        return cast(Tensor, before), {"calls": calls}, inputs, memo

    def _handing_on(self, seen: Seen, tail: _Tail | None = None) -> list[Any]:
        """Return the runs of all trunks in a pass that reads this depth."""
        readout = self._handed(self.hidden(seen))
        hand = partial(hand_on, readout) if tail is None else partial(tail.hand_on, readout)
        return [hand if j == seen.stage else hand_back for j in range(len(self.trunks))]

    def _handed(self, readout: Tensor) -> Tensor:
        """Return a readout for the host; an own one may change it in place, and so gets a copy."""
        return readout.clone() if self.owner_builds else readout

    def _replaying(self, memo: Memo) -> dict[str, nn.Module]:
        """Return twins of modules that return what is in ``memo``; see :meth:`_handed`."""
        return replayers(self.model, memo, self.owner_builds)

    def _below(self, stage: int) -> int:
        """Return the number of layers in the stages before this one."""
        return sum(trunk.depth for trunk in self.trunks[:stage])

    def _enter(self, stage: int, before: Tensor | None, x: Any, memo: Memo) -> Seen:
        """Return the pass at the beginning of a stage; arguments as in :meth:`_arrive`."""
        memo = dict(memo)
        x0, calls = self._arrive(x, stage, before, memo)
        inner = self.trunks[stage].connectivity.begin(x0)
        return Seen(self._below(stage), inner, {"calls": calls}, stage, x, memo, [])

    # -- what the converted network itself gives ---------------------------------------------------

    def _arrive(
        self, x: Any, stage: int, before: Tensor | None, memo: Memo
    ) -> tuple[Tensor, Sequence[Call]]:
        raise NotImplementedError

    def _pass(
        self, runs: Sequence[Any], others: Mapping[str, nn.Module], x: Any, as_host: bool = False
    ) -> Any:
        raise NotImplementedError


class _Tail(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """A watch over a host's code after the trunk: whether it uses nothing from before.

    Attributes:
        alone: Whether every operation after the trunk took only the readout, weights, and results
            of other such operations.
    """

    def __init__(self, host: nn.Module) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.alone = True
        self.mine: dict[int, Tensor] = {}
        self.weights = {id(t) for t in (*host.parameters(), *host.buffers())}

    def hand_on(self, readout: Tensor, trunk: HostTrunk, x: Tensor, calls: Sequence[Call]) -> Any:
        """Return the readout in place of running the layers; from here on operations count."""
        self.mine[id(readout)] = readout
        return readout

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        if self.mine:
            for leaf in tree_leaves((args, kwargs)):
                if isinstance(leaf, Tensor) and id(leaf) not in self.mine:
                    self.alone &= id(leaf) in self.weights
            self.mine |= {id(leaf): leaf for leaf in tree_leaves(out) if isinstance(leaf, Tensor)}
        return out
