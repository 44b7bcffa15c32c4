"""Exit: a depth for each example, the first at which its prediction is certain enough.

The examples that are left are regrouped, so that further blocks run for them alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from autocompress.checks import as_floats_of, blame, check_network, rows_in, takes
from autocompress.depth.exit_rule import ExitRule, Memory
from autocompress.errors import ConfigError
from autocompress.measurement.counter import FlopCounter
from autocompress.measurement.modes import evaluating, outside_inference
from autocompress.network import Network
from autocompress.training.objectives import objective_of
from autocompress.trunk import Trunk

__all__ = [
    "Exits",
    "Meter",
    "Regroup",
    "Segments",
    "check_head",
    "early_exit",
    "exit_depths",
    "rule_for",
]


class Exits(NamedTuple):
    """The result of :func:`early_exit`.

    Attributes:
        logits: Logits (B, K), those of each example at its exit.
        depths: Exit depth of each example, int64 (B,), on the CPU.
        flops: Forward FLOPs of each example by torch's counter, float64 (B,): the stem, the blocks
            that ran for it and each head that read it. None if they were not counted.
    """

    logits: Tensor
    depths: Tensor
    flops: Tensor | None


class Regroup(Protocol):
    """Decides whether the examples that are left are regrouped."""

    def pays(self, place: int, size: int, left: int) -> bool:
        """Return whether to go on with ``left`` of ``size`` rows after exit number ``place``."""


def early_exit(
    net: Network,
    x: Any,
    threshold: float | ExitRule,
    *,
    depths: Iterable[int] | None = None,
    count: bool = True,
    criterion: str = "entropy",
    regroup: Regroup | None = None,
    segments: Segments | None = None,
) -> Exits:
    """Run each example only as deep as it needs.

    After each depth at which exits are allowed, the examples with a certain enough prediction
    leave, and the next blocks run for the others alone. The answers come in the order of the
    batch, which may have any size. Each row of the logits is the readout at that example's depth.
    It equals ``net(x, depth)`` within float tolerance: kernels may round differently as the batch
    shrinks.

    Networks of other libraries leave early too: the masks and positions with which their host
    calls the layers are taken for the examples that are left.

    Args:
        net: A network whose head gives one prediction per example.
        x: A batch (B, ...) as the network takes it, on its device: a tensor, or a mapping of the
            host's keyword arguments.
        threshold: Threshold of the criterion at every exit, or an :class:`ExitRule`, e.g. that of
            a calibrated :class:`ExitRecord`. An entropy is in nats: with 0 no example ever leaves,
            above log K all do at once.
        depths: Depths at which examples may exit; None allows every depth from 1 on, or those of
            the rule. Full depth is always allowed.
        count: Whether to count FLOPs, operation by operation; without it the pass is faster.
        criterion: ``entropy``, ``margin``, ``probability`` or ``patience``
            (:mod:`autocompress.depth.exit_rule`); a rule has its own.
        regroup: Costs that say where copying the rows of the examples that are left pays
            (:func:`autocompress.exit_costs`); None regroups whenever one leaves.
        segments: The network in compiled segments; None runs it as it is.

    Raises:
        DepthError: A depth is outside the network.
        ConfigError: The threshold is not one of this criterion, the network predicts tokens or
            numbers, ``x`` is no batch of tensors, or a part of it cannot be taken from what its
            host hands to the layers.
        ShapeError: The network cannot take the batch.
        NotFiniteError: Weights or activations are not finite.

    Example:
        >>> import autocompress as ac
        >>> net = ac.models.MLP(depth=4, width=8, classes=3, image_size=2, channels=1)
        >>> x = torch.randn(5, 1, 2, 2)
        >>> ac.early_exit(net, x, threshold=0.0).depths.tolist()
        [4, 4, 4, 4, 4]
        >>> ac.early_exit(net, x, threshold=9.9).depths.tolist()
        [1, 1, 1, 1, 1]
    """
    check_network(net, "early_exit")
    objective_of(net).check_entropy()
    rule = rule_for(net, threshold, depths, criterion)
    x = as_floats_of(net, dict(x) if isinstance(x, Mapping) else x)
    rows_in(x)
    if len(rule.exits) == 1 and not count and segments is None:  # nobody leaves
        return _whole(net, x)
    run = _Run(net, x, rule, Meter(count), regroup, segments or Segments(net))
    with evaluating(net):
        run.start()
        for place, depth in enumerate(rule.depths):
            if run.left or not place:
                run.to(place, depth)
    logits, found, flops = run.answers()
    if not bool(torch.isfinite(logits).all()):
        with evaluating(net):
            blame(net, x, "given")
    return Exits(logits, found, flops if count else None)


def _whole(net: Network, x: Any) -> Exits:
    """Return the answers of full depth, in the network's own pass."""
    with evaluating(net):
        with takes(net, x):
            logits = net(x)
        check_head(logits)
        if not bool(torch.isfinite(logits).all()):
            blame(net, x, "given")
    return Exits(logits, torch.full((len(logits),), net.depth, dtype=torch.int64), None)


