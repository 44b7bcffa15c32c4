"""Exit: a depth for each example, the first at which its prediction is certain enough.

An example exits when the entropy of its prediction, in nats, falls below a threshold
(Teerapittayanon et al., BranchyNet, 2016; paper, appendix H). The remaining examples are regrouped,
so that further blocks run for them alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar, cast

import torch
from accelerate.utils import find_batch_size
from rich.table import Table
from torch import Tensor

from autocompress.checks import as_floats_of, blame, check_network, takes
from autocompress.depth.exit_rule import entropy
from autocompress.errors import ConfigError, DataError
from autocompress.measurement import depth_costs
from autocompress.measurement.counter import FlopCounter
from autocompress.measurement.modes import evaluating, outside_inference
from autocompress.network import Network
from autocompress.printing import as_text
from autocompress.training.inputs import Data, check_data, network_batches
from autocompress.training.objectives import objective_of

__all__ = ["ExitCurve", "ExitPoint", "Exits", "early_exit", "exit_curve"]

S = TypeVar("S")


class Exits(NamedTuple):
    """The result of :func:`early_exit`.

    Attributes:
        logits: Logits (B, K), those of each example at its exit.
        depths: Exit depth of each example, int64 (B,).
        flops: Forward FLOPs of each example by torch's counter, float64 (B,): the stem, the blocks
            that ran for it and each head that read it. None if they were not counted.
    """

    logits: Tensor
    depths: Tensor
    flops: Tensor | None


def early_exit(
    net: Network,
    x: Tensor,
    threshold: float,
    *,
    depths: Iterable[int] | None = None,
    count: bool = True,
) -> Exits:
    """Run each example only as deep as it needs.

    After each depth at which exits are allowed, the examples with a certain enough prediction
    leave, and the next blocks run for the others alone. Each row of the logits is the readout at
    that example's depth. It equals ``net(x, depth)`` within float tolerance: kernels may round
    differently as the batch shrinks.

    Args:
        net: A network of this library whose head gives one prediction per example.
        x: A batch (B, ...) as the network takes it, on its device.
        threshold: Entropy in nats below which an example exits: with 0 none ever does, above log K
            all do at once.
        depths: Depths at which examples may exit; None allows every depth from 1 on. Full depth is
            always allowed.
        count: Whether to count FLOPs, operation by operation; without it the pass is faster.

    Raises:
        DepthError: A depth is outside the network.
        ConfigError: The threshold is not a number, or the network comes from another library (its
            layers cannot be called for some of the examples) or predicts tokens.

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
    _check_threshold(threshold)
    x = as_floats_of(net, x)
    read_at, meter = _exits(net, depths), _Meter(count)
    logits: Tensor | None = None
    at = torch.full((len(x),), net.depth)
    flops = torch.zeros(len(x), dtype=torch.float64)
    left, below = torch.arange(len(x)), 0
    with evaluating(net):
        with meter.shared(len(x)):
            state = net.begin(x)
        for depth in read_at:
            with meter.shared(len(left)):
                *_, state = net.onwards(state, below, depth)
                seen = net.read(state)
            _check_head(seen)
            if not bool(torch.isfinite(seen).all()):
                blame(net, x, "given")
            logits = seen.new_empty(len(x), seen.shape[-1]) if logits is None else logits
            done = entropy(seen) < threshold
            done |= depth == net.depth
            out = left[done.cpu()]
            logits[out.to(logits.device)] = seen[done]
            at[out], flops[out], below = depth, meter.spent, depth
            if len(out) == len(left):
                break
            if len(out):
                stay = (~done).nonzero()[:, 0]
                left, state = left[stay.cpu()], take_rows(state, stay)
    return Exits(cast(Tensor, logits), at, flops if count else None)


class _Meter:
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
        self.spent += counter.count / examples


def take_rows(state: S, rows: Tensor) -> S:
    """Return the state of the examples at ``rows``: of all tensors (B, ...) in it, at any level.

    Example:
        >>> take_rows((torch.tensor([1, 2, 3]), None), torch.tensor([2, 0]))
        (tensor([3, 1]), None)
    """
    if isinstance(state, Tensor):
        return cast(S, state.index_select(0, rows))
    if isinstance(state, dict):
        return cast(S, {name: take_rows(part, rows) for name, part in state.items()})
    if not isinstance(state, tuple):
        return state
    parts = [take_rows(part, rows) for part in state]
    return cast(S, type(state)(*parts) if hasattr(state, "_fields") else tuple(parts))


