"""``compress``: train, probe, select, cut, train the rivals, measure, export, report."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from autocompress import io
from autocompress.data import Source, Splits
from autocompress.depth import DepthCurve, Selection, cut, probe
from autocompress.depth.select import TIMED_BATCH
from autocompress.errors import ExportError, MissingExtraError
from autocompress.io.header import read_json
from autocompress.measurement.modes import evaluating
from autocompress.network import Network
from autocompress.pipeline.config import RunConfig
from autocompress.pipeline.costs import run_costs
from autocompress.pipeline.expecting import trainings
from autocompress.pipeline.stepwise import cut_in_steps, ladder
from autocompress.pipeline.summary import ScoredNetwork, summarise
from autocompress.pipeline.train import train_network
from autocompress.printing import layer_words
from autocompress.statistics import late_gain
from autocompress.training.inputs import network_batches
from autocompress.training.launched import one_process
from autocompress.training.progress import read_metrics

__all__ = ["first_examples", "run_stages"]


@dataclass
class _Clock:
    """A timer of the stages, in seconds."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.seconds[stage] = round(time.perf_counter() - start, 3)


def run_stages(
    config: RunConfig,
    data: Splits,
    net: Network,
    folder: Path,
    *,
    resume: bool = False,
    command: str | None = None,
    progress: bool = True,
) -> dict[str, Any]:
    """Run everything from data to a smaller network and its report.

    Args:
        config: Settings of the run, resolved.
        data: Data of the run, on the training device.
        net: Network of the run, trained in place; see :func:`build_network`.
        folder: Existing run folder. With ``resume``, networks that are finished in it are not
            trained again.
        resume: Whether to continue an interrupted run.
        command: Command that resumes the run, for the message of an interruption.
        progress: Whether to show the progress of training.

    Returns:
        The content of report.json, which is not written here but by :mod:`autocompress.report`.

    Raises:
        AutoCompressError: Any of the library's errors; finished parts stay in ``folder``. A network
            that cannot be exported is not an error: there is no small.onnx, and the report says so.
    """
    one_process("compress")
    clock = _Clock()
    total = len(trainings(config, "compress", net.depth))
    train = _Trainings(data, folder, resume, command, clock, total, progress)
    net = train(config, "", "network", start=net)
    with clock("probe"):
        latency = _timed_batch(config)
        curve = _as_first_timed(probe(net, data.validation, latency_batch=latency), folder)
    rows = {"full": ScoredNetwork(net, curve)}
    found = _smaller(net, curve, config, data, train)
    small = found.row.net
    rows["small"] = found.row
    if config.rivals:
        rows |= _rivals(found, config, data, folder, train)
    train.tell("measuring the networks and every depth on this machine")
    with clock("measure"):
        _score_on_test(rows, data.test)
        example = first_examples(data.validation, net)
        nets = {name: row.net for name, row in rows.items()}
        kept = None if found.healed else found.selection.depth
        costs, by_depth = run_costs(nets, example, kept)
    train.tell("exporting the cut network to ONNX and checking the file")
    with clock("ship"):
        io.save(small, folder / "small", overwrite=resume, curve=curve)
        onnx = _exported(small, folder / "small.onnx", data.widened(example[:2]), resume)
    checks = {
        "small_vs_probe_max_abs_difference": found.difference,
        "onnx_max_abs_difference": onnx,
    }
    gain = _late_gain(folder)
    chosen = found.selection
    return summarise(config, data, chosen, rows, costs, by_depth, checks, clock.seconds, gain)


@dataclass(frozen=True)
class _Smaller:
    """The network of fewer layers that a run has found.

    Attributes:
        row: The network and its scores on validation data.
        selection: The chosen depth, and the rule that chose it.
        healed: Number of epochs that it was trained after the cut.
        difference: Largest difference between the cut network and the full one at that depth.
    """

    row: ScoredNetwork
    selection: Selection
    healed: int = 0
    difference: float = 0.0


def _smaller(
    net: Network, curve: DepthCurve, config: RunConfig, data: Splits, train: _Trainings
) -> _Smaller:
    """Choose a depth on validation data, cut there, and train the cut network if the run asks."""
    heal = config.heal or 0
    if config.stepwise:
        steps = cut_in_steps(net, curve, config, data, train)
        most = len(ladder(net.depth)) + bool(config.cut_first)
        train.number += most - steps.trainings  # those that were not needed
        return _Smaller(ScoredNetwork(steps.net, steps.curve), steps.selection, heal * steps.healed)
    selection = curve.select(config.select)
    small = cut(net, selection)
    difference = _difference(net, small, data.validation)
    if heal and small.depth < net.depth:
        title, teacher = "the cut network, healed", net if config.teach else None
        small = train(config.healing(heal), "healed", title, small, teacher)
        words = f"{selection.rule}; then trained for {_epochs(heal)}, as the shallow rival is"
        words += ", and taught by the whole network" if config.teach else ""
        row = ScoredNetwork(small, probe(small, data.validation))
        return _Smaller(row, replace(selection, rule=words), heal, difference)
    if heal:
        train.skip("no layer is cut, so nothing is healed")
    row = ScoredNetwork(small, curve, depth=selection.depth)
    return _Smaller(row, selection, difference=difference)


