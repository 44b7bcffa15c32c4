"""``probe``: the score and the cost of every depth of a network, from one pass."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from textwrap import fill
from typing import Any

import torch
from accelerate.utils import recursively_apply
from rich.table import Table
from torch import Tensor

from autocompress.checks import check_network
from autocompress.depth.answers import Answers, Collector
from autocompress.depth.select import (
    Rule,
    SelectConfig,
    Selection,
    budget_rule,
    choose,
    confident_rule,
    doubts,
    error_of,
    knee_rule,
    layers_rule,
    nats_rule,
    tolerance_rule,
)
from autocompress.errors import ConfigError, UnknownNameError
from autocompress.measurement import counted_readouts, depth_costs, latency
from autocompress.measurement.modes import device_of, evaluating
from autocompress.network import Network
from autocompress.printing import as_text
from autocompress.statistics import resampled_means
from autocompress.training.evaluate import Scores, scores_by_depth
from autocompress.training.forms import as_set
from autocompress.training.inputs import Arrays, Data, check_data
from autocompress.training.own_score import OwnScore, name_of, own_scores

__all__ = ["DepthCurve", "probe"]


@dataclass(frozen=True)
class DepthCurve:
    """The score, loss and cost of every depth 0..L.

    Attributes:
        hits: Scores (examples, L + 1) of example n at depth k: bool (correct or not), or for a
            network that predicts numbers float64, its share of R^2.
        parameters: Number of parameters per depth.
        flops: Forward FLOPs per depth for one example, by torch's counter.
        milliseconds: Median time of one batch per depth; None unless requested.
        nats: Losses, float32 (examples, L + 1), of example n at depth k: cross-entropy in nats (or
            the squared error of a network that predicts numbers).
        constant: Score of the best answer that ignores the input, e.g. always the most frequent
            class; None if unknown.
        metric: Name of the score: ``accuracy``, ``exact match`` (all labels of an example are
            correct) or ``R^2``.
        unit: Unit of the loss.
        answers: Answer to every example at every depth; None unless requested.
    """

    hits: Tensor
    parameters: list[int]
    flops: list[int]
    milliseconds: list[float] | None = None
    nats: Tensor | None = None
    constant: float | None = None
    metric: str = "accuracy"
    unit: str = "nats"
    answers: Answers | None = None

    @property
    def depth(self) -> int:
        """Return L, the number of blocks."""
        return self.hits.shape[1] - 1

    @property
    def scores(self) -> list[float]:
        """Return the score per depth: accuracy, exact match or R^2, as fractions."""
        return [float(v) for v in self.hits.double().mean(0)]

    @property
    def losses(self) -> list[float] | None:
        """Return the mean loss per depth in nats, without label smoothing; None if unknown.

        Example:
            >>> curve = DepthCurve(
            ...     torch.tensor([[True], [False]]), [1], [1], nats=torch.tensor([[0.5], [1.5]])
            ... )
            >>> curve.losses
            [1.0]
        """
        return None if self.nats is None else [float(v) for v in self.nats.double().mean(0)]

    @property
    def perplexities(self) -> list[float] | None:
        """Return exp(loss) per depth, as language models report; None for squared errors."""
        losses = self.losses if self.unit == "nats" else None
        return None if losses is None else torch.tensor(losses).double().exp().tolist()

    def interval(self, level: float = 0.95) -> list[tuple[float, float]]:
        """Return a bootstrap interval of the score at every depth."""
        tail = (1 - level) / 2
        bounds = torch.quantile(
            resampled_means(self.hits), torch.tensor([tail, 1 - tail], dtype=torch.float64), dim=0
        )
        return [(float(low), float(high)) for low, high in bounds.T]

    def select(self, by: SelectConfig | None = None, **options: Any) -> Selection:
        """Choose a depth by one rule.

        Args:
            by: The rule; None builds it from ``options``.
            options: Options of :class:`SelectConfig`, e.g. ``tolerance=0.01`` or ``layers=4``.

        Raises:
            ConfigError: Two rules are given, no depth meets the budget, or the rule needs
                milliseconds or nats that this curve lacks.
            DepthError: More layers are requested than there are.
            UnknownNameError: SelectConfig has no such option.

        Example:
            >>> curve = DepthCurve(torch.tensor([[0, 1, 1]]).bool(), [1, 2, 3], [1, 2, 3])
            >>> curve.select(tolerance=0.0).depth
            1
        """
        known = [field.name for field in fields(SelectConfig)]
        for name in options:
            if name not in known:
                raise UnknownNameError("option of select:", name, known)
        how = replace(by or SelectConfig(), **options)
        rule, words = self._rule(how)
        judged = None if how.nats is None or self.nats is None else -self.nats
        chosen, losses = choose(self.hits, rule, words, by=judged), self.losses
        warnings = doubts(self.hits, self.constant, self.metric, how.slack, how.confidence)
        chosen = replace(chosen, metric=self.metric, warnings=warnings)
        if losses is None:
            return chosen
        return replace(chosen, loss=losses[chosen.depth], full_loss=losses[-1], unit=self.unit)

    def _rule(self, how: SelectConfig) -> tuple[Rule, str]:
        spread = error_of(self.hits)
        if how.layers is not None:
            return layers_rule(how.layers, self.depth)
        if how.nats is not None:
            if self.nats is None:
                raise ConfigError("this curve has no losses: a probe of labelled data has them")
            if self.unit != "nats":
                raise ConfigError(
                    f"the losses of this curve are {self.unit}, not nats: select by tolerance, "
                    f"which uses {self.metric}"
                )
            return nats_rule(how.nats)
        if how.knee:
            return knee_rule()
        if how.parameters is not None:
            return budget_rule(self.parameters, how.parameters, "parameters", spread)
        if how.flops is not None:
            return budget_rule(self.flops, how.flops, "FLOPs per example", spread)
        if how.milliseconds is not None:
            if self.milliseconds is None:
                raise ConfigError(
                    "this curve was not timed: probe(..., latency_batch=256) times it"
                )
            return budget_rule(self.milliseconds, how.milliseconds, "ms per batch", spread)
        tolerance = how.slack or 0.0
        if how.confidence is not None:
            return confident_rule(self.hits, tolerance, how.confidence)
        return tolerance_rule(tolerance)

    def to_json(self) -> list[dict[str, Any]]:
        """Return one object per depth; scores as fractions, losses in nats."""
        rows: list[dict[str, Any]] = [
            {"depth": k, "score": score, "parameters": p, "flops": f}
            for k, (score, p, f) in enumerate(
                zip(self.scores, self.parameters, self.flops, strict=True)
            )
        ]
        for name, values in (("loss", self.losses), ("milliseconds", self.milliseconds)):
            for row, value in zip(rows, values or [], strict=False):
                row[name] = value
        return rows

    @property
    def warnings(self) -> tuple[str, ...]:
        """Return reasons to distrust the scores, as sentences; empty if there are none."""
        return doubts(self.hits, self.constant, self.metric, None)

    def __str__(self) -> str:
        score = "Score" if self.metric == "accuracy" else f"Score ({self.metric})"
        table = Table(title=f"{score} and cost of every depth ({len(self.hits)} examples)")
        extra = {
            heading: values
            for heading, values in ((self.unit, self.losses), ("ms", self.milliseconds))
            if values
        }
        for heading in ("depth", "score %", "95 % interval", "parameters", "MFLOPs", *extra):
            table.add_column(heading, justify="right")
        intervals = self.interval()
        for row, (low, high) in zip(self.to_json(), intervals, strict=True):
            cells = [
                str(row["depth"]),
                f"{100 * row['score']:.2f}",
                f"{100 * low:.1f} .. {100 * high:.1f}",
                f"{row['parameters']:,}",
                f"{row['flops'] / 1e6:,.2f}",
            ]
            depth = row["depth"]
            table.add_row(*cells, *(f"{values[depth]:.2f}" for values in extra.values()))
        said = [fill(f"Note: {warning}.", 80) for warning in self.warnings]
        return "\n".join([as_text(table), *said])

    def plot(self) -> Any:
        """Return a matplotlib Figure of score by depth; save it with ``.savefig("depth.png")``."""
        from matplotlib.figure import Figure
        from matplotlib.ticker import MaxNLocator

        figure = Figure(figsize=(6, 4), layout="constrained")
        axes = figure.subplots()
        low, high = zip(*self.interval(), strict=True)
        depths = range(self.depth + 1)
        axes.fill_between(depths, [100 * v for v in low], [100 * v for v in high], alpha=0.2)
        axes.plot(depths, [100 * v for v in self.scores], marker="o")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))  # there is no depth of 2.5
        axes.set_xlabel("depth (number of layers)")
        axes.set_ylabel("score, %" if self.metric == "accuracy" else f"{self.metric}, %")
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
        return figure


def probe(
    net: Network,
    data: Data | Arrays,
    *,
    batch_size: int = 256,
    latency_batch: int | None = None,
    score: OwnScore | None = None,
    answers: bool = False,
) -> DepthCurve:
    """Return the score, loss and cost of every depth on ``data``, from one pass.

    The score is the accuracy. For a network with several labels (a converted one with
    ``problem_type="multi_label_classification"``) it is the share of examples with all labels
    correct, and for a network that predicts numbers it is R^2.

    Each block runs once per batch; each readout costs one head on top of that. FLOPs are counted on
    the first batch of the same pass.

    Args:
        net: A network with any connectivity.
        data: Data as for :func:`autocompress.fit`.
        batch_size: Examples per pass.
        latency_batch: Batch size at which every depth is also timed, on the first examples; None
            skips the timing.
        score: A function of your own that replaces the network's score, e.g. for an embedding
            model: ``score(outputs, labels)``, or ``score(outputs, labels, inputs)`` if it needs a
            mask, returns one number per example, and more is better. Such a curve has no losses.
        answers: Whether to keep the likeliest class of every example at every depth, as
            ``curve.answers``; it stays None for a network that does not classify whole examples.

    Raises:
        ConfigError: ``net`` is not a network of this library, or ``latency_batch`` is below 1.
        DataError: The data are empty or have no labels, labels that the head lacks, or inputs that
            are not finite.
        ShapeError: The inputs have another shape.
        NotFiniteError: Weights or activations are not finite; the message names the layer.

    Example:
        >>> import autocompress as ac
        >>> data = torch.utils.data.TensorDataset(torch.randn(9, 1, 2, 2), torch.arange(9) % 3)
        >>> net = ac.models.MLP(depth=2, width=8, classes=3, image_size=2, channels=1)
        >>> len(ac.probe(net, data).scores)
        3
    """
    check_network(net, "probe")
    if latency_batch is not None and latency_batch < 1:
        raise ConfigError(f"latency_batch {latency_batch} must be a batch size, at least 1")
    examples: Data = as_set(data, "probed")
    check_data(examples, net.classes, "probed")
    flops: list[int] = []
    first: list[Any] = []
    collector = Collector(net)

    def counted(net: Network, inputs: Tensor) -> Iterator[Tensor]:
        if flops:
            yield from net.readouts(inputs)
            return
        first.append(inputs)
        for logits, count in counted_readouts(net, inputs):
            flops.append(count)
            yield logits

    def read(net: Network, inputs: Tensor) -> Iterator[Tensor]:
        collector.begin()
        for logits in counted(net, inputs):
            if answers:
                collector.add(logits)
            yield logits

    if score is not None:
        worth = own_scores(net, examples, score, read, batch_size)
        scores = Scores(worth, None, None, name_of(score), "")
    else:
        scores = scores_by_depth(net, examples, batch_size=batch_size, read=read)
    timed = None if latency_batch is None else _time_depths(net, latency_batch, first[0])
    sizes = [cost.parameters for cost in depth_costs(net)]
    return DepthCurve(
        scores.hits,
        sizes,
        flops,
        timed,
        scores.nats,
        constant=scores.constant,
        metric=scores.metric,
        unit=scores.unit,
        answers=collector.answers() if answers else None,
    )


def _time_depths(net: Network, batch: int, rows: Any) -> list[float]:
    """Return the median milliseconds of every depth on ``batch`` examples made from ``rows``."""
    device = device_of(net)
    inputs = recursively_apply(lambda t: t[torch.arange(batch, device=device) % len(t)], rows)
    with evaluating(net):
        return [
            latency(lambda k=k: net(inputs, depth=k), device).median_ms  # type: ignore[misc]
            for k in range(net.depth + 1)
        ]