# -- a threshold, chosen on validation data --------------------------------------------------------


@dataclass(frozen=True)
class ExitPoint:
    """The outcome of one threshold.

    Attributes:
        threshold: Threshold in nats.
        score: Accuracy as a fraction.
        flops: Mean FLOPs per example, including every head that reads it.
        depth: Mean exit depth.
    """

    threshold: float
    score: float
    flops: float
    depth: float


@dataclass(frozen=True)
class ExitCurve:
    """Accuracy against mean FLOPs for every threshold, from one pass over the data.

    Attributes:
        depths: The D depths at which examples may exit, full depth last.
        entropy: Entropies in nats, float (examples, D).
        hits: Whether each prediction is correct, bool (examples, D).
        flops: Cost of an example that exits at each depth, with all heads that have read it.
        full_flops: Cost of full depth with its one head.
        classes: Number of classes K.
    """

    depths: list[int]
    entropy: Tensor
    hits: Tensor
    flops: list[float]
    full_flops: float
    classes: int

    def at(self, threshold: float) -> ExitPoint:
        """Return the outcome of this threshold on these data.

        Example:
            >>> curve = ExitCurve(
            ...     [1, 2], torch.tensor([[0.1, 0.1], [0.6, 0.2]]),
            ...     torch.tensor([[True, True], [False, True]]), [10.0, 21.0], 20.0, 2,
            ... )
            >>> curve.at(0.5)
            ExitPoint(threshold=0.5, score=1.0, flops=15.5, depth=1.5)
        """
        sure = self.entropy < threshold
        sure[:, -1] = True
        where = sure.int().argmax(1)  # the first depth that is certain enough
        hits = self.hits.gather(1, where[:, None])
        flops = torch.tensor(self.flops, dtype=torch.float64)[where]
        depths = torch.tensor(self.depths, dtype=torch.float64)[where]
        score, flops_mean, depth = (float(v.double().mean()) for v in (hits, flops, depths))
        return ExitPoint(threshold, score, flops_mean, depth)

    def points(self, count: int = 50) -> list[ExitPoint]:
        """Return the outcomes of thresholds from 0 (no exits) to just above log K (all at once)."""
        top = math.log(self.classes) * (1 + 1e-6) + 1e-6
        return [self.at(top * step / count) for step in range(count + 1)]

    def calibrate(self, drop: float = 0.005) -> ExitPoint:
        """Return the largest threshold that loses at most ``drop`` of full depth's accuracy.

        Accuracy need not fall monotonically with the threshold: the result is the largest of 500
        thresholds up to which none loses more.

        Args:
            drop: Accepted loss as a fraction; 0.005 is half a percentage point.

        Raises:
            ConfigError: The drop is below 0.
        """
        if not drop >= 0:
            raise ConfigError(f"drop {drop} must be at least 0, e.g. 0.005")
        points = self.points(500)
        least = points[0].score - drop - 1e-9
        good = points[0]
        for point in points:
            if point.score < least:
                break
            good = point
        return good

    def to_json(self) -> list[dict[str, float]]:
        """Return one object per threshold; scores as fractions."""
        return [vars(point) for point in self.points()]

    def __str__(self) -> str:
        table = Table(title=f"Early exit ({len(self.hits)} examples)")
        for heading in ("threshold", "score %", "mean depth", "mean MFLOPs", "full / mean"):
            table.add_column(heading, justify="right")
        for point in self.points(10):
            table.add_row(
                f"{point.threshold:.2f}",
                f"{100 * point.score:.2f}",
                f"{point.depth:.2f}",
                f"{point.flops / 1e6:.2f}",
                f"{self.full_flops / point.flops:.2f}",
            )
        return as_text(table)

    def plot(self) -> Any:
        """Return a matplotlib Figure of accuracy against mean FLOPs."""
        from matplotlib.figure import Figure

        figure = Figure(figsize=(6, 4), layout="constrained")
        axes = figure.subplots()
        points = self.points()
        axes.plot([p.flops / 1e6 for p in points], [100 * p.score for p in points], marker=".")
        axes.set_xlabel("mean MFLOPs per example")
        axes.set_ylabel("score, %")
        axes.grid(alpha=0.3)
        return figure