def _rivals(
    found: _Smaller, config: RunConfig, data: Splits, folder: Path, train: _Trainings
) -> dict[str, ScoredNetwork]:
    """Train the residual baseline and the shallow baseline of as many layers as were kept."""
    depth = found.row.net.depth
    origin = "from scratch" if config.model.init is None else "cut before training"
    shallow = f"residual network of {layer_words(depth)} {origin}"
    runs = {
        "baseline": (config.rival(_layers(folder)), "residual baseline"),
        "shallow": (config.rival(depth, more=found.healed), shallow),
    }
    rows: dict[str, ScoredNetwork] = {}
    for name, (run, title) in runs.items():
        net = train(run, name, title)
        latency = _timed_batch(config) if name == "baseline" else None  # a depth of it is selected
        rows[name] = ScoredNetwork(net, probe(net, data.validation, latency_batch=latency))
    return rows


def _timed_batch(config: RunConfig) -> int | None:
    """Return the batch size at which every depth is timed; None if the rule needs no times."""
    return None if config.select.milliseconds is None else TIMED_BATCH


def _as_first_timed(curve: DepthCurve, folder: Path) -> DepthCurve:
    """Return the curve with the times that the run first measured.

    A resumed run measures others, by which it could choose another depth than that of the networks
    that it has trained already.
    """
    if curve.milliseconds is None:
        return curve
    times = folder / "times.json"
    if not times.exists():
        io.write_json(times, curve.milliseconds)
    return replace(curve, milliseconds=read_json(times))


def _epochs(number: int) -> str:
    return "one more epoch" if number == 1 else f"{number} more epochs"


def _exported(net: Network, path: Path, example: Tensor, overwrite: bool) -> float | None:
    """Return the difference between the ONNX file and the network; None if there is no file.

    A run of hours must not end without its report because a package is missing, or an operator
    that ONNX lacks.
    """
    try:
        return io.export_file(net, path, example, overwrite=overwrite).max_abs_difference
    except (MissingExtraError, ExportError):
        return None


def _layers(folder: Path) -> int:
    """Return the number of layers that a run's network began with, before live depth."""
    return max(len(record["depths"]) for record in read_metrics(folder) if "depths" in record) - 1


def _late_gain(folder: Path) -> float | None:
    """Return what the last quarter of the network's epochs added to its best validation score."""
    scores = [record.get("validation") for record in read_metrics(folder)]
    return late_gain([score for score in scores if score is not None])


@dataclass
class _Trainings:
    """A callable that trains the networks of one run, each in its own folder."""

    data: Splits
    folder: Path
    resume: bool
    command: str | None
    clock: _Clock
    total: int
    progress: bool = True
    number: int = 0
    trained: list[tuple[Any, Network]] = field(default_factory=list)

    def __call__(
        self,
        config: RunConfig,
        name: str,
        title: str,
        start: Network | None = None,
        teacher: Network | None = None,
    ) -> Network:
        """Train a network, or return the one that was trained in the same way before."""
        depth = config.model.depth if start is None else start.depth
        model = replace(config.model, connectivity=None, depth=depth)
        settings = (config.model.rule(), model, config.fit)
        if start is None:
            for known, net in self.trained:
                if known == settings:
                    self.skip(f"the {title} has been trained already, with the same settings")
                    return net
        self.number += 1
        net, seconds = train_network(
            config,
            self.data,
            self.folder / name,
            resume=self.resume,
            title=f"training {self.number} of {self.total}: {title}",
            command=self.command,
            start=start,
            teacher=teacher,
            progress=self.progress,
        )
        self.clock.seconds[f"train {name}".strip()] = round(seconds, 3)
        if name in ("", "baseline", "shallow"):  # the others start from a cut network
            self.trained.append((settings, net))
        return net

    def skip(self, why: str) -> None:
        """Count a training that is not needed, and say why."""
        self.number += 1
        self.tell(f"training {self.number} of {self.total} is not needed: {why}")

    def tell(self, line: str) -> None:
        """Print what the run does, on standard error, if progress is shown."""
        if self.progress:
            print(line, file=sys.stderr, flush=True)


def first_examples(data: Source, net: Network, size: int = 256) -> Tensor:
    """Return the first ``size`` examples of ``data`` as ``net`` takes them, on its device."""
    inputs, _ = next(network_batches(net, data, size))
    return inputs


def _score_on_test(rows: dict[str, ScoredNetwork], test: Source) -> None:
    """Read the test data, for the only time: score every network at all its depths."""
    curves: dict[int, DepthCurve] = {}
    for row in rows.values():
        if row.curve is rows["full"].curve and row.net is not rows["full"].net:
            row.test = curves[id(rows["full"].net)]  # the cut network is a depth of the full one
        else:
            answers = row.net is rows["full"].net
            row.test = curves[id(row.net)] = probe(row.net, test, answers=answers)


def _difference(net: Network, small: Network, data: Source) -> float:
    """Return the largest |small(x) - net(x, depth)|, which is 0.0 for a correct cut."""
    worst = 0.0
    with evaluating(net, small):
        for x, _ in network_batches(net, data, 256):
            worst = max(worst, float((small(x) - net(x, depth=small.depth)).abs().max()))
    return worst