def rule_for(
    net: Network,
    threshold: float | ExitRule,
    depths: Iterable[int] | None = None,
    criterion: str = "entropy",
) -> ExitRule:
    """Return the rule for this network; the arguments are those of :func:`early_exit`.

    Raises:
        DepthError: A depth is outside the network.
        ConfigError: The threshold is not one of this criterion, or the rule is for a network of
            another depth.
    """
    if not isinstance(threshold, ExitRule):
        return ExitRule.uniform(criterion, exit_depths(net, depths), float(threshold))
    if depths is not None:
        raise ConfigError("a rule has depths of its own: give either a rule or depths")
    if threshold.depths[-1] != net.depth:
        raise ConfigError(
            f"these exits are for a network of depth {threshold.depths[-1]}, and this one has "
            f"depth {net.depth}: calibrate them for it (ac.exit_curve)"
        )
    net.check_depth(threshold.depths[0])
    return threshold


class _Run:
    """One batch on its way: the rows that are in the pass, and the answers of those that left."""

    def __init__(
        self,
        net: Network,
        x: Any,
        rule: ExitRule,
        meter: Meter,
        regroup: Regroup | None,
        segments: Segments,
    ) -> None:
        self.net, self.x, self.rule, self.meter = net, x, rule, meter
        self.regroup, self.segments = regroup, segments
        self.state: Any = None
        self.memory: Memory = None
        self.rows = torch.empty(0)  # the examples in the pass, by their place in the batch
        self.there: Tensor | None = None  # which of them have not left; None if all are there
        self.left = self.below = 0
        self.gone: list[tuple[Tensor, Tensor, int, float]] = []

    def start(self) -> None:
        """Run the stem."""
        first: Tensor = tree_leaves(self.x)[0]
        self.left = len(first)
        self.rows = torch.arange(self.left, device=first.device)
        with self.meter.shared(self.left), takes(self.net, self.x):
            self.state = self.net.begin(self.x)

    def to(self, place: int, depth: int) -> None:
        """Run to this depth, and let the examples leave that are certain there."""
        with self.meter.shared(self.left):
            self.state = self.segments.advance(self.state, self.below, depth)
            seen = self.net.read_early(self.state)
        check_head(seen)
        if len(seen) != len(self.rows):
            raise ConfigError(
                f"early exit needs one prediction per example: {len(seen)} came for "
                f"{len(self.rows)} examples, so the first dimension is not the batch"
            )
        self.below = depth
        certain, self.memory = self.rule.certain(place, seen, self.memory)
        if certain is None:
            out = None if self.there is None else self.there.nonzero()[:, 0]
        else:
            certain = certain if self.there is None else certain & self.there
            out = certain.nonzero()[:, 0]
        count = len(self.rows) if out is None else len(out)
        if count or not len(self.rows):
            whole = count == len(self.rows) or out is None
            parts = (self.rows, seen) if whole else (self.rows[out], seen[out])
            self.gone.append((*parts, depth, self.meter.spent))
            self.left -= count
        if self.left and count and certain is not None:
            self._go_on(place, certain)

    def _go_on(self, place: int, certain: Tensor) -> None:
        """Go on without those that left, in a smaller batch if that is worth the copy."""
        there = ~certain if self.there is None else self.there & ~certain
        size = len(self.rows)
        if self.regroup is not None and not self.regroup.pays(place, size, self.left):
            self.there = there
            return
        stay = there.nonzero()[:, 0]
        self.state = self.net.compacted(self.state, stay, self.x, size)
        self.rows, self.there = self.rows[stay], None
        if self.memory is not None:
            self.memory = (self.memory[0][stay], self.memory[1][stay])

    def answers(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return logits, depths and FLOPs in the order of the batch."""
        rows = torch.cat([rows for rows, *_ in self.gone])
        seen = torch.cat([logits for _, logits, *_ in self.gone])
        logits = torch.empty_like(seen).index_copy_(0, rows, seen)
        sizes = [len(rows) for rows, *_ in self.gone]
        where, total = rows.cpu(), sum(sizes)
        depths = torch.empty(total, dtype=torch.int64)
        flops = torch.empty(total, dtype=torch.float64)
        for part, (*_, depth, spent) in zip(torch.split(where, sizes), self.gone, strict=True):
            depths[part], flops[part] = depth, spent
        return logits, depths, flops


class Segments:
    """A network as the segments between its exits.

    Args:
        net: The network.
        compile: Whether ``torch.compile`` compiles each segment, for any batch size; a stage-wise
            network runs as it is.

    Example:
        >>> import autocompress as ac
        >>> net = ac.models.MLP(depth=2, width=4)
        >>> Segments(net).compile
        False
    """

    def __init__(self, net: Network, *, compile: bool = False) -> None:
        self.net = net
        self.compile = compile and len(net.trunks) == 1
        self.compiled: dict[tuple[int, int], Callable[..., Any]] = {}

    def advance(self, state: Any, first: int, depth: int) -> Any:
        """Return the pass at ``depth``, from the one at ``first``."""
        if depth == first:
            return state
        if not self.compile:
            last = state
            for last in self.net.onwards(state, first, depth):  # noqa: B007 - keep only the last
                pass
            return last
        key = (first, depth)
        if key not in self.compiled:
            segment = partial(_segment, self.net.trunk, first, depth)
            self.compiled[key] = torch.compile(segment, dynamic=True)
        inner = self.compiled[key](state.inner, state.context)
        return state._replace(depth=depth, inner=inner)


def _segment(trunk: Trunk, first: int, depth: int, inner: Any, context: dict[str, Any]) -> Any:
    last = inner
    for last in trunk.onwards(inner, first, depth, **context):  # noqa: B007 - keep only the last
        pass
    return last


class Meter:
    """The FLOPs that one example has cost so far, counted while the operations run."""

    def __init__(self, counts: bool = True) -> None:
        self.counts, self.spent = counts, 0.0

    @contextmanager
    def shared(self, examples: int) -> Iterator[None]:
        """Divide the cost of the operations inside the context among ``examples`` examples."""
        if not self.counts:
            yield
            return
        with outside_inference(), FlopCounter() as counter:
            yield
        self.spent += counter.count / max(1, examples)


def exit_depths(net: Network, depths: Iterable[int] | None) -> list[int]:
    """Return the depths to read in ascending order, full depth last."""
    chosen = range(1, net.depth + 1) if depths is None else depths
    return sorted({*(net.check_depth(depth) for depth in chosen), net.depth})


def check_head(logits: Tensor) -> None:
    """Raise ConfigError unless the head gives one prediction per example."""
    if logits.ndim != 2:
        raise ConfigError(
            "early exit is for one prediction per example, (B, K), and this head gives "
            f"{tuple(logits.shape)}: tokens of one text would need different depths"
        )