def exit_curve(
    net: Network, data: Data, *, depths: Iterable[int] | None = None, batch_size: int = 256
) -> ExitCurve:
    """Return the outcome of every threshold of :func:`early_exit` on ``data``.

    It takes one pass in which all examples run to full depth, and works for any network, including
    converted ones.

    Args:
        net: The network.
        data: The data; see :data:`autocompress.training.inputs.Data`.
        depths: Depths at which examples may exit; None allows every depth from 1 on.
        batch_size: Examples per pass.

    Raises:
        DepthError: A depth is outside the network.
        DataError: The data are empty, or have labels that the head lacks.
        ConfigError: The head predicts tokens, numbers or several labels, which have no entropy.
        NotFiniteError: Weights or activations are not finite.

    Example:
        >>> import autocompress as ac
        >>> data = torch.utils.data.TensorDataset(torch.randn(9, 1, 2, 2), torch.arange(9) % 3)
        >>> net = ac.models.MLP(depth=2, width=8, classes=3, image_size=2, channels=1)
        >>> curve = ac.exit_curve(net, data)
        >>> curve.at(0.0).depth, curve.at(9.9).depth
        (2.0, 1.0)
    """
    check_network(net, "exit_curve")
    check_data(data, net.classes, "probed")
    objective = objective_of(net)
    objective.check_entropy()
    read_at = _exits(net, depths)
    rows: list[tuple[Tensor, Tensor]] = []
    first: list[Any] = []
    classes = 0
    with evaluating(net):
        for inputs, labels in network_batches(net, data, batch_size, "probed"):
            first = first or [inputs]
            unsure, hits = [], []
            with takes(net, inputs):
                for depth, logits in enumerate(net.readouts(inputs)):
                    if depth in read_at:
                        _check_head(logits)
                        classes = logits.shape[-1]
                        targets = objective.targets(labels, logits.shape, "probed")
                        unsure.append(entropy(logits).cpu())
                        hits.append((logits.argmax(-1) == targets).cpu())
            rows.append((torch.stack(unsure, 1), torch.stack(hits, 1)))
            if not bool(torch.isfinite(rows[-1][0]).all()):
                blame(net, inputs, "probed", sum(len(unsure) for unsure, _ in rows[:-1]))
    if not rows:
        raise DataError("the probed data are empty; at least one example is needed")
    flops = _costs(net, first[0], read_at)
    unsure_rows, hit_rows = (torch.cat(part) for part in zip(*rows, strict=True))
    full = float(depth_costs(net, first[0])[-1].flops or 0)
    return ExitCurve(list(read_at), unsure_rows, hit_rows, flops, full, classes)


def _costs(net: Network, x: Any, read_at: Sequence[int]) -> list[float]:
    """Return the FLOPs of an example that exits at each depth: the pass and all heads so far."""
    costs, meter = [], _Meter()
    size = int(find_batch_size(x) or 1)  # a batch may be a mapping of tensors
    with evaluating(net):
        with meter.shared(size):
            states = net.states(x)
        for depth in range(net.depth + 1):
            with meter.shared(size):
                state = next(states)
                if depth in read_at:
                    net.read(state)
            if depth in read_at:
                costs.append(meter.spent)
    return costs


def _exits(net: Network, depths: Iterable[int] | None) -> list[int]:
    """Return the depths to read in ascending order, full depth last."""
    chosen = range(1, net.depth + 1) if depths is None else depths
    return sorted({*(net.check_depth(depth) for depth in chosen), net.depth})


def _check_threshold(threshold: float) -> None:
    if not threshold >= 0:
        raise ConfigError(
            f"threshold {threshold} is not an entropy: it must be at least 0 nats, e.g. 0.7"
        )


def _check_head(logits: Tensor) -> None:
    if logits.ndim != 2:
        raise ConfigError(
            f"early exit is for one prediction per example, (B, K); this head gives "
            f"{tuple(logits.shape)}"
        )
