"""The outcome of every threshold, from one pass over validation data, and the choice of one."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from accelerate.utils import find_batch_size
from rich.table import Table
from torch import Tensor
from torch.nn import functional as F

from autocompress.checks import blame, check_network, takes
from autocompress.depth.exit import Meter, check_head, exit_depths
from autocompress.depth.exit_rule import CRITERIA, Criterion, ExitRule
from autocompress.errors import ConfigError, DataError, UnknownNameError
from autocompress.measurement import depth_costs
from autocompress.measurement.modes import evaluating
from autocompress.network import Network
from autocompress.printing import as_text
from autocompress.training.inputs import Data, check_data, network_batches
from autocompress.training.objective import IGNORED
from autocompress.training.objectives import objective_of

__all__ = ["ExitCurve", "ExitPoint", "exit_curve"]

#: Temperatures that are compared: factors of 2 ** (1 / 8) from 1 / 8 to 8.
_TEMPERATURES = [2 ** (step / 8) for step in range(-24, 25)]


@dataclass(frozen=True)
class ExitPoint:
    """The outcome of one threshold.

    Attributes:
        threshold: The threshold, in the unit of the criterion.
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
        entropy: The criterion's number of each example at each depth, float (examples, D):
            entropies in nats unless another criterion was asked for.
        hits: Whether each prediction is correct, bool (examples, D).
        flops: Cost of an example that exits at each depth, with all heads that have read it.
        full_flops: Cost of full depth with its one head.
        classes: Number of classes K.
        criterion: Name of the criterion.
        temperatures: Temperature of each depth; empty if all are 1.
    """

    depths: list[int]
    entropy: Tensor
    hits: Tensor
    flops: list[float]
    full_flops: float
    classes: int
    criterion: str = "entropy"
    temperatures: list[float] = field(default_factory=list)

    @property
    def measure(self) -> Criterion:
        """Return the criterion."""
        return CRITERIA[self.criterion]

    @property
    def full_score(self) -> float:
        """Return the accuracy of full depth."""
        return float(self.hits[:, -1].double().mean())

    def certain(self, threshold: float) -> Tensor:
        """Return whether each example is certain enough at each of the D depths, bool."""
        return self.measure.leaves(self.entropy, threshold)

    def exits_at(self, threshold: float) -> Tensor:
        """Return at which of the D exits each example leaves, int64 (examples,)."""
        sure = self.certain(threshold)
        sure[:, -1] = True
        return sure.int().argmax(1)  # the first depth that is certain enough

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
        where = self.exits_at(threshold)
        hits = self.hits.gather(1, where[:, None])
        flops = torch.tensor(self.flops, dtype=torch.float64)[where]
        depths = torch.tensor(self.depths, dtype=torch.float64)[where]
        score, flops_mean, depth = (float(v.double().mean()) for v in (hits, flops, depths))
        return ExitPoint(threshold, score, flops_mean, depth)

    def shares(self, threshold: float) -> list[float]:
        """Return the share of the examples that leave at each exit."""
        counts = self.exits_at(threshold).bincount(minlength=len(self.depths))
        return (counts.double() / max(1, len(self.hits))).tolist()

    def rule(self, threshold: float) -> ExitRule:
        """Return the exits with this threshold at every depth."""
        scale = self.temperatures or 1.0
        return ExitRule.uniform(self.criterion, self.depths, threshold, scale)

    def points(self, count: int = 50) -> list[ExitPoint]:
        """Return the outcomes of thresholds from one without exits to one at which all leave."""
        return [self.at(threshold) for threshold in self._sweep(count)]

    def _sweep(self, count: int) -> list[float]:
        return self.measure.sweep(self.classes, len(self.depths), count)

    def calibrate(self, drop: float = 0.005) -> ExitPoint:
        """Return the threshold of most exits that loses at most ``drop`` of full depth's accuracy.

        Accuracy need not fall monotonically with the threshold: the result is the last of 500
        thresholds up to which none loses more.

        Args:
            drop: Accepted loss as a fraction; 0.005 is half a percentage point.

        Raises:
            ConfigError: The drop is not a share of 1.
        """
        if not 0 <= drop < 1:
            raise ConfigError(
                f"drop {drop:g} must be at least 0 and below 1; half a percentage point is 0.005"
            )
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
    net: Network,
    data: Data,
    *,
    depths: Iterable[int] | None = None,
    batch_size: int = 256,
    criterion: str = "entropy",
    temperature: bool | Sequence[float] = False,
) -> ExitCurve:
    """Return the outcome of every threshold of :func:`early_exit` on ``data``.

    It takes one pass in which all examples run to full depth. Those without a label (-100) do not
    count. Choose a threshold on validation data, and read test data with the temperatures that were
    found there.

    Args:
        net: The network.
        data: The data; see :data:`autocompress.training.inputs.Data`.
        depths: Depths at which examples may exit; None allows every depth from 1 on.
        batch_size: Examples per pass.
        criterion: ``entropy``, ``margin``, ``probability`` or ``patience``.
        temperature: Whether to find, in a pass before, the temperature of each exit at which its
            probabilities fit the labels best (Guo et al., 2017), or one number for each exit.

    Raises:
        UnknownNameError: There is no such criterion.
        DepthError: A depth is outside the network.
        DataError: The data are empty, have no labels, or labels that the head lacks.
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
    objective_of(net).check_entropy()
    if criterion not in CRITERIA:
        raise UnknownNameError("criterion", criterion, CRITERIA)
    reader = _Reader(net, data, exit_depths(net, depths), batch_size)
    scales = _scales(reader, temperature)
    measure = CRITERIA[criterion]
    rows: list[tuple[Tensor, Tensor]] = []
    for number, readouts, targets in reader:
        found, hits, memory = [], [], None
        for logits, scale in zip(readouts, scales or [1.0] * len(readouts), strict=True):
            scaled = logits if scale == 1 else logits.float() / scale
            values, memory = measure.values(scaled, memory)
            found.append(values.cpu())
            hits.append((logits.argmax(-1) == targets).cpu())
        rows.append((torch.stack(found, 1), torch.stack(hits, 1)))
        if not all(bool(torch.isfinite(logits).all()) for logits in readouts):
            with evaluating(net):
                blame(net, reader.inputs, "probed", number)
    if not rows:
        missing = "are empty" if reader.first is None else f"have no label but {IGNORED}"
        raise DataError(f"the probed data {missing}; at least one labelled example is needed")
    unsure_rows, hit_rows = (torch.cat(part) for part in zip(*rows, strict=True))
    flops = _costs(net, reader.first, reader.depths)
    full = float(depth_costs(net, reader.first)[-1].flops or 0)
    return ExitCurve(
        reader.depths, unsure_rows, hit_rows, flops, full, reader.classes, criterion, scales
    )


class _Reader:
    """The readouts of all exits and the targets of the labelled examples, batch by batch.

    Attributes:
        first: The first batch, as the network takes it.
        inputs: The last one.
        classes: Number of classes.
    """

    def __init__(self, net: Network, data: Data, depths: list[int], batch_size: int) -> None:
        self.net, self.data, self.depths, self.batch_size = net, data, depths, batch_size
        self.first: Any = None
        self.inputs: Any = None
        self.classes = 0

    def __iter__(self) -> Any:
        """Yield the number of examples before, the logits (B, K) of each exit, and the targets."""
        objective, number = objective_of(self.net), 0
        with evaluating(self.net):
            for inputs, labels in network_batches(self.net, self.data, self.batch_size, "probed"):
                self.inputs = inputs
                self.first = inputs if self.first is None else self.first
                readouts = []
                with takes(self.net, inputs):
                    for depth, logits in enumerate(self.net.readouts(inputs)):
                        if depth in self.depths:
                            check_head(logits)
                            readouts.append(logits)
                self.classes = readouts[0].shape[-1]
                targets = objective.targets(labels, readouts[0].shape, "probed")
                labelled, rows = objective.wanted(targets)
                if rows is not None:
                    readouts = [logits[rows] for logits in readouts]
                if len(labelled):
                    yield number, readouts, labelled
                number += len(targets)


def _scales(reader: _Reader, temperature: bool | Sequence[float]) -> list[float]:
    """Return the temperature of each exit; an empty list if all are 1."""
    count = len(reader.depths)
    if not isinstance(temperature, bool):
        given = [float(value) for value in temperature]
        if given and len(given) != count:
            raise ConfigError(f"{len(given)} temperatures for {count} exits: give one for each")
        return given
    if not temperature:
        return []
    losses = torch.zeros(count, len(_TEMPERATURES), dtype=torch.float64)
    for _, readouts, targets in reader:
        for place, logits in enumerate(readouts):
            for number, scale in enumerate(_TEMPERATURES):
                scaled = logits.float() / scale
                losses[place, number] += float(F.cross_entropy(scaled, targets) * len(targets))
    return [_lowest(row.tolist()) for row in losses]


def _lowest(losses: list[float]) -> float:
    """Return the temperature of least loss: the vertex of a parabola through the three lowest."""
    best = min(range(len(losses)), key=losses.__getitem__)
    if not 0 < best < len(losses) - 1:
        return _TEMPERATURES[best]
    before, here, after = losses[best - 1 : best + 2]
    bend = before - 2 * here + after
    shift = 0.0 if bend <= 0 else (before - after) / (2 * bend)
    return float(_TEMPERATURES[best] * math.exp(shift * math.log(2) / 8))


def _costs(net: Network, x: Any, read_at: Sequence[int]) -> list[float]:
    """Return the FLOPs of an example that exits at each depth: the pass and all heads so far."""
    costs, meter = [], Meter()
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
